"""Glucose of unseen virtual patients, factual and interventional, against persistence and ridge-ARX (five seeds).

    python benchmarks/glucose.py              # the missing seeds, then the table: benchmarks/results/glucose.md

Each seed trains on 24 of the 30 patients and is tested on the other 6, so that five seeds test every patient once.
A seed takes about three minutes on two cores; its result is kept, and a second call goes on where the first stopped.
Models are kept in build, so that scoring can be repeated without fitting: delete a seed's result to do so.
"""

import time
from pathlib import Path

import numpy as np

from cells import KEPT, by_seed, command_line, publish
from foreworld.data.plan import Cases, Forecaster, cut
from foreworld.domains.collect import branch, branch_effects, collect, draw_origins
from foreworld.domains.glucose import Glucose
from foreworld.evidence.evaluate import evaluate, origins
from foreworld.model import WorldModel

RESULTS = Path(__file__).parent / "results" / "glucose"
MODELS = KEPT / "glucose"
HORIZON, STEPS = 36, (6, 12, 18, 24, 30, 36)  # 5-minute steps
DAYS, FIRST = 7, 96
PER_PATIENT = 240
MEASURES = ("crps", "rmse", "bias", "coverage_50", "coverage_80", "coverage_90")


def split(domain: Glucose, seed: int) -> tuple[list[str], list[str]]:
    """Training and test patients: fold `seed` of five, with children, adolescents and adults in each."""
    order = np.random.default_rng(0).permuted(np.sort(domain.instances).reshape(3, 10), axis=1)
    test = order[:, 2 * seed : 2 * seed + 2].ravel()
    return sorted(set(domain.instances) - set(test)), sorted(test)


def run(seed: int) -> dict:
    """Fit on the training patients of a seed, and score on the others."""
    domain = Glucose()
    train, test = split(domain, seed)
    kept = MODELS / f"seed{seed}"
    if not kept.exists():
        data = collect(domain, instances=train, steps=DAYS * 288, seed=100 + seed)
        began = time.perf_counter()
        model = WorldModel.fit(data, seed=seed)
        model.about["fit_seconds"] = round(time.perf_counter() - began, 1)
        model.save(kept)
    model = WorldModel.load(kept)
    forecasters: dict[str, Forecaster] = {"foreworld": model, **model.baselines}
    recorded = collect(domain, instances=test, steps=DAYS * 288, seed=100 + seed)
    places = origins(recorded, context=FIRST, horizon=HORIZON, limit=PER_PATIENT * len(test), seed=seed)
    rows = (FIRST, DAYS * 288 - HORIZON)
    asked = draw_origins(domain, ids=test, per_episode=PER_PATIENT, rows=rows, seed=100 + seed)
    return {
        "seed": seed,
        "test": test,
        "train_rows": model.about["rows"],
        "fit_seconds": model.about["fit_seconds"],
        "versions": model.about["versions"],
        "config": model.config.model_dump(),
        "diagnostics": model.log[-1],
        "factual": scores(forecasters, cut(recorded, places, HORIZON), seed),
        "interventional": scores(forecasters, branch(domain, origins=asked, horizon=HORIZON, seed=100 + seed), seed),
        "effects": {name: effects(forecasters, domain, test, name, seed) for name in ("correction", "half meal")},
    }


def scores(forecasters: dict[str, Forecaster], cases: Cases, seed: int) -> dict:
    """Every measure by forecaster and step, and the cases they rest on."""
    evaluation = evaluate(forecasters, cases, seed=seed)
    table = {
        measure: {
            name: [float(evaluation.by_step(measure, draws=2).mean[index, step - 1, 0]) for step in STEPS]
            for index, name in enumerate(evaluation.forecasters)
        }
        for measure in MEASURES
    }
    return {"cases": len(cases.truth), **table}


def effects(forecasters: dict[str, Forecaster], domain: Glucose, test: list[str], name: str, seed: int) -> dict:
    """Predicted against true effects of an intervention: mean over three hours, and R2 against predicting none."""
    asked = draw_origins(
        domain,
        ids=test,
        per_episode=PER_PATIENT // 2,
        rows=(FIRST, DAYS * 288 - HORIZON),
        doing="carbs" if "meal" in name else None,
        seed=seed,
    )
    done, undone = branch_effects(domain, interventions=[name], origins=asked, horizon=HORIZON, seed=seed)
    truth = (done.truth - undone.truth)[..., 0]
    result: dict = {"true_mean": float(truth.mean())}
    for forecaster, model in forecasters.items():
        means = [model.forecast(case.histories, case.plan, seed=seed)[..., 0].mean(0) for case in (done, undone)]
        predicted = means[0] - means[1]
        r2 = 1 - float(np.square(predicted - truth).sum() / np.square(truth).sum())
        result[forecaster] = {"mean": float(predicted.mean()), "r2": r2}
    return result


def interval(values: list[float]) -> str:
    """Mean over seeds and its 90% interval (Student's t)."""
    from scipy.stats import t

    half = t.ppf(0.95, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{np.mean(values):.2f} ± {half:.2f}"


def report(results: list[dict]) -> str:
    """The committed table."""
    lines = [
        "# Glucose, unseen patients",
        "",
        f"`python benchmarks/glucose.py`, seeds {', '.join(str(r['seed']) for r in results)}; "
        f"{np.mean([r['fit_seconds'] for r in results]):.0f} s to fit; "
        + ", ".join(f"{key} {value}" for key, value in results[0]["versions"].items()),
        "",
        "Mean over seeds ± half of its 90% interval. CRPS in mg/dL, lower is better.",
    ]
    names = list(results[0]["factual"]["crps"])
    for setting in ("factual", "interventional"):
        lines += ["", f"## CRPS, {setting}", "", "| minutes | " + " | ".join(names) + " | ridge-ARX less foreworld |"]
        lines += ["|---" * (len(names) + 2) + "|"]
        for index, step in enumerate(STEPS):
            values = {name: [r[setting]["crps"][name][index] for r in results] for name in names}
            gap = [b - a for a, b in zip(values["foreworld"], values["ridge-ARX"], strict=True)]
            cells = [interval(values[name]) for name in names] + [interval(gap)]
            lines.append(f"| {5 * step} | " + " | ".join(cells) + " |")
        lines += ["", f"## Coverage of foreworld's intervals, {setting} (%)", "", "| minutes | 50% | 80% | 90% |"]
        lines += ["|---|---|---|---|"]
        for index, step in enumerate(STEPS):
            cells = [
                interval([100 * r[setting][f"coverage_{level}"]["foreworld"][index] for r in results])
                for level in (50, 80, 90)
            ]
            lines.append(f"| {5 * step} | " + " | ".join(cells) + " |")
    lines += ["", "## Effects over three hours", ""]
    lines += ["| intervention | forecaster | predicted / true mean | effect R2 |", "|---|---|---|---|"]
    for effect in results[0]["effects"]:
        for name in names:
            ratio = [r["effects"][effect][name]["mean"] / r["effects"][effect]["true_mean"] for r in results]
            r2 = [r["effects"][effect][name]["r2"] for r in results]
            lines.append(f"| {effect} | {name} | {interval(ratio)} | {interval(r2)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    seeds = command_line(__doc__).parse_args().seeds
    publish(RESULTS, report(by_seed(RESULTS, seeds, run)))


if __name__ == "__main__":
    main()
