"""`foreworld fit` on a CSV of 200 episodes x 200 steps x 5 columns, with default settings: seconds and calibration.

    python benchmarks/fit_csv.py              # benchmarks/results/fit_csv.md

A particle in a double well (it may jump from one well to the other, so the future has two humps), pushed by a force
that is chosen, in a medium whose friction is known and constant in an episode; a thermometer and a gauge are seen too.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

RESULTS = Path(__file__).parent / "results"
SEEDS = 3
ROLES = ["--id", "run", "--time", "second", "--observe", "position,gauge,temperature", "--act", "force"]


def simulate(episodes: int, steps: int, seed: int) -> pa.Table:
    """The table: one row an observation, in random order."""
    rng = np.random.default_rng(seed)
    friction = rng.uniform(0.5, 2.0, episodes)
    position, gauge, force = rng.normal(size=episodes), np.zeros(episodes), np.zeros(episodes)
    rows = []
    for step in range(steps):
        force = np.where(rng.random(episodes) < 0.1, rng.normal(size=episodes), force)
        temperature = 20 + np.sin(step / 8) + rng.normal(0, 0.3, episodes)
        seen = position + rng.normal(0, 0.1, episodes)
        rows.append(np.stack([np.arange(episodes), np.full(episodes, step), seen, gauge, temperature, force, friction]))
        for _ in range(10):
            drift = (position - position**3 + force) / friction
            position = position + 0.02 * drift + np.sqrt(0.02) * 0.5 * rng.normal(size=episodes)
        gauge = 0.95 * gauge + 0.2 * position + rng.normal(0, 0.1, episodes)
    values = np.concatenate(rows, axis=1)[:, rng.permutation(episodes * steps)]
    names = ["run", "second", "position", "gauge", "temperature", "force", "friction"]
    columns = dict(zip(names, values, strict=True))
    return pa.table({name: column.astype(int) if name in names[:2] else column for name, column in columns.items()})


def foreworld(*arguments: str) -> str:
    """Run the command line, and return what it prints."""
    command = [sys.executable, "-m", "foreworld", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def run(seed: int) -> dict:
    """Fit through the command line, then score on new episodes."""
    with tempfile.TemporaryDirectory() as folder:
        train, test, model = (str(Path(folder) / name) for name in ("train.csv", "test.parquet", "model"))
        csv.write_csv(simulate(200, 200, seed), train)
        pq.write_table(simulate(50, 200, 1000 + seed), test)
        began = time.perf_counter()
        foreworld("fit", train, *ROLES, "--static", "friction", "--seed", str(seed), "--out", model)
        seconds = time.perf_counter() - began
        scores = json.loads(foreworld("evaluate", model, test, "--json"))
    return {"seconds": seconds, "scores": scores}


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    results = [run(seed) for seed in range(SEEDS)]
    (RESULTS / "fit_csv.json").write_text(json.dumps(results, indent=1))
    lines = [
        "# A CSV of 200 x 200 x 5, default settings",
        "",
        f"`python benchmarks/fit_csv.py`, {SEEDS} seeds, 2 cores. `foreworld fit` took "
        + ", ".join(f"{result['seconds']:.0f}" for result in results)
        + " s, baselines included.",
        "",
        "| target | CRPS foreworld | CRPS ridge-ARX | CRPS persistence | 90% covers, worst step of any seed |",
        "|---|---|---|---|---|",
    ]
    for target in results[0]["scores"]["units"]:
        tables = [result["scores"]["scores"] for result in results]
        crps = [
            f"{np.mean([table[name][target]['crps']['overall'][0] for table in tables]):.3f}"
            for name in ("foreworld", "ridge-ARX", "persistence")
        ]
        covered = [step[0] for table in tables for step in table["foreworld"][target]["coverage_90"]["steps"]]
        worst = max(covered, key=lambda value: abs(value - 0.9))
        lines.append(f"| {target} | " + " | ".join([*crps, f"{100 * worst:.1f}%"]) + " |")
    text = "\n".join(lines) + "\n"
    (RESULTS / "fit_csv.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
