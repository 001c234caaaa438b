"""Why the defaults are what they are: one setting changed at a time, scored on held-out episodes.

    python benchmarks/ablations.py            # the missing cells, then the table: benchmarks/results/ablations.md

Two worlds: glucose of virtual patients, and the linear system of `kalman.py` seen together with 16 channels of noise
that has nothing to do with it. Every cell is trained with 3 members and 400 steps, and scored without calibration on
the episodes that each member left out; none of them is a test episode of another benchmark. A cell takes about two
minutes on one core, is kept as it comes, and is not run again.
"""

import argparse
import json
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foreworld.data.episodes import Episodes
from foreworld.data.scaling import Encoding
from foreworld.data.schema import Variable
from foreworld.domains.collect import branch_effects, collect, draw_origins
from foreworld.domains.glucose import Glucose
from foreworld.evidence import metrics
from foreworld.reasoning.forecast import encode_now, sample
from foreworld.reasoning.held_out import forecast_held_out, only
from foreworld.reasoning.individual.fit import fit_population
from foreworld.training.fit import Trained, train
from foreworld.world.config import FitConfig
from glucose import split
from kalman import simulate

RESULTS = Path(__file__).parent / "results" / "ablations.json"
SEEDS = (0, 1)
BASE: dict[str, Any] = {"members": 3, "steps": 400}
CHANNELS = 16
CELLS: dict[str, dict[str, Any]] = {
    "default": {},
    "regulariser: sigreg, weight 0.001": {"regulariser": "sigreg", "regulariser_weight": 0.001},
    "regulariser: sigreg, weight 0.01": {"regulariser": "sigreg", "regulariser_weight": 0.01},
    "regulariser: none": {"regulariser": "none"},
    "score: squared error": {"score": "squared"},
    "grounding: none (probe)": {"grounding": False},
    "prediction: none (reading alone)": {"latent_weight": 0.0},
    "observations: none (targets alone)": {"observed_weight": 0.0},
    "encoder: transformer": {"encoder": "transformer"},
    "memory of actions: none": {"memory": ()},
    "ensemble: 1 member": {"members": 1},
    "ensemble: 5 members": {"members": 5},
}


@cache
def glucose() -> Episodes:
    """Four days of the training patients of the first split."""
    domain = Glucose()
    return collect(domain, instances=split(domain, 0)[0], steps=4 * 288, seed=7)


@cache
def noisy_linear() -> Episodes:
    """The linear system with channels that nothing predicts, of which nobody asked."""
    data, rng = simulate(100, 150, 77), np.random.default_rng(7)
    names = tuple(Variable(name=f"noise{index}", role="observation") for index in range(CHANNELS))
    schema = data.schema.model_copy(update={"variables": (*data.schema.variables, *names)})
    episodes = [
        replace(episode, observations=np.concatenate([episode.observations, channels], axis=1))
        for episode in data
        for channels in [rng.normal(size=(len(episode.time), CHANNELS)).astype(np.float32)]
    ]
    return Episodes(schema, tuple(episodes))


def run(world: str, change: dict[str, Any], seed: int) -> dict[str, float]:
    """Train one cell and score it on what its members left out."""
    data, horizon = (glucose(), 36) if world == "glucose" else (noisy_linear(), 10)
    began = time.perf_counter()
    trained = train(data, FitConfig(**{**BASE, "horizon": horizon, **change}), seed=seed)
    result = {"seconds": time.perf_counter() - began} | held_out_scores(trained, data, seed)
    result |= {name: trained.log[-1][name] for name in ("rank", "std_min", "probe_r2")}
    if world == "glucose":
        result["effect_r2"] = effect_r2(trained, data, seed)
    return result


def held_out_scores(trained: Trained, data: Episodes, seed: int) -> dict[str, float]:
    """CRPS in units of the target, and coverage of raw 90% intervals, mean over steps."""
    parts = (trained.network, trained.encoding, data, trained.held_out)
    held = forecast_held_out(*parts, fit_population(*parts)[1], seed=seed)
    truth = held.truth.astype(np.float64)
    low, high = metrics.interval(held.samples, 0.9)
    return {
        "crps": float(np.nanmean(metrics.crps(held.samples, truth))),
        "coverage_90": float(((truth >= low) & (truth <= high)).mean()),
    }


def effect_r2(trained: Trained, data: Episodes, seed: int) -> float:
    """R2 of the effect of a correction bolus on patients that the forecasting member never saw."""
    domain, lost, total = Glucose(), 0.0, 0.0
    for member, fold in enumerate(trained.held_out):
        patients = [str(data[int(index)].id) for index in fold]
        rows = (96, 4 * 288 - 36)
        asked = draw_origins(domain, ids=patients, per_episode=20, rows=rows, seed=7)
        cases = branch_effects(domain, interventions=["correction"], origins=asked, horizon=36, seed=7)
        alone, encoding = only(trained.network, trained.encoding, member), trained.encoding
        predicted = [mean_forecast(alone, encoding, case, seed) for case in cases]
        truth = (cases[0].truth - cases[1].truth)[..., 0]
        lost += float(np.square(predicted[0] - predicted[1] - truth).sum())
        total += float(np.square(truth).sum())
    return 1 - lost / total


def mean_forecast(alone: Any, encoding: Encoding, case: Any, seed: int) -> np.ndarray:
    """Mean future of the target in native units."""
    beliefs = encode_now(alone, case.histories, encoding)
    drawn = sample(alone, beliefs, case.histories, case.plan, encoding, draws=60, seed=seed)[0]
    centre, scale = encoding.scaling.of(encoding.schema.targets)
    return (drawn * scale + centre).mean(0)[..., 0]


def report(results: dict[str, dict]) -> str:
    """One row a setting; mean over seeds, with both seeds in brackets for the CRPS."""
    seeds = sorted({int(key.rpartition("/")[2]) for key in results})
    header = "| setting | CRPS glucose (mg/dL) | 90% covers | effect R2 | rank "
    header += "| CRPS noisy linear | 90% covers | rank | seconds |"
    lines = [
        "# Ablations",
        "",
        f"`python benchmarks/ablations.py`; torch {torch.__version__}, one thread, seeds {seeds}, {BASE}; "
        "one setting is changed a row. Held-out episodes, no calibration.",
        "",
        header,
        "|---" * 9 + "|",
    ]
    for name in CELLS:
        cells = [name]
        for world, columns in (("glucose", ("crps", "coverage_90", "effect_r2", "rank")),) + (
            ("linear", ("crps", "coverage_90", "rank")),
        ):
            found = [results[key] for seed in SEEDS if (key := f"{world}/{name}/{seed}") in results]
            for column in columns:
                values = [row[column] for row in found]
                both = " (" + ", ".join(f"{value:.3g}" for value in values) + ")" if column == "crps" else ""
                cells.append(f"{np.mean(values):.3g}{both}" if values else "-")
        seconds = [results[key]["seconds"] for seed in SEEDS if (key := f"glucose/{name}/{seed}") in results]
        lines.append("| " + " | ".join([*cells, f"{np.mean(seconds):.0f}" if seconds else "-"]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", action="store_true", help="only the table of what is there")
    parser.add_argument("--only", help="run the cells whose name contains this")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    RESULTS.parent.mkdir(exist_ok=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for seed in SEEDS:
        for name, change in CELLS.items():
            for world in ("glucose", "linear"):
                key = f"{world}/{name}/{seed}"
                if key in results or arguments.report or (arguments.only and arguments.only not in name):
                    continue
                results[key] = run(world, change, seed)
                RESULTS.write_text(json.dumps(results, indent=1))
                print(key, results[key], flush=True)
    RESULTS.with_suffix(".md").write_text(report(results))
    print(report(results))


if __name__ == "__main__":
    main()
