"""When not to trust the model: coverage where it says *supported*, flags under shift, and errors ranked in advance.

    python benchmarks/support.py                      # the missing cells, then the table: benchmarks/results/support.md
    python benchmarks/support.py weather --seeds 0    # some of them

A cell is a domain and a seed. The model is that of benchmarks/domains.py (build/domains) and is fitted where it is not
there. It is asked about unseen instances of the world that it knows, of the domain's own shifts, and of worlds that are
shifted by construction: `sensor noise` (one standard deviation of training on every continuous observation), `sensor
offset` (three of them) and `all at once` (every action at the largest value of training throughout). All truths come
from the simulator, each question followed under FUTURES chances.

A shift is *strong* if the model's mean error under it is at least twice that in the known world; flags have no part in it.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from domains import MODELS
from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases
from foreworld.domains import registry
from foreworld.domains.base import Domain, split
from foreworld.domains.collect import branch, collect, draw_origins
from foreworld.evidence.evaluate import subset
from foreworld.model import WorldModel
from foreworld.world.config import FitConfig

RESULTS = Path(__file__).parent / "results" / "support"
NAMES = ("glucose", "tumour", "weather", "maze")
CASES, FUTURES = 300, 8
STRONG = 2.0
KNOWN = "known world"
LEVELS = (0.5, 0.8, 0.9)
Change = Callable[[Cases, WorldModel, int], Cases]


def sensor_noise(cases: Cases, model: WorldModel, seed: int) -> Cases:
    """Independent noise on what was observed; the truth is as it was."""
    rng = np.random.default_rng([seed, 1])
    return _observed(cases, model, lambda values, scale: values + scale * rng.standard_normal(values.shape))


def sensor_offset(cases: Cases, model: WorldModel, seed: int) -> Cases:
    """Every sensor reads too much; the truth is as it was."""
    return _observed(cases, model, lambda values, scale: values + 3 * scale)


def _observed(cases: Cases, model: WorldModel, change: Callable) -> Cases:
    variables = model.schema.observations
    scale = model.encoding.scaling.of(variables)[1] * [variable.kind == "continuous" for variable in variables]
    low = [-np.inf if variable.low is None else variable.low for variable in variables]
    high = [np.inf if variable.high is None else variable.high for variable in variables]
    episodes = [
        replace(episode, observations=np.clip(change(episode.observations, scale), low, high))
        for episode in cases.histories
    ]
    return replace(cases, histories=Episodes(cases.histories.schema, tuple(episodes)))


CHANGES: dict[str, Change] = {"sensor noise": sensor_noise, "sensor offset": sensor_offset}


def questions(domain: Domain, test: list[str], plans: Callable | None, futures: int, seed: int) -> Cases:
    """Questions about a world, each followed under so many chances, next to each other.

    Args:
        domain: the world.
        test: instances.
        plans: from what was intended to what is done; None for the domain's own alternatives.
        futures: of each question.
        seed: of everything.
    """
    study = domain.study
    origins = draw_origins(
        domain,
        instances=test,
        per_instance=max(1, CASES // len(test)),
        rows=(study.first, study.steps - study.horizon),
        seed=200 + seed,
    )
    if plans is not None:
        domain.alternatives = lambda instances, actions, seeds: plans(actions)
    return branch(domain, origins=origins, horizon=study.horizon, alternatives=futures, seed=200 + seed)


def conditions(name: str, model: WorldModel, test: list[str], seed: int) -> dict[str, Cases]:
    """Every world that is asked about; the first two are known."""
    domain = registry.simulator(name)
    largest = [model.encoding.scaling.variables[variable.name].high for variable in domain.schema.actions]
    found = {KNOWN: questions(domain, test, lambda plan: plan, FUTURES, seed)}
    found["other plans"] = questions(registry.simulator(name), test, None, 1, seed)
    for shift in domain.shifts:
        found[shift] = questions(domain.shifted(shift), test, lambda plan: plan, FUTURES, seed)
    for change, apply in CHANGES.items():
        found[change] = apply(found[KNOWN], model, seed)
    if largest:
        every = registry.simulator(name)
        found["all at once"] = questions(every, test, lambda plan: np.full_like(plan, largest), FUTURES, seed)
    return found


def ask(model: WorldModel, cases: Cases, futures: int, seed: int) -> dict[str, np.ndarray]:
    """Verdict, forecast and truths of one condition; errors in standard deviations of training."""
    first = subset(cases, range(0, len(cases.truth), futures))
    answer = model.follow(first.histories, first.plan, seed=seed)
    truth = cases.truth.reshape(-1, futures, *cases.truth.shape[1:])
    scale = model.encoding.scaling.of(model.schema.targets)[1]
    away = np.abs(truth - answer.quantiles([0.5])[0][:, None]) / scale
    found = {"supported": answer.supported, "support": answer.support, "times": answer.verdict.times}
    found |= {"realised": away[:, 0].mean((1, 2)), "expected": away.mean((1, 2, 3))}
    found["said"] = (answer.verdict.error / scale).mean((1, 2))
    low, high = answer.quantiles([0.05, 0.95])
    found["width"] = ((high - low) / scale).mean((1, 2))
    for level in LEVELS:
        low, high = answer.quantiles([(1 - level) / 2, (1 + level) / 2])
        found[f"inside_{level:g}"] = ((truth >= low[:, None]) & (truth <= high[:, None])).mean(1)
    return found


def recovered(score: np.ndarray, risk: np.ndarray) -> float:
    """Share of the way from a random order to the best one (by the risk itself) that a score goes, in AURC.

    AURC is the mean risk of the k most trusted cases, averaged over k (Geifman and El-Yaniv, ICLR 2019).
    """

    def area(order: np.ndarray) -> float:
        return float((np.cumsum(risk[order]) / np.arange(1, len(risk) + 1)).mean())

    best, chance = area(np.argsort(risk)), float(risk.mean())
    return (chance - area(np.argsort(score, kind="stable"))) / (chance - best)


def run(name: str, seed: int, config: FitConfig | None, models: Path) -> dict:
    """One cell."""
    domain = registry.simulator(name)
    train, test = split(domain.instances, seed, domain.study.folds)
    kept, study = models / name / f"seed{seed}", domain.study
    if not kept.exists():
        data = collect(
            domain, instances=train, episodes_per_instance=study.episodes, steps=study.steps, seed=100 + seed
        )
        WorldModel.fit(data, seed=seed, horizon=study.horizon, config=config).save(kept)
    model = WorldModel.load(kept)
    began = time.perf_counter()
    worlds = conditions(name, model, test, seed)
    asked = {world: ask(model, cases, 1 if world == "other plans" else FUTURES, seed) for world, cases in worlds.items()}
    cell = {"domain": name, "seed": seed, "targets": [target.name for target in domain.schema.targets]}
    cell["worlds"] = {world: describe(found, asked[KNOWN]) for world, found in asked.items()}
    cell["aurc"] = ranking(asked)
    return cell | {"seconds": round(time.perf_counter() - began, 1)}


def describe(found: dict[str, np.ndarray], known: dict[str, np.ndarray]) -> dict:
    """What is reported of one world."""
    error = float(found["expected"].mean() / known["expected"].mean())
    supported = found["supported"]
    coverage = {}
    for level in LEVELS:
        inside = found[f"inside_{level:g}"]
        count = supported.sum(0)
        kept = np.where(supported[..., None], inside, 0).sum(0) / np.maximum(count, 1)[:, None]
        coverage[f"{level:g}"] = {"all": inside.mean(0).tolist(), "supported": kept.tolist()}
    return {
        "cases": len(supported),
        "error": error,
        "flagged": float(1 - supported.all(1).mean()),
        "supported_steps": supported.mean(0).tolist(),
        "by_ground": (found["times"] > 1).any(2).mean(1).tolist(),
        "coverage": coverage,
    }


def ranking(asked: dict[str, dict[str, np.ndarray]]) -> dict:
    """Share of the AURC gap recovered, in the known world and on an even mixture with all shifted worlds."""
    shifted = [found for world, found in asked.items() if world not in (KNOWN, "other plans")]
    known, per = asked[KNOWN], len(asked[KNOWN]["said"]) // len(shifted)
    rng = np.random.default_rng(0)
    parts = [(found, rng.permutation(len(found["said"]))[:per]) for found in shifted]
    every = np.arange(len(known["said"]))
    mixture = [(known, every), *parts]
    result = {}
    for setting, chosen in (("known", [(known, every)]), ("mixture", mixture)):
        both = {key: np.concatenate([found[key][place] for found, place in chosen]) for key in SCORES}
        result[setting] = {
            risk: {key: recovered(both[key], both[risk]) for key in SCORES if key != risk}
            for risk in ("realised", "expected")
        }
    return result


SCORES = ("said", "width", "realised", "expected")


def report(cells: list[dict]) -> str:
    """The table."""
    lines = ["# When not to trust the model", ""]
    for cell in cells:
        lines += [f"## {cell['domain']}, seed {cell['seed']}", ""]
        lines += ["| world | error | flagged | 90% covers (supported) | 80% | 50% |", "|---" * 6 + "|"]
        for world, found in cell["worlds"].items():
            covers = [spread(found["coverage"][level]["supported"], found["supported_steps"]) for level in ("0.9", "0.8", "0.5")]
            lines.append(f"| {world} | {found['error']:.2f} | {100 * found['flagged']:.1f}% | " + " | ".join(covers) + " |")
        lines.append("")
    return "\n".join(lines)


def spread(coverage: list[list[float]], supported: list[float]) -> str:
    """Least and largest coverage over the horizon, at steps with a tenth of the cases supported."""
    kept = 100 * np.array(coverage)[np.array(supported) >= 0.1]
    return f"{kept.min():.0f} to {kept.max():.0f}%" if kept.size else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="domains; all by default")
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(5)))
    arguments = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for name in arguments.names or NAMES:
            path = RESULTS / f"{name}-{seed}.json"
            if not path.exists():
                path.write_text(json.dumps(run(name, seed, None, MODELS)))
    table = report([json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))])
    RESULTS.with_suffix(".md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
