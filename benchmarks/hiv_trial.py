"""A real randomised trial as the judge of an estimated effect: ACTG 175, CD4 count after 20 weeks by treatment arm.

    python benchmarks/hiv_trial.py             # the missing folds, then the table: benchmarks/results/hiv_trial.md

Five fits, each asked for the effect of each arm on the fifth of the patients that it never saw, whichever the lot
assigned (`WorldModel.effect`, corrected on the patients that it learnt from). The lot makes the difference of the arms'
means an unbiased estimate of the same effect, and gives its interval; adjusted for the count at the start (ANCOVA) the
interval is narrower. Ridge-ARX and the model's own answer without correction stand beside it.
"""

import time
from pathlib import Path

import numpy as np

from cells import KEPT, by_seed, command_line, publish
from foreworld.data.episodes import Episodes
from foreworld.data.plan import Forecaster, Plan
from foreworld.domains.hiv_trial import ARMS, WEEKS, HivTrial
from foreworld.model import WorldModel

RESULTS = Path(__file__).parent / "results" / "hiv_trial"
MODELS = KEPT / "hiv_trial"
NORMAL_95 = 1.96
MEMBERS = 400


def run(seed: int) -> dict:
    """Fit without a fifth of the patients, and ask about each of them under each arm."""
    train, test = HivTrial().split(seed)
    kept = MODELS / f"seed{seed}"
    if not kept.exists():
        began = time.perf_counter()
        model = WorldModel.fit(train, seed=seed, horizon=1, watch=False)
        model.about["fit_seconds"] = round(time.perf_counter() - began, 1)
        model.save(kept)
    model = WorldModel.load(kept)
    start = Episodes(test.schema, tuple(episode.until(0) for episode in test), test.backend)
    ridge = model.baselines["ridge-ARX"]
    means = [under(ridge, start, arm, seed).mean(axis=0) for arm in range(len(ARMS))]
    naive = np.array([episode.static[3] == 0 for episode in test])
    return {
        "fit_seconds": model.about["fit_seconds"],
        "arm": [int(episode.actions[0, 0]) for episode in test],
        "before": [float(episode.observations[0, 0]) for episode in test],
        "after": [float(episode.observations[1, 0]) for episode in test],
        "naive": naive.tolist(),
        "covered": covered(model, test, start, seed),
        "ridge-ARX": {
            group: [float((mean - means[0])[inside].mean()) for mean in means]
            for group, inside in groups(naive).items()
        },
        "foreworld": {
            group: [asked(model, start.take(np.flatnonzero(inside).tolist()), arm, train, seed) for arm in ARMS[1:]]
            for group, inside in groups(naive).items()
        },
    }


def groups(naive: np.ndarray) -> dict[str, np.ndarray]:
    """Which patients belong to which group."""
    return {"all": np.ones(len(naive), bool), "never treated before": naive, "treated before": ~naive}


def asked(model: WorldModel, start: Episodes, arm: str, train: Episodes, seed: int) -> dict:
    """The average effect of an arm against the first, with its 95% interval."""
    found = model.effect(start, {"arm": arm}, {"arm": ARMS[0]}, data=train, horizon=1, seed=seed)
    low, high = found.average_levels[[0, -1], 0, 0]
    return {
        "effect": float(found.average[0, 0]),
        "low": float(low),
        "high": float(high),
        "uncorrected": float(found.plug_in[0, 0]),
    }


def under(model: Forecaster, start: Episodes, arm: int | np.ndarray, seed: int) -> np.ndarray:
    """Samples [member, patient] of the count in week 20 under an arm."""
    count = len(start)
    actions = np.broadcast_to(np.asarray(arm, float).reshape(-1, 1, 1), (count, 1, 1)).copy()
    plan = Plan(np.full((count, 1), WEEKS[1]), actions, np.empty((count, 1, 0)))
    return model.forecast(start, plan, members=MEMBERS, seed=seed)[:, :, 0, 0]


def covered(model: WorldModel, test: Episodes, start: Episodes, seed: int) -> float:
    """The share of patients whose count in week 20 is within the 90% interval, under the arm that they were given."""
    samples = under(model, start, np.array([episode.actions[0, 0] for episode in test]), seed)
    low, high = np.quantile(samples, [0.05, 0.95], axis=0)
    after = np.array([episode.observations[1, 0] for episode in test])
    return float(((after >= low) & (after <= high)).mean())


def difference(after: np.ndarray, arm: np.ndarray, other: int) -> tuple[float, float]:
    """Mean count of an arm less that of arm 0, and half of its 95% interval (Welch)."""
    treated, control = after[arm == other], after[arm == 0]
    error = np.sqrt(treated.var(ddof=1) / len(treated) + control.var(ddof=1) / len(control))
    return float(treated.mean() - control.mean()), float(NORMAL_95 * error)


def adjusted(after: np.ndarray, before: np.ndarray, arm: np.ndarray, other: int) -> tuple[float, float]:
    """The same, adjusted for the count at the start by least squares with a common slope."""
    both = (arm == other) | (arm == 0)
    design = np.stack([np.ones(both.sum()), arm[both] == other, before[both]], axis=1).astype(float)
    coefficients, *_ = np.linalg.lstsq(design, after[both], rcond=None)
    residual = after[both] - design @ coefficients
    variance = residual @ residual / (len(design) - 3) * np.linalg.inv(design.T @ design)[1, 1]
    return float(coefficients[1]), float(NORMAL_95 * np.sqrt(variance))


def report(results: list[dict]) -> str:
    """The committed table."""
    arm, before, after, naive = (
        np.concatenate([result[name] for result in results]) for name in ("arm", "before", "after", "naive")
    )
    cover = np.average([result["covered"] for result in results], weights=[len(result["arm"]) for result in results])
    lines = [
        "# ACTG 175: the estimated effect against the lot",
        "",
        f"`python benchmarks/hiv_trial.py`: {len(arm)} patients, each asked about by a model that never saw them",
        f"({len(results)} folds, {np.mean([result['fit_seconds'] for result in results]):.0f} s to fit on one core).",
        "CD4 in week 20 (cells/mm3), arm less zidovudine alone, with 95% intervals: of the trial over these patients,",
        "of ours over those that were learnt from (means of the folds' ends). 90% intervals for a patient's own",
        f"count, under the arm given, cover {100 * cover:.1f}%.",
    ]
    for group, inside in groups(naive.astype(bool)).items():
        lines += ["", f"## {group.capitalize()} ({inside.sum()})", ""]
        lines += ["| arm | trial | trial, adjusted | foreworld | uncorrected | ridge-ARX |", "|---" * 6 + "|"]
        for other in range(1, len(ARMS)):
            plain = difference(after[inside], arm[inside], other)
            narrow = adjusted(after[inside], before[inside], arm[inside], other)
            cells = [f"{mean:.1f} ± {half:.1f}" for mean, half in (plain, narrow)]
            ours = [result["foreworld"][group][other - 1] for result in results]
            mean = {key: np.mean([answer[key] for answer in ours]) for key in ours[0]}
            cells.append(f"{mean['effect']:.1f} ({mean['low']:.1f} to {mean['high']:.1f})")
            cells.append(f"{mean['uncorrected']:.1f}")
            cells.append(f"{np.mean([result['ridge-ARX'][group][other] for result in results]):.1f}")
            lines.append(f"| {ARMS[other]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    seeds = command_line(__doc__).parse_args().seeds
    publish(RESULTS, report(by_seed(RESULTS, seeds, run)))


if __name__ == "__main__":
    main()
