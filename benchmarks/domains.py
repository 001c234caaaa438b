"""Every domain, the same default model: recorded and branched futures of unseen instances, against the baselines.

    python benchmarks/domains.py                      # the missing cells, then the table: benchmarks/results/domains.md
    python benchmarks/domains.py weather --seeds 0    # some of them

A cell is a domain and a seed: part `seed` of five of its instances is for the test, the others are learnt from. What is
asked of it stands in the domain's `study`; no setting of the model differs between domains. A cell takes some five
minutes on one core and is kept; models are kept in build, so that scoring can be repeated without fitting.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cells import KEPT, command_line, fill, gather, publish
from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, Forecaster, cut
from foreworld.domains import registry
from foreworld.domains.base import Domain, Recorded, by_moment, split
from foreworld.domains.collect import branch, branch_effects, collect, draw_origins, episode_ids
from foreworld.evidence.evaluate import evaluate, origins
from foreworld.model import WorldModel
from glucose import interval

RESULTS = Path(__file__).parent / "results" / "domains"
MODELS = KEPT / "domains"
CASES = 300
MEASURES = ("crps", "coverage_50", "coverage_80", "coverage_90")


def run(name: str, seed: int) -> dict:
    """Fit on the training instances of a seed, and score on the others."""
    domain, test, data, recorded, model = learn(name, seed)
    study = domain.study
    forecasters: dict[str, Forecaster] = {"foreworld": model, **model.baselines}
    forecasters |= {field: fit(data, study.horizon) for field, fit in domain.baselines.items()}
    places = origins(recorded, context=max(study.first, 1), horizon=study.horizon, limit=CASES, seed=seed)
    result = {
        "domain": name,
        "seed": seed,
        "rows": model.about["rows"],
        "fit_seconds": model.about["fit_seconds"],
        "targets": [f"{target.name} ({target.unit})" for target in domain.schema.targets],
        "horizon": study.horizon,
        "diagnostics": model.log[-1],
        "factual": scores(forecasters, cut(recorded, places, study.horizon), seed),
    }
    if isinstance(domain, Domain):
        asked = moments(domain, test, "", seed)
        result["branched"] = scores(
            forecasters, branch(domain, origins=asked, horizon=study.horizon, seed=100 + seed), seed
        )
        result["effects"] = effects(forecasters, domain, test, seed)
    return result


def fitted(name: str, seed: int, learn: Callable[[], Episodes], horizon: int) -> WorldModel:
    """The kept model of a cell, or a new one of the episodes to learn from."""
    kept = MODELS / name / f"seed{seed}"
    if not kept.exists():
        data, began = learn(), time.perf_counter()
        model = WorldModel.fit(data, seed=seed, horizon=horizon)
        model.about["fit_seconds"] = round(time.perf_counter() - began, 1)
        model.save(kept)
    return WorldModel.load(kept)


def learn(name: str, seed: int) -> tuple[Domain | Recorded, list[str], Episodes, Episodes, WorldModel]:
    """The domain, its test instances, episodes to learn from, others recorded of the test instances, and the model."""
    domain = registry.create(name)
    study = domain.study
    test: list[str] = []
    if isinstance(domain, Recorded):
        data, recorded = domain.split(seed)
    else:
        train, test = split(domain.instances, seed, study.folds)
        data = collect(
            domain, instances=train, episodes_per_instance=study.episodes, steps=study.steps, seed=100 + seed
        )
        recorded = collect(
            domain, instances=test, episodes_per_instance=study.episodes, steps=study.steps, seed=100 + seed
        )
    return domain, test, data, recorded, fitted(name, seed, lambda: data, study.horizon)


def scores(forecasters: dict[str, Forecaster], cases: Cases, seed: int) -> dict:
    """Every measure by forecaster, step and target, and the number of cases."""
    evaluation = evaluate(forecasters, cases, seed=seed)
    table = {
        measure: {
            name: np.round(evaluation.by_step(measure, draws=2).mean[index], 5).tolist()
            for index, name in enumerate(evaluation.forecasters)
        }
        for measure in MEASURES
    }
    return {"cases": len(cases.truth), **table}


def effects(forecasters: dict[str, Forecaster], domain: Domain, test: list[str], seed: int) -> dict[str, dict]:
    """Of each intervention: predicted against true effects by target, mean over the horizon, and R2 against none."""
    found: dict[str, dict] = {name: {} for name in domain.interventions}
    for doing, names in by_moment(domain.interventions).items():
        asked = moments(domain, test, doing, seed)
        if not asked:
            continue
        *done, undone = branch_effects(
            domain, interventions=names, origins=asked, horizon=domain.study.horizon, seed=100 + seed
        )
        without = means(forecasters, undone, seed)
        for name, cases in zip(names, done, strict=True):
            found[name] = compared(means(forecasters, cases, seed), without, cases.truth - undone.truth)
    return found


def moments(domain: Domain, test: list[str], doing: str, seed: int) -> list[tuple[str, int]]:
    """Where the cases of the test instances begin; while somebody is doing this, if it says so."""
    study = domain.study
    ids = episode_ids(test, study.episodes)
    return draw_origins(
        domain,
        ids=ids,
        per_episode=max(1, CASES // (4 * len(ids))),
        rows=(study.first, study.steps - study.horizon),
        doing=doing or None,
        seed=100 + seed,
    )


Means = dict[str, Float[np.ndarray, "case step target"]]


def means(forecasters: dict[str, Forecaster], cases: Cases, seed: int) -> Means:
    """The mean forecast of each."""
    return {name: model.forecast(cases.histories, cases.plan, seed=seed).mean(0) for name, model in forecasters.items()}


def compared(done: Means, undone: Means, truth: Float[np.ndarray, "case step target"]) -> dict:
    """How each forecaster's difference between two plans compares with the true one."""
    total = np.square(truth).sum((0, 1))
    result: dict = {
        "true_mean": truth.mean((0, 1)).tolist(),
        "true_rms": np.sqrt(np.square(truth).mean((0, 1))).tolist(),
    }
    for name in done:
        predicted = done[name] - undone[name]
        lost = np.square(predicted - truth).sum((0, 1))
        r2 = np.where(total > 0, 1 - lost / np.maximum(total, 1e-12), np.nan)
        result[name] = {"mean": predicted.mean((0, 1)).tolist(), "r2": r2.tolist()}
    return result


def report(cells: dict[str, list[dict]]) -> str:
    """One row a domain and target; a bar that is not reached is bold."""
    lines = [
        "# Every domain, the same default model",
        "",
        "`python benchmarks/domains.py`: unseen instances, mean over seeds ± half of its 90% interval where there",
        "are two or more. CRPS under other plans (branched; as recorded, where there is no simulator) at the median",
        "and the last step, ours / persistence / ridge-ARX / the field's own; coverage of 90% intervals there, the",
        "worse of the two steps; R2 of the main intervention's effect, the ridge's in brackets. **Bold: the bar is not",
        "reached** (CRPS below persistence and ridge-ARX; 86 to 94%; R2 above 0.5). Seconds are those of a busy core.",
        "",
        "| domain | target | seeds | CRPS, median step | CRPS, last step | 90% covers | effect R2 | rows | fit (s) |",
        "|---" * 9 + "|",
    ]
    for name, found in cells.items():
        for index, target in enumerate(found[0]["targets"]):
            lines.append("| " + " | ".join(row(name, target, index, found)) + " |")
    return "\n".join(lines) + "\n"


def row(name: str, target: str, index: int, found: list[dict]) -> list[str]:
    """The cells of one target of one domain."""
    setting = "branched" if "branched" in found[0] else "factual"
    last = found[0]["horizon"] - 1
    columns = [name if index == 0 else "", target, str(len(found))]
    covered = []
    for step in ((last + 1) // 2 - 1 if last else 0, last):
        values = {
            forecaster: [cell[setting]["crps"][forecaster][step][index] for cell in found]
            for forecaster in found[0][setting]["crps"]
        }
        ours = np.mean(values.pop("foreworld"))
        reached = ours < min(np.mean(values[key]) for key in ("persistence", "ridge-ARX"))
        text = f"{ours:.3g} / " + " / ".join(f"{np.mean(value):.3g}" for value in values.values())
        columns.append(text if reached else f"**{text}**")
        covered.append(100 * np.mean([cell[setting]["coverage_90"]["foreworld"][step][index] for cell in found]))
    worst = max(covered, key=lambda value: abs(value - 90))
    columns.append(f"{worst:.1f}%" if abs(worst - 90) <= 4 else f"**{worst:.1f}%**")
    columns.append(effect(index, found))
    columns += [f"{np.mean([cell['rows'] for cell in found]):.0f}", f"{np.mean([c['fit_seconds'] for c in found]):.0f}"]
    return columns


def effect(index: int, found: list[dict]) -> str:
    """R2 of the main intervention: ours, and the ridge's in brackets."""
    if not found[0].get("effects"):
        return "-"
    main = [next(iter(cell["effects"].values())) for cell in found]
    ours, ridge = ([cell[key]["r2"][index] for cell in main if cell] for key in ("foreworld", "ridge-ARX"))
    text = (interval(ours) if len(ours) > 1 else f"{ours[0]:.2f}") + f" ({np.mean(ridge):.2f})"
    return text if np.mean(ours) > 0.5 else f"**{text}**"


def main() -> None:
    arguments = command_line(__doc__, "domains; all by default").parse_args()
    fill(RESULTS, arguments.names or registry.names(), arguments.seeds, run)
    publish(RESULTS, report(gather(RESULTS, registry.names())))


if __name__ == "__main__":
    main()
