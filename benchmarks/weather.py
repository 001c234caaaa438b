"""Chaotic weather of unseen atmospheres, 1 to 10 time units ahead, against analogues and ridge-VAR (five seeds).

    python benchmarks/weather.py              # the missing seeds, then the table: benchmarks/results/weather.md

The targets are the eight slow variables themselves; `benchmarks/domains.py` has their energy and their peak. Ridge-VAR
is ridge-ARX with all of them, their lags and the forcing. A seed trains on four fifths of the atmospheres and is tested
on the others, under the forcing that the policy had planned and under another one. It takes some ten minutes on one
core and is kept; models are kept in build.
"""

import time
from pathlib import Path

import numpy as np

from cells import KEPT, by_seed, command_line, publish
from foreworld.data.plan import Cases, Forecaster, cut
from foreworld.domains.analogue import Analogue
from foreworld.domains.base import split
from foreworld.domains.collect import branch, collect, draw_origins
from foreworld.domains.weather import SCHEMA, STEP, Weather
from foreworld.evidence import metrics
from foreworld.evidence.evaluate import origins
from foreworld.model import WorldModel
from glucose import interval

RESULTS = Path(__file__).parent / "results" / "weather"
MODELS = KEPT / "weather"
LEADS = (1, 2, 5, 10)  # model time units
STEPS = [round(lead / STEP) for lead in LEADS]
HORIZON = STEPS[-1]
CASES, MEMBERS = 312, 200
SECTORS = SCHEMA.model_copy(
    update={
        "variables": tuple(
            variable.model_copy(update={"target": variable.name.startswith("x")}) for variable in SCHEMA.variables
        )
    }
)


class Sectors(Weather):
    """The same atmospheres, asked about each slow variable."""

    schema = SECTORS


def run(seed: int) -> dict:
    """Fit on the training atmospheres of a seed, and score on the others."""
    domain, study = Sectors(), Sectors.study
    train, test = split(domain.instances, seed, study.folds)
    data = collect(domain, instances=train, steps=study.steps, seed=100 + seed)
    recorded = collect(domain, instances=test, steps=study.steps, seed=100 + seed)
    kept = MODELS / f"seed{seed}"
    if not kept.exists():
        began = time.perf_counter()
        model = WorldModel.fit(data, seed=seed, horizon=HORIZON)
        model.about["fit_seconds"] = round(time.perf_counter() - began, 1)
        model.save(kept)
    model = WorldModel.load(kept)
    forecasters: dict[str, Forecaster] = {
        "foreworld": model,
        "analogue": Analogue.fit(data, HORIZON),
        "ridge-VAR": model.baselines["ridge-ARX"],
        "persistence": model.baselines["persistence"],
    }
    places = origins(recorded, context=study.first, horizon=HORIZON, limit=CASES, seed=seed)
    rows = (study.first, study.steps - HORIZON)
    asked = draw_origins(domain, ids=test, per_episode=CASES // (4 * len(test)), rows=rows, seed=100 + seed)
    cases = {
        "factual": cut(recorded, places, HORIZON),
        "another forcing": branch(domain, origins=asked, horizon=HORIZON, seed=100 + seed),
    }
    return {
        "seed": seed,
        "rows": model.about["rows"],
        "fit_seconds": model.about["fit_seconds"],
        "versions": model.about["versions"],
        "scores": {
            setting: {name: scores(forecaster, some, seed) for name, forecaster in forecasters.items()}
            for setting, some in cases.items()
        },
    }


def scores(forecaster: Forecaster, cases: Cases, seed: int) -> dict[str, list[float]]:
    """Means over cases and sectors at the four leads.

    The ratio of spread to skill is the root of the mean variance of members, times (M + 1) / M, over the root mean
    square error of their mean (Fortin et al., J. Hydrometeorology 15, 2014): one for members that are exchangeable with
    the truth.
    """
    steps = [step - 1 for step in STEPS]
    samples = forecaster.forecast(cases.histories, cases.plan, members=MEMBERS, seed=seed)[:, :, steps]
    truth = cases.truth[:, steps]
    spread = np.sqrt((samples.var(axis=0, ddof=1) * (MEMBERS + 1) / MEMBERS).mean(axis=(0, 2)))
    skill = np.sqrt(np.square(samples.mean(axis=0) - truth).mean(axis=(0, 2)))
    return {
        "crps": metrics.crps(samples, truth).mean(axis=(0, 2)).tolist(),
        "rmse": skill.tolist(),
        "spread_skill": (spread / skill).tolist(),
        "coverage_90": metrics.coverage(samples, truth, 0.9).mean(axis=(0, 2)).tolist(),
    }


def report(results: list[dict]) -> str:
    """The committed table; a bar that is not reached is bold."""
    lines = [
        "# Two-scale Lorenz-96, unseen atmospheres",
        "",
        f"`python benchmarks/weather.py`, seeds {', '.join(str(r['seed']) for r in results)}; "
        f"{results[0]['rows']} rows, {np.mean([r['fit_seconds'] for r in results]):.0f} s to fit; "
        + ", ".join(f"{key} {value}" for key, value in results[0]["versions"].items()),
        "",
        "Mean over seeds ± half of its 90% interval, over the eight slow variables. A time unit is about five days.",
        "**Bold: the bar is not reached** (CRPS below analogue and ridge-VAR; spread over skill 0.9 to 1.1).",
    ]
    names = list(results[0]["scores"]["factual"])
    for setting in results[0]["scores"]:
        lines += ["", f"## {setting.capitalize()}", ""]
        lines += ["| time units | " + " | ".join(f"CRPS {name}" for name in names) + " | spread / skill | 90% covers |"]
        lines += ["|---" * (len(names) + 3) + "|"]
        for place, lead in enumerate(LEADS):

            def values(name: str, measure: str, setting: str = setting, place: int = place) -> list[float]:
                return [result["scores"][setting][name][measure][place] for result in results]

            crps = {name: values(name, "crps") for name in names}
            best = min(np.mean(crps["analogue"]), np.mean(crps["ridge-VAR"]))
            cells = [mark(crps["foreworld"], np.mean(crps["foreworld"]) < best)]
            cells += [interval(crps[name]) for name in names[1:]]
            ratio = values("foreworld", "spread_skill")
            cells.append(mark(ratio, 0.9 <= np.mean(ratio) <= 1.1))
            cells.append(interval([100 * share for share in values("foreworld", "coverage_90")]))
            lines.append(f"| {lead} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def mark(values: list[float], reached: bool | np.bool_) -> str:
    """An interval, bold where a bar is not reached."""
    return interval(values) if reached else f"**{interval(values)}**"


def main() -> None:
    seeds = command_line(__doc__).parse_args().seeds
    publish(RESULTS, report(by_seed(RESULTS, seeds, run)))


if __name__ == "__main__":
    main()
