"""What an outcome hangs on: each action at each moment set low and high, and how far the outcome moves (a tornado).

Low and high are the 5% and 95% quantile of what was done on record, of an impulse nothing and the 95% quantile of what
was given, once in a block. Every case is a candidate of one rollout, under the same chance. A moment is a block of
steps.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.episodes import Episodes
from foreworld.data.frames import frame_from_columns, free
from foreworld.data.plan import Plan
from foreworld.data.scaling import Scale
from foreworld.data.schema import Variable
from foreworld.errors import QuestionError
from foreworld.reasoning.effect.answer import EVERYONE, MOSTLY
from foreworld.reasoning.effect.arms import Model, join, roll_arms
from foreworld.reasoning.effect.bootstrap import draw_weights
from foreworld.reasoning.imagination import spread
from foreworld.reasoning.question import Do, build_plan

MOMENTS = 6  # Blocks that the steps are divided into, at most.
ENOUGH = (
    20  # Recorded values that quantiles are taken of; with fewer, mean and deviation in training say what is usual.
)
WIDE = 1.645  # Deviations to the 5% and the 95% quantile of a normal law.


@dataclass(frozen=True)
class Ranking:
    """How far the outcome moves if an action is low or high in a block of steps, and as planned otherwise.

    Attributes:
        histories, plan: the question.
        outcome, unit, at: what is looked at, and at which step.
        cases: action, first and last step, low and high value of each; the most important first.
        low, high: change of the outcome against the plan, by case and history.
        swing, swing_levels: `high - low` on average over the histories, and its 5% and 95% quantile.
        supported: whether history and both values lie within what the model has seen.
        nearest: names of the training episodes that are most like what is imagined of each history under the plan.
    """

    histories: Episodes
    plan: Plan
    outcome: str
    unit: str
    at: int
    cases: tuple[dict[str, Any], ...]
    low: Float[np.ndarray, "case episode"]
    high: Float[np.ndarray, "case episode"]
    levels: Float[np.ndarray, "level case episode"]
    swing: Float[np.ndarray, " case"]
    swing_levels: Float[np.ndarray, "level case"]
    supported: Bool[np.ndarray, "case episode"]
    nearest: tuple[tuple[str | int, ...], ...]

    def to_frame(self, backend: str | None = None) -> Any:
        """One row an (id or `all`, action, block of steps): what it is set to, and how far the outcome moves."""
        schema, count = self.histories.schema, len(self.histories) + 1
        ids = np.array([EVERYONE, *(str(history.id) for history in self.histories)], dtype=object)
        columns: dict[str, Any] = {schema.id: np.repeat(ids, len(self.cases))}
        ours: dict[str, Any] = {
            name: np.tile(_column([case[name] for case in self.cases]), count)
            for name in ("action", "first_step", "last_step", "low", "high")
        }
        for name, values in (("at_low", self.low), ("at_high", self.high)):
            ours[name] = np.concatenate([values.mean(1)[None], values.T]).reshape(-1)
        ours["swing"] = np.concatenate([self.swing[None], (self.high - self.low).T]).reshape(-1)
        for name, everyone, each in zip(("q05", "q95"), self.swing_levels, self.levels, strict=True):
            ours[name] = np.concatenate([everyone[None], each.T]).reshape(-1)
        ours["outcome"] = np.full(count * len(self.cases), self.outcome, dtype=object)
        ours["step"] = np.full(count * len(self.cases), self.at)
        ours["unit"] = np.full(count * len(self.cases), self.unit, dtype=object)
        everyone = self.supported.mean(1) >= MOSTLY
        ours["supported"] = np.concatenate([everyone[None], self.supported.T]).reshape(-1)
        columns |= {free(name, columns): values for name, values in ours.items()}
        return frame_from_columns(columns, backend or self.histories.backend)

    def summary(self) -> dict[str, Any]:
        """The ranking on average over the histories; JSON-able."""
        return {
            "outcome": self.outcome,
            "unit": self.unit,
            "step": self.at,
            "episodes": len(self.histories),
            "nearest": {
                str(history.id): list(names) for history, names in zip(self.histories, self.nearest, strict=True)
            },
            "ranking": [
                {
                    **case,
                    "at_low": float(self.low[place].mean()),
                    "at_high": float(self.high[place].mean()),
                    "swing": float(self.swing[place]),
                    "q05": float(self.swing_levels[0, place]),
                    "q95": float(self.swing_levels[1, place]),
                    "supported": bool(self.supported[place].mean() >= MOSTLY),
                }
                for place, case in enumerate(self.cases)
            ],
        }


def rank(
    model: Model,
    histories: Episodes,
    outcome: str,
    *,
    at: int | None = None,
    do: Do | None = None,
    horizon: int | None = None,
    future: Episodes | None = None,
    data: Episodes | None = None,
    seed: int = 0,
) -> Ranking:
    """Put the question together from what the user says, and answer it; see `WorldModel.rank`.

    Raises:
        QuestionError: no such outcome, a step outside the horizon, no history, or no action.
    """
    steps = model.config.horizon if horizon is None else horizon
    if not len(histories):
        raise QuestionError("there is no history to start from")
    if not histories.schema.actions:
        raise QuestionError("the model has no actions, so that there is nothing to rank")
    place = outcome_place(histories.schema.targets, outcome)
    last = steps if at is None else at
    if not 1 <= last <= steps:
        raise QuestionError(f"at: step {last} is not among the {steps} that are looked ahead")
    plan = build_plan(histories, model.encoding.scaling, do=do, horizon=steps, future=future)
    cases = list_cases(model, histories if data is None else data, last)
    plans = [plan, *(set_case(plan, case, case[value]) for case in cases for value in ("low", "high"))]
    reached = roll_arms(model, histories, plans, seed=seed)[:, :, :, last - 1, place]
    moved = reached[1:] - reached[0]
    low, high = moved[0::2], moved[1::2]
    names, units, _ = spread(np.zeros((1, len(histories.schema.targets))), histories.schema.targets)
    known = model.judge(*join(histories, plans[1:])).supported[:, last - 1]
    known = known.reshape(len(cases), 2, len(histories))
    supported = known[:, 0] & known[:, 1]
    everyone, each = _intervals(high - low, seed)
    swing = (high - low).mean((1, 2))
    order = np.argsort(-np.abs(swing), kind="stable")
    return Ranking(
        histories=histories,
        plan=plan,
        outcome=names[place],
        unit=units[place],
        at=last,
        cases=tuple(_told(cases[index], histories) for index in order),
        low=low.mean(1)[order],
        high=high.mean(1)[order],
        levels=each[:, order],
        swing=swing[order],
        swing_levels=everyone[:, order],
        supported=supported[order],
        nearest=model.neighbours(histories, plan, seed=seed),
    )


def outcome_place(targets: tuple[Variable, ...], outcome: str) -> int:
    """The place of an outcome among the units of an answer; `variable` alone does for a binary one."""
    names = spread(np.zeros((1, len(targets))), targets)[0]
    for name in (outcome, f"{outcome}=1"):
        if name in names:
            return names.index(name)
    raise QuestionError(f"outcome: there is no '{outcome}'; there are {', '.join(names)}")


def list_cases(model: Model, data: Episodes, last: int) -> list[dict[str, Any]]:
    """Every action in every block of the steps up to the one that is looked at, with its low and high value."""
    blocks = [part for part in np.array_split(np.arange(1, last + 1), min(MOMENTS, last)) if len(part)]
    cases = []
    for column, variable in enumerate(data.schema.actions):
        scale = model.encoding.scaling.variables[variable.name]
        done = np.concatenate([episode.actions[:, column] for episode in data])
        done = done[np.isfinite(done)]
        for low, high in _ends(variable, scale, done):
            cases += [
                {
                    "action": variable.name,
                    "column": column,
                    "rest": scale.centre if scale.impulse else None,
                    "first_step": int(block[0]),
                    "last_step": int(block[-1]),
                    "low": low,
                    "high": high,
                }
                for block in blocks
            ]
    return cases


def _ends(variable: Variable, scale: Scale, done: Float[np.ndarray, " row"]) -> list[tuple[float, float]]:
    """Low and high of an action; of a category, each label against the first."""
    if variable.kind == "categorical":
        return [(0.0, float(code)) for code in range(1, variable.width)]
    if variable.kind == "binary":
        return [(0.0, 1.0)]
    given = done[done != scale.centre] if scale.impulse else done
    if len(given) < ENOUGH:
        # The scale of an impulse is its usual size; it may lie on either side of nothing.
        down, up = scale.centre - scale.low, scale.high - scale.centre
        if scale.impulse:
            return [(scale.centre, scale.centre + (min(scale.scale, up) if up >= down else -min(scale.scale, down)))]
        return [(scale.centre - min(WIDE * scale.scale, down), scale.centre + min(WIDE * scale.scale, up))]
    low, high = np.quantile(given, [0.05, 0.95])
    return [(scale.centre if scale.impulse else float(low), float(high))]


def _column(values: list[Any]) -> np.ndarray:
    """One type a column: numbers beside labels are written out."""
    if any(isinstance(value, str) for value in values):
        return np.array([value if isinstance(value, str) else f"{value:g}" for value in values], dtype=object)
    return np.array(values)


def set_case(plan: Plan, case: dict[str, Any], value: float) -> Plan:
    """The plan with the action of a case at a value in its block of steps; an impulse comes at the first of them."""
    actions = plan.actions.copy()
    first, last = case["first_step"] - 1, case["last_step"]
    actions[:, first:last, case["column"]] = value if case["rest"] is None else case["rest"]
    actions[:, first, case["column"]] = value
    return replace(plan, actions=actions)


def _told(case: dict[str, Any], histories: Episodes) -> dict[str, Any]:
    """A case in the user's terms: categories by label."""
    variable = histories.schema.actions[case["column"]]
    told = {name: value for name, value in case.items() if name not in ("column", "rest")}
    if variable.kind == "categorical":
        told |= {name: variable.categories[int(case[name])] for name in ("low", "high")}
    return told


def _intervals(
    swing: Float[np.ndarray, "case network episode"], seed: int
) -> tuple[Float[np.ndarray, "level case"], Float[np.ndarray, "level case episode"]]:
    """5% and 95% quantiles by a bootstrap of networks and episodes: on average, and of each history."""
    rng = np.random.default_rng([seed, 9])
    networks, episodes = swing.shape[1:]
    widened = np.sqrt(networks / max(networks - 1, 1))
    drawn = (draw_weights(rng, networks) - 1 / networks) * widened
    weights = draw_weights(rng, episodes)
    each = swing.mean(1)
    average = weights @ each.T + drawn @ swing.mean(2).T
    around = np.stack([np.quantile(drawn @ part, [0.05, 0.95], axis=0) for part in swing], axis=1)
    return np.quantile(average, [0.05, 0.95], axis=0), each + around
