"""Counterfactuals against the simulator replayed with the same chance, beside the interventional answer (five seeds).

    python benchmarks/recall.py                     # the missing cells, then the table: benchmarks/results/recall.md
    python benchmarks/recall.py tumour --seeds 0    # some of them

A recorded trajectory of an unseen instance is taken back to a moment in it and gone through again from there, under
other actions and with the very chance of the recording: once under a plan drawn at random, once for each intervention
of the domain. Asked for that truth are `imagine`, which knows the trajectory up to the moment, and `recall`, which
knows all of it; the bar is an error of at most half of the former's. Between the two stand simpler counterfactuals.
`linear` is the system of kalman.py. Models are those of domains.py, kept in build; a cell takes two to ten
minutes more.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cells import command_line, fill, gather, publish
from domains import fitted
from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, Plan, cut
from foreworld.domains import registry
from foreworld.domains.base import Domain, split
from foreworld.domains.collect import collect, draw_origins, episode_ids
from foreworld.domains.replay import Replays, replay
from foreworld.evidence.metrics import interval as central
from foreworld.model import WorldModel
from foreworld.reasoning.abduction import carry_over
from foreworld.reasoning.recall import SAMPLES, answer
from glucose import interval
from kalman import HORIZON, A, B, C, Q, R, simulate

RESULTS = Path(__file__).parent / "results" / "recall"
NAMES = ("linear", "glucose", "tumour", "weather", "maze", "market", "anaesthesia", "emissions")
CASES = 100  # Of each setting.
RANDOM = "another plan"
BAR = 0.5


@dataclass(frozen=True)
class Setting:
    """Questions with their true answers: what was recorded, what is done instead, and what comes of it."""

    trajectories: Episodes
    fact: Cases
    plan: Plan
    truth: np.ndarray

    @classmethod
    def of(cls, replays: Replays) -> "Setting":
        horizon = replays.actions.shape[1]
        fact = cut(replays.trajectories, [(index, int(row)) for index, row in enumerate(replays.rows)], horizon)
        return cls(replays.trajectories, fact, replace(fact.plan, actions=replays.actions), replays.truth)


def run(name: str, seed: int) -> dict:
    """Errors of every answer in every setting of a domain, on instances that the model has not seen."""
    if name == "linear":
        model = fitted(name, seed, lambda: simulate(200, 200, seed), HORIZON)
        return {RANDOM: score(model, linear(seed), seed), "targets": ["position"]}
    domain = registry.create(name)
    assert isinstance(domain, Domain), f"{name} has no simulator to go back in"
    study = domain.study
    train, test = split(domain.instances, seed, study.folds)

    def learn() -> Episodes:
        return collect(
            domain, instances=train, episodes_per_instance=study.episodes, steps=study.steps, seed=100 + seed
        )

    model = fitted(name, seed, learn, study.horizon)
    result: dict = {"targets": [f"{target.name} ({target.unit})" for target in domain.schema.targets]}
    ids = episode_ids(test, study.episodes)
    for key in (None, *domain.interventions):
        asked = draw_origins(
            domain,
            ids=ids,
            per_episode=max(1, CASES // len(ids)),
            rows=(study.first, study.steps - study.horizon),
            doing=(domain.interventions[key].doing or None) if key else None,
            seed=100 + seed,
        )
        if asked:
            found = replay(domain, origins=asked, horizon=study.horizon, intervention=key, seed=100 + seed)
            result[key or RANDOM] = score(model, Setting.of(found), seed)
    return result


def linear(seed: int) -> Setting:
    """The system of kalman.py, each episode a second time with other forces at its end and the same noise."""
    rng = np.random.default_rng(1000 + seed)
    steps, at = 200, 200 - HORIZON
    forces = np.repeat(rng.normal(size=(1, CASES, steps)), 2, axis=0)
    forces[1, :, at:] = rng.normal(size=(CASES, HORIZON))
    state = np.repeat(rng.normal(size=(1, CASES, 2)), 2, axis=0)
    pushes = rng.normal(size=(CASES, steps, 2)) @ np.linalg.cholesky(Q).T
    seen = [state @ C]
    for step in range(steps):
        state = state @ A.T + forces[:, :, step, None] * B + pushes[:, step]
        seen.append(state @ C)
    seen = np.stack(seen, -1) + np.sqrt(R) * rng.normal(size=(CASES, steps + 1))
    made = simulate(CASES, steps, seed)
    episodes = Episodes(
        made.schema,
        tuple(
            replace(episode, observations=values[:, None], actions=force[:, None])
            for episode, values, force in zip(made, seen[0], forces[0], strict=True)
        ),
    )
    return Setting.of(Replays(episodes, np.full(CASES, at), forces[1, :, at:, None], seen[1, :, at + 1 :, None]))


def score(model: WorldModel, asked: Setting, seed: int) -> dict:
    """Root mean square error by step and target of each answer, and how often the intervals of `recall` cover."""
    fact, plan, truth = asked.fact, asked.plan, asked.truth
    factual, other = (model.forecast(fact.histories, what, members=SAMPLES, seed=seed) for what in (fact.plan, plan))
    recalled = answer(model, asked.trajectories, fact, plan, seed=seed).samples
    continuous = [index for index, target in enumerate(model.schema.targets) if target.kind == "continuous"]
    pick = (..., continuous)
    rng = np.random.default_rng(seed)
    smoothed = carry_over(factual[pick], other[pick], fact.truth[pick], rng).mean(0)
    ridge = model.baselines["ridge-ARX"]
    ridged = [ridge.forecast(fact.histories, what, seed=seed).mean(0) for what in (fact.plan, plan)]
    answers = {
        "imagine": other.mean(0)[pick],
        "recall": recalled.mean(0)[pick],
        "same chance": smoothed,
        "same residual": (fact.truth + other.mean(0) - factual.mean(0))[pick],
        "same rank": same_rank(factual, other, fact.truth)[pick],
        "ridge-ARX, same residual": (fact.truth + ridged[1] - ridged[0])[pick],
        "nothing changes": fact.truth[pick],
    }
    errors = {
        who: np.sqrt(np.nanmean(np.square(guess - truth[pick]), axis=0)).tolist() for who, guess in answers.items()
    }
    covered = {}
    for level in (0.5, 0.8, 0.9):
        low, high = central(recalled[pick], level)
        slack = 1e-4 * model.encoding.scaling.of(model.schema.targets)[1][continuous]
        inside = (truth[pick] >= low - slack) & (truth[pick] <= high + slack)
        covered[f"{level:.0%}"] = inside.mean((0, 1)).tolist()
    return {"cases": len(truth), "rmse": errors, "covered": covered}


def same_rank(factual: np.ndarray, other: np.ndarray, happened: np.ndarray) -> np.ndarray:
    """What happened, at its rank among the futures: the future of that rank under the other plan, step by step."""
    rank = (factual < happened).mean(0) / 2 + (factual <= happened).mean(0) / 2
    place = np.clip(rank * len(other) - 0.5, 0, len(other) - 1)
    ranked, below = np.sort(other, axis=0), np.floor(place).astype(int)
    low, high = (np.take_along_axis(ranked, at[None], 0)[0] for at in (below, np.minimum(below + 1, len(other) - 1)))
    return low + (place - below) * (high - low)


def report(cells: dict[str, list[dict]]) -> str:
    """One row a domain, target and setting."""
    lines = [
        "# What would have happened: against the simulator with the same chance",
        "",
        "`python benchmarks/recall.py`: unseen instances; RMSE of `imagine` over all steps in native units, then the",
        "error of each counterfactual as a share of it: mean over seeds ± half of its 90% interval where there are two",
        f"or more. **Bold: the bar, at most {BAR}, is not reached.** *Same chance* is `recall` without what it learns",
        "about the case, *same residual* is what happened plus the difference of two forecasts, *same rank* carries",
        "over the quantile of each step. By step: `recall` after a quarter, a half, and at the end. Covers: 90%",
        "intervals of `recall`.",
        "",
        "| domain | target | instead | seeds | `imagine` | `recall` | by step | covers | same chance | same residual "
        "| same rank | ridge-ARX, same residual | nothing changes |",
        "|---" * 13 + "|",
    ]
    for name, found in cells.items():
        for setting in (key for key in found[0] if key != "targets"):
            for index, target in enumerate(found[0]["targets"]):
                kept = [cell[setting] for cell in found if setting in cell]
                lines.append("| " + " | ".join([name, target, setting, str(len(kept)), *row(kept, index)]) + " |")
    return "\n".join(lines) + "\n"


def row(cells: list[dict], target: int) -> list[str]:
    """The numbers of one target in one setting."""

    def error(cell: dict, who: str) -> np.ndarray:
        return np.array(cell["rmse"][who])[:, target]

    def total(cell: dict, who: str) -> float:
        return float(np.sqrt(np.square(error(cell, who)).mean()))

    def share(who: str) -> str:
        ratios = [total(cell, who) / total(cell, "imagine") for cell in cells]
        return interval(ratios) if len(ratios) > 1 else f"{ratios[0]:.2f}"

    ours = np.mean([total(cell, "recall") / total(cell, "imagine") for cell in cells])
    horizon = len(error(cells[0], "imagine"))
    steps = [max(0, round(horizon * part) - 1) for part in (0.25, 0.5, 1)]
    by_step = [np.mean([error(c, "recall")[step] / error(c, "imagine")[step] for c in cells]) for step in steps]
    return [
        f"{np.mean([total(cell, 'imagine') for cell in cells]):.3g}",
        share("recall") if ours <= BAR else f"**{share('recall')}**",
        " / ".join(f"{value:.2f}" for value in by_step),
        f"{100 * np.mean([cell['covered']['90%'][target] for cell in cells]):.0f}%",
        *(share(who) for who in cells[0]["rmse"] if who not in ("imagine", "recall")),
    ]


def main() -> None:
    arguments = command_line(
        __doc__, f"of {', '.join(NAMES)} and other simulated domains; these by default"
    ).parse_args()
    fill(RESULTS, arguments.names or NAMES, arguments.seeds, run)
    publish(RESULTS, report(gather(RESULTS, ("linear", *registry.names()))))


if __name__ == "__main__":
    main()
