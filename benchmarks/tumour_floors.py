"""The tumour benchmark's simulator against the public one: errors of forecasts that need no training (five seeds).

    python benchmarks/tumour_floors.py              # writes benchmarks/results/tumour_floors.json and .md

No change, the equations with population means, the equations with near-Bayes parameters and with the true ones, under
both protocols, every gamma and setting; 1,000 test patients a seed. A (protocol, gamma, seed) takes a second; finished
ones are kept, and a second call goes on where the first stopped.
"""

import argparse
import json
from pathlib import Path
from typing import get_args

import numpy as np

from foreworld.domains import tumour_ode as ode
from foreworld.domains.tumour_benchmark import SEEDS, Protocol, Questions, one_step, several_steps
from foreworld.domains.tumour_model import LETHAL

HERE = Path(__file__).parent
RESULTS = HERE / "results"
REFERENCE = json.loads((HERE / "tumour_published.json").read_text())
GAMMAS = (0, 1, 2, 3, 4)
PATIENTS = 1000
FLOORS = {
    "no change": ode.no_change,
    "population-mean ODE": lambda asked: ode.roll_out(asked, ode.population_mean(asked.histories)),
    "near-Bayes ODE": lambda asked: ode.roll_out(asked, ode.near_bayes(asked.histories)),
    "true parameters": lambda asked: ode.roll_out(asked, ode.true_parameters(asked.histories)),
}


def error(asked: Questions, forecast: np.ndarray) -> list[float]:
    """100 RMSE / 1150.35 for each scored step, over all questions."""
    outcome = asked.outcome[..., asked.scored]
    square = np.square(forecast[..., asked.scored] - outcome)
    return [float(100 * np.sqrt(np.nanmean(square[..., step])) / LETHAL) for step in range(square.shape[-1])]


def run(protocol: Protocol, gamma: int, seed: int) -> dict[str, dict[str, float]]:
    """Error by setting (`sliding 3`) and floor."""
    sets = {"one-step": one_step(PATIENTS, gamma, seed, protocol)}
    sets |= {plans: several_steps(PATIENTS, gamma, seed, protocol, plans) for plans in ("sliding", "random")}
    table: dict[str, dict[str, float]] = {}
    for setting, asked in sets.items():
        first = 1 if setting == "one-step" else 2
        for name, floor in FLOORS.items():
            for step, value in enumerate(error(asked, floor(asked))):
                table.setdefault(f"{setting} {first + step}", {})[name] = value
    return table


def compare(cells: dict[str, dict]) -> list[dict]:
    """Each cell of the reference beside ours, and their difference in standard errors of the difference."""
    rows = []
    for protocol in get_args(Protocol):
        for setting, floors in REFERENCE["floors"][protocol].items():
            for name, reference in floors.items():
                for gamma in GAMMAS:
                    values = [cells[f"{protocol} {gamma} {seed}"][setting][name] for seed in SEEDS]
                    mean, spread = reference[gamma]
                    error = np.sqrt((np.var(values, ddof=1) + spread**2) / len(SEEDS))
                    row = {"protocol": protocol, "setting": setting, "floor": name, "gamma": gamma}
                    ours = {"ours": float(np.mean(values)), "ours_sd": float(np.std(values, ddof=1))}
                    apart = (ours["ours"] - mean) / error
                    rows.append(row | {"reference": mean, "reference_sd": spread} | ours | {"apart": float(apart)})
    return rows


def report(rows: list[dict]) -> str:
    """The comparison as Markdown."""
    lines = [
        "# Floors of the tumour benchmark: our simulator and the public one",
        "",
        "`python benchmarks/tumour_floors.py`: 100 RMSE / 1150.35 cm³, mean over 5 seeds of 1,000 test patients;",
        "reference → ours (difference in standard errors of the difference of two 5-seed means). `released`: reference",
        "from the public generator; `corrected`: from an independent simulator of the same equations. All cells of a",
        "column share their patients, and so do the γ of a seed: they agree or disagree together.",
        "",
    ]
    for protocol in get_args(Protocol):
        of = [row for row in rows if row["protocol"] == protocol]
        lines += [f"## {protocol}", "", agreement(of), ""]
        lines += ["| setting | floor | " + " | ".join(f"γ={gamma}" for gamma in GAMMAS) + " |", "|---" * 7 + "|"]
        for start in range(0, len(of), len(GAMMAS)):
            cells = [
                f"{row['reference']:.3f} → {row['ours']:.3f} ({row['apart']:+.1f})"
                for row in of[start : start + len(GAMMAS)]
            ]
            bold = [
                f"**{cell}**" if abs(row["apart"]) > 2 else cell for row, cell in zip(of[start:], cells, strict=False)
            ]
            lines.append(f"| {of[start]['setting']} | {of[start]['floor']} | " + " | ".join(bold) + " |")
        lines.append("")
    return "\n".join(lines)


def agreement(rows: list[dict]) -> str:
    """How many cells agree within two standard errors, by floor."""
    parts = []
    for name in FLOORS:
        apart = np.array([row["apart"] for row in rows if row["floor"] == name])
        parts.append(f"{name} {(np.abs(apart) <= 2).sum()} of {len(apart)} (mean {apart.mean():+.2f})")
    return "Within 2 standard errors: " + ", ".join(parts) + "."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    kept = RESULTS / "tumour_floors.json"
    cells = json.loads(kept.read_text())["cells"] if kept.exists() else {}
    for protocol in get_args(Protocol):
        for gamma in GAMMAS:
            for seed in SEEDS:
                key = f"{protocol} {gamma} {seed}"
                if key not in cells:
                    cells[key] = run(protocol, gamma, seed)
                    kept.write_text(json.dumps({"patients": PATIENTS, "cells": cells}, indent=1) + "\n")
    text = report(compare(cells))
    (RESULTS / "tumour_floors.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
