"""When not to trust the model: coverage where it says *supported*, flags under shift, and errors ranked in advance.

    python benchmarks/support.py                       # the missing cells, then benchmarks/results/support.md
    python benchmarks/support.py weather --seeds 0     # some of them
    python benchmarks/support.py --seeds 0 --small     # a trial of a few minutes, kept in build

A cell is a domain and a seed. The model is that of benchmarks/domains.py (kept in build), fitted where it is not there.
It is asked about unseen instances of the world that it knows, of the domain's own shifts, and of worlds shifted by
construction: `sensor noise` (one standard deviation of training on every continuous observation), `sensor offset`
(three of them) and `all at once` (every action at the largest value of training throughout). All truths come from the
simulator; each question is followed under FUTURES chances.
`recorded` is what was done and came of it in unseen episodes: the world of training, in which false alarms are counted.
In the `known world` plans are what was intended at the time of the question, which later rows would have changed, and
`other plans` are the domain's alternatives: both are within the world, and not quite within the habits of training.

- A question is flagged if any step is unsupported. Coverage under shift counts supported steps alone.
- A shift is *strong* if the model's mean error under it is at least STRONG times that in the known world. Flags have no
  part in that, and it was laid down before flags were looked at.
- AURC is the mean risk of the k most trusted cases, averaged over k (Geifman and El-Yaniv, ICLR 2019); given is the
  share of the way from random order to the best one. The risk is the absolute error of the median, in deviations of
  training, mean over steps and targets. `one future` takes it of one future, which holds chance that nobody can
  foretell; `mean` of FUTURES of them, which is the error to be expected. Cases are ordered by the expected error of the
  verdict, and by the score alone beside it. The mixture is half of the known world, half of all shifts in equal parts.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cells import KEPT, command_line, fill, gather, publish
from domains import MODELS
from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, cut
from foreworld.domains import registry
from foreworld.domains.base import Domain, split
from foreworld.domains.collect import branch, collect, draw_origins, episode_ids
from foreworld.evidence import metrics
from foreworld.evidence.bet.trust import share_recovered
from foreworld.evidence.evaluate import origins, subset
from foreworld.model import WorldModel
from foreworld.reasoning.support.verdict import GROUNDS
from foreworld.world.config import FitConfig

RESULTS = Path(__file__).parent / "results" / "support"
TRIAL = KEPT / "support"
NAMES = ("glucose", "tumour", "weather", "anaesthesia")
CASES, FUTURES, FEW = 300, 8, 100
STRONG = 2.0
RECORDED, KNOWN, OTHER = "recorded", "known world", "other plans"
LEVELS = (0.5, 0.8, 0.9)
SMALL = {"members": 3, "latent": 16, "hidden": 32, "steps": 150, "cases": 400}


def observed(cases: Cases, model: WorldModel, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Cases:
    """Other readings of the same histories; the truth is as it was."""
    variables = model.schema.observations
    scale = model.encoding.scaling.of(variables)[1] * [variable.kind == "continuous" for variable in variables]
    low = [-np.inf if variable.low is None else variable.low for variable in variables]
    high = [np.inf if variable.high is None else variable.high for variable in variables]
    episodes = tuple(
        replace(history, observations=np.clip(change(history.observations, scale), low, high))
        for history in cases.histories
    )
    return replace(cases, histories=Episodes(cases.histories.schema, episodes))


def questions(
    domain: Domain, test: Sequence[str], plans: Callable | None, futures: int, count: int, seed: int
) -> Cases:
    """Questions about a world, each followed under so many chances, next to each other.

    Args:
        domain: the world.
        test: instances.
        plans: from what was intended to what is done; None for the domain's own alternatives.
        futures: of each question.
        count: questions.
        seed: of everything.
    """
    study = domain.study
    rows = (study.first, study.steps - study.horizon)
    ids = episode_ids(test, study.episodes)
    each = max(1, count // len(ids))
    places = draw_origins(domain, ids=ids, per_episode=each, rows=rows, seed=200 + seed)
    if plans is not None:
        domain.alternatives = lambda instances, actions, seeds: plans(actions)
    return branch(domain, origins=places, horizon=study.horizon, alternatives=futures, seed=200 + seed)


def worlds(name: str, model: WorldModel, test: Sequence[str], count: int, seed: int) -> dict[str, tuple[Cases, int]]:
    """Every world that is asked about, and the futures of each question in it; the first two are known."""

    def ask(domain: Domain, plans: Callable) -> tuple[Cases, int]:
        return questions(domain, test, plans, FUTURES, count, seed), FUTURES

    def world() -> Domain:
        return registry.simulator(name)

    rng = np.random.default_rng([seed, 1])
    study = world().study
    data = collect(world(), instances=test, episodes_per_instance=study.episodes, steps=study.steps, seed=100 + seed)
    places = origins(data, context=max(study.first, 1), horizon=study.horizon, limit=4 * count, seed=seed)
    found = {RECORDED: (cut(data, places, study.horizon), 1), KNOWN: ask(world(), lambda plan: plan)}
    found[OTHER] = questions(world(), test, None, 1, count, seed), 1
    for shift in world().shifts:
        found[shift] = ask(world().shifted(shift), lambda plan: plan)
    known = found[KNOWN][0]
    once = np.repeat(np.arange(len(known.truth) // FUTURES), FUTURES)
    noise = [rng.standard_normal(history.observations.shape) for history in known.histories][::FUTURES]
    order = iter(once.tolist())
    found["sensor noise"] = observed(known, model, lambda value, scale: value + scale * noise[next(order)]), FUTURES
    found["sensor offset"] = observed(known, model, lambda value, scale: value + 3 * scale), FUTURES
    if model.schema.actions:
        largest = [model.encoding.scaling.variables[variable.name].high for variable in model.schema.actions]
        found["all at once"] = ask(world(), lambda plan: np.full_like(plan, largest))
    return found


def ask(model: WorldModel, cases: Cases, futures: int, seed: int) -> dict[str, np.ndarray]:
    """Verdict, forecast and truths of one world; errors in standard deviations of training."""
    first = subset(cases, range(0, len(cases.truth), futures))
    answer = model.follow(first.histories, first.plan, seed=seed)
    truth = cases.truth.reshape(-1, futures, *cases.truth.shape[1:])
    scale = model.encoding.scaling.of(model.schema.targets)[1]
    away = np.abs(truth - answer.quantiles([0.5])[0][:, None]) / scale
    low, high = answer.quantiles([0.05, 0.95])
    found = {
        "supported": answer.supported,
        "times": answer.verdict.times,
        "one future": away[:, 0].mean((1, 2)),
        "mean": away.mean((1, 2, 3)),
        "expected error": (answer.expected_error() / scale).mean((1, 2)),
        "score": -answer.verdict.support[:, -1],
        "width": ((high - low) / scale).mean((1, 2)),
    }
    place = np.stack([metrics.pit(answer.samples, truth[:, chance], seed=chance) for chance in range(futures)], axis=1)
    return found | {f"inside {level:g}": metrics.within(place, level).mean(1) for level in LEVELS}


def describe(found: dict[str, np.ndarray], known: dict[str, np.ndarray]) -> dict:
    """What is reported of one world; coverage by step and target."""
    supported = found["supported"]
    kept = np.maximum(supported.sum(0), 1)[:, None]
    return {
        "cases": len(supported),
        "error": float(found["mean"].mean() / known["mean"].mean()),
        "flagged": float(1 - supported.all(1).mean()),
        "supported_steps": supported.mean(0).tolist(),
        "by_ground": dict(zip(GROUNDS, (found["times"] > 1).any(2).mean(1).tolist(), strict=True)),
        "coverage": {
            f"{level:g}": {
                "all": found[f"inside {level:g}"].mean(0).tolist(),
                "supported": (np.where(supported[..., None], found[f"inside {level:g}"], 0).sum(0) / kept).tolist(),
            }
            for level in LEVELS
        },
    }


def ranking(asked: dict[str, dict[str, np.ndarray]]) -> dict:
    """Share of the AURC gap recovered, in the known world and on an even mixture with all shifted worlds."""
    shifted = [found for world, found in asked.items() if world not in (RECORDED, KNOWN, OTHER)]
    count = len(asked[KNOWN]["mean"])
    rng, per = np.random.default_rng(0), count // len(shifted)
    some = [(found, rng.permutation(len(found["mean"]))[:per]) for found in shifted]
    parts = {"known": [(asked[KNOWN], np.arange(count))]}
    parts["mixture"] = [(asked[KNOWN], rng.permutation(count)[: per * len(shifted)]), *some]
    result: dict = {}
    for setting, chosen in parts.items():
        both = {key: np.concatenate([found[key][place] for found, place in chosen]) for key in (*RISKS, *ORDERS)}
        result[setting] = {
            risk: {key: share_recovered(both[risk], both[key]) for key in (*ORDERS, "mean")} for risk in RISKS
        }
    return result


RISKS, ORDERS = ("mean", "one future"), ("expected error", "width", "score")


def run(name: str, seed: int, small: bool) -> dict:
    """One cell."""
    domain = registry.simulator(name)
    train, test = split(domain.instances, seed, domain.study.folds)
    kept, study = (TRIAL if small else MODELS) / name / f"seed{seed}", domain.study
    if not kept.exists():
        each = 1 if small else study.episodes
        data = collect(domain, instances=train, episodes_per_instance=each, steps=study.steps, seed=100 + seed)
        began, config = time.perf_counter(), FitConfig.model_validate(SMALL) if small else None
        model = WorldModel.fit(data, seed=seed, horizon=study.horizon, config=config)
        model.about["fit_seconds"] = round(time.perf_counter() - began, 1)
        model.save(kept)
    model = WorldModel.load(kept)
    began = time.perf_counter()
    asked = {
        world: ask(model, cases, futures, seed)
        for world, (cases, futures) in worlds(name, model, test, FEW if small else CASES, seed).items()
    }
    cell = {"domain": name, "seed": seed, "horizon": study.horizon, "small": small}
    cell["targets"] = [target.name for target in model.schema.targets]
    cell["worlds"] = {world: describe(found, asked[KNOWN]) for world, found in asked.items()}
    cell["aurc"] = ranking(asked)
    return cell | {"fit_seconds": model.about["fit_seconds"], "seconds": round(time.perf_counter() - began, 1)}


def report(cells: Sequence[dict]) -> str:
    """The tables: by domain, the mean over seeds."""
    lines = ["# When not to trust the model", "", str(__doc__).split("\n\n", 2)[2].strip(), ""]
    lines += [
        "Mean over seeds. Coverage: least and largest over steps with a tenth of the cases supported, mean over",
        "",
    ]
    lines[-2] += " targets; in percent."
    for name in dict.fromkeys(cell["domain"] for cell in cells):
        some = [cell for cell in cells if cell["domain"] == name]
        lines += [f"## {name}, {len(some)} seeds" + (", a trial with small models" if some[0]["small"] else ""), ""]
        lines += [
            "| world | error | strong | flagged % | 90 covers | 80 | 50 | by ground: " + ", ".join(GROUNDS) + " |"
        ]
        lines += ["|---" * 8 + "|"]
        for world in some[0]["worlds"]:
            lines.append(f"| {world} | " + " | ".join(_row([cell["worlds"][world] for cell in some])) + " |")
        lines += ["", "| AURC, share of the gap recovered % | " + " | ".join(ORDERS) + " |", "|---" * 4 + "|"]
        for setting in ("known", "mixture"):
            for risk in RISKS:
                shares = [100 * np.mean([cell["aurc"][setting][risk][key] for cell in some]) for key in ORDERS]
                lines.append(f"| {setting}, risk {risk} | " + " | ".join(f"{share:.0f}" for share in shares) + " |")
        lines.append("")
    return "\n".join(lines)


def _row(found: Sequence[dict]) -> list[str]:
    error = float(np.mean([one["error"] for one in found]))
    # A ground that an earlier model did not have flagged nothing.
    grounds = [100 * np.mean([one["by_ground"].get(ground, 0.0) for one in found]) for ground in GROUNDS]
    supported = np.mean([one["supported_steps"] for one in found], axis=0) >= 0.1
    covers = []
    for level in ("0.9", "0.8", "0.5"):
        share = 100 * np.mean([one["coverage"][level]["supported"] for one in found], axis=0).mean(-1)[supported]
        covers.append(f"{share.min():.0f} to {share.max():.0f}" if share.size else "-")
    flagged = 100 * np.mean([one["flagged"] for one in found])
    strong = "yes" if error >= STRONG else ""
    return [f"{error:.2f}", strong, f"{flagged:.1f}", *covers, ", ".join(f"{ground:.0f}" for ground in grounds)]


def main() -> None:
    """Fill in the missing cells and write the table."""
    parser = command_line(__doc__, "domains; all by default")
    parser.add_argument("--small", action="store_true", help="a trial")
    arguments = parser.parse_args()
    folder = TRIAL / "cells" if arguments.small else RESULTS
    fill(folder, arguments.names or NAMES, arguments.seeds, lambda name, seed: run(name, seed, arguments.small))
    publish(folder, report([cell for cells in gather(folder, sorted(NAMES)).values() for cell in cells]))


if __name__ == "__main__":
    main()
