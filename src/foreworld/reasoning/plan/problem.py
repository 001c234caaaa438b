"""What a planner may choose: which actions, between which bounds, how fast, in which steps; and what it is to reach."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Scaling
from foreworld.data.schema import Schema, Variable
from foreworld.errors import QuestionError
from foreworld.reasoning.expression import Condition, Number
from foreworld.reasoning.limit import Limit, goal_observation, parse_goal, parse_limit

Bounds = Mapping[str, tuple[float | int | None, float | int | None]]


@dataclass(frozen=True)
class Task:
    """What is wanted of a plan, in the words and units of the user.

    Attributes:
        goal: a condition to come near to, a number to make small (`foreworld.reasoning.expression`), or the values of
            continuous targets to come near to.
        limits: what must not go wrong; see `foreworld.reasoning.limit`.
        bounds: of actions, in native units. An open side is that of the training data. Where there are bounds, the
            actions that they name are chosen, and all others are left as they are; without any, every action is chosen
            that nothing else decides.
        rates: the largest change of an action from one step to the next, in native units.
        integers: actions that are whole numbers.
        every: an action is chosen every so many steps; in between it is held, or rests if it is an impulse.
    """

    goal: str | Mapping[str, float | int]
    limits: Sequence[str] = ()
    bounds: Bounds = field(default_factory=dict)
    rates: Mapping[str, float | int] = field(default_factory=dict)
    integers: Sequence[str] = ()
    every: int = 1


@dataclass(frozen=True)
class Problem:
    """A task about some histories. What is searched for are knots: the chosen actions of every `every`-th step.

    Attributes:
        schema: of the model.
        goal, limits: parsed.
        plan: what is done and known unless it is chosen.
        chosen: the actions that are chosen, and their columns among all.
        low, high, rate: bounds and largest change a step, native units; infinite where there is no such limit.
        whole: which are whole numbers: integers, binaries and categories.
        categories: number of values of a binary or categorical, 0 for the others.
        rest: the value of an impulse between two knots; NaN for an action that is held.
        every: steps from one knot to the next.
        before: the last known value of each, NaN if there is none.
        taken: the action in the last row of a history, which is no longer to be decided; NaN if it is.
    """

    schema: Schema
    goal: Number | Condition
    limits: tuple[Limit, ...]
    plan: Plan
    chosen: tuple[Variable, ...]
    columns: tuple[int, ...]
    low: Float[Tensor, " chosen"]
    high: Float[Tensor, " chosen"]
    rate: Float[Tensor, " chosen"]
    whole: Tensor
    categories: tuple[int, ...]
    rest: Float[Tensor, " chosen"]
    every: int
    before: Float[Tensor, "episode chosen"]
    taken: Float[Tensor, "episode chosen"]

    @property
    def knots(self) -> int:
        """Decisions along the horizon."""
        return -(-self.plan.horizon // self.every)

    def take(self, episodes: Sequence[int]) -> "Problem":
        """The same task, about some of the histories."""
        return replace(self, plan=self.plan.take(episodes), before=self.before[episodes], taken=self.taken[episodes])

    def relaxed(self) -> "Problem":
        """The same, with integers that may be fractions: what a gradient can follow."""
        return replace(self, whole=torch.tensor([count > 0 for count in self.categories]))

    def project(
        self, knots: Float[Tensor, "episode candidate knot chosen"]
    ) -> Float[Tensor, "episode candidate knot chosen"]:
        """The nearest knots that are allowed: within bounds, whole where they have to be, no faster than the rate."""
        low, high, rate = (bound.to(knots) for bound in (self.low, self.high, self.rate))
        taken = self.taken.to(knots)[:, None]
        inside = torch.where(self.whole, knots.round(), knots).clamp(low, high)
        inside[:, :, 0] = torch.where(taken.isnan(), inside[:, :, 0], taken)
        if not torch.isfinite(rate).any():
            return inside
        last = self.before.to(knots)[:, None].expand_as(inside[:, :, 0])
        for knot in range(self.knots):
            slowest = torch.where(last.isnan(), low, torch.maximum(low, last - rate))
            fastest = torch.where(last.isnan(), high, torch.minimum(high, last + rate))
            slowest = torch.where(self.whole, slowest.ceil(), slowest)
            fastest = torch.where(self.whole, fastest.floor(), fastest)
            reached = inside[:, :, knot].clamp(slowest, fastest)
            inside[:, :, knot] = torch.where(taken.isnan(), reached, taken) if knot == 0 else reached
            last = inside[:, :, knot]
        return inside

    def expand(
        self, knots: Float[Tensor, "episode candidate knot chosen"]
    ) -> Float[Tensor, "episode candidate step action"]:
        """All actions of every step, in native units."""
        horizon, every = self.plan.horizon, self.every
        held = knots.repeat_interleave(every, 2)[:, :, :horizon]
        if every > 1:
            rest = self.rest.to(knots)
            between = (torch.arange(horizon) % every > 0)[:, None] & ~rest.isnan()
            held = torch.where(between, rest, held)
        others = torch.from_numpy(self.plan.actions).to(knots)
        columns = [others[:, None, :, column].expand(held.shape[:3]) for column in range(others.shape[-1])]
        for index, column in enumerate(self.columns):
            columns[column] = held[..., index]
        return torch.stack(columns, -1)

    def gather(self, actions: Float[np.ndarray, "episode step action"]) -> Float[Tensor, "episode 1 knot chosen"]:
        """The knots nearest to a plan: values at the knots, and of an impulse all that is given up to the next one."""
        episodes, horizon, _ = actions.shape
        values = torch.from_numpy(actions[:, :, list(self.columns)]).float()
        padded = torch.cat([values, values[:, -1:].expand(-1, self.knots * self.every - horizon, -1)], 1)
        rest = self.rest.float()
        given = torch.where(rest.isnan(), 0.0, padded - rest)
        given[:, horizon:] = 0.0
        blocks = given.reshape(episodes, self.knots, self.every, -1).sum(2) + rest
        first = padded[:, :: self.every]
        return self.project(torch.where(rest.isnan(), first, blocks)[:, None])


def build_problem(task: Task, histories: Episodes, plan: Plan, scaling: Scaling, decided: set[str]) -> Problem:
    """Check a task against the model, and spell it out.

    Args:
        task: what is wanted.
        histories: what was known.
        plan: what is done unless it is chosen (`foreworld.reasoning.question.build_plan`).
        scaling: of the model.
        decided: actions that the user has decided already.

    Raises:
        QuestionError: an unknown action, bounds that exclude each other or what was done, or nothing to choose.
    """
    schema = histories.schema
    goal = task.goal
    if not isinstance(goal, str):
        goal = goal_observation(goal, schema, {v.name: scaling.variables[v.name].scale for v in schema.targets})
    names = [variable.name for variable in schema.actions]
    for option, given in (("bounds", task.bounds), ("rates", task.rates), ("integers", task.integers)):
        _refuse_unknown(option, given, names)
    if task.every < 1:
        raise QuestionError(f"every {task.every} steps: at least one is needed")
    columns = tuple(
        column for column, name in enumerate(names) if (name in task.bounds if task.bounds else name not in decided)
    )
    if not columns:
        raise QuestionError("there is no action left to choose")
    chosen = tuple(schema.actions[column] for column in columns)
    low, high = np.array([_bounds(variable, task, scaling) for variable in chosen]).T
    impulses = [scaling.variables[variable.name].impulse for variable in chosen]
    centres = [scaling.variables[variable.name].centre for variable in chosen]
    problem = Problem(
        schema=schema,
        goal=parse_goal(goal, schema),
        limits=tuple(parse_limit(text, schema) for text in task.limits),
        plan=plan,
        chosen=chosen,
        columns=columns,
        low=torch.from_numpy(low),
        high=torch.from_numpy(high),
        rate=torch.from_numpy(
            np.array([_rate(variable, task, impulse) for variable, impulse in zip(chosen, impulses, strict=True)])
        ),
        whole=torch.tensor([variable.kind != "continuous" or variable.name in task.integers for variable in chosen]),
        categories=tuple(2 if variable.kind == "binary" else len(variable.categories) for variable in chosen),
        rest=torch.from_numpy(np.where(impulses, centres, np.nan)),
        every=task.every,
        before=torch.from_numpy(np.array([_last(episode.actions[:, list(columns)]) for episode in histories])),
        taken=torch.from_numpy(np.array([episode.pending[list(columns)] for episode in histories], float)),
    )
    _refuse_impossible(problem, histories)
    return problem


def _refuse_unknown(option: str, given: Mapping[str, object] | Sequence[str], names: list[str]) -> None:
    for name in given:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else f"; the actions are: {', '.join(names) or 'none'}"
            raise QuestionError(f"{option}: there is no action '{name}'{hint}")


def _bounds(variable: Variable, task: Task, scaling: Scaling) -> tuple[float, float]:
    """What the user allows, otherwise what training saw; never beyond what is possible."""
    if variable.kind != "continuous":
        return 0.0, float(max(len(variable.categories), 2) - 1)
    seen = scaling.variables[variable.name]
    low, high = task.bounds.get(variable.name, (None, None))
    for bound in (low, high):
        below = bound is not None and variable.low is not None and bound < variable.low
        if below or (bound is not None and variable.high is not None and bound > variable.high):
            possible = f"[{variable.low}, {variable.high}]"
            raise QuestionError(f"bounds: {variable.name} = {bound} is outside what is possible, {possible}")
    low, high = seen.low if low is None else float(low), seen.high if high is None else float(high)
    if variable.name in task.integers:
        low, high = np.ceil(low), np.floor(high)
    if not low <= high:
        raise QuestionError(f"bounds: no value of {variable.name} lies within [{low:g}, {high:g}]")
    return low, high


def _rate(variable: Variable, task: Task, impulse: bool) -> float:
    if variable.name not in task.rates:
        return np.inf
    rate = float(task.rates[variable.name])
    if not rate > 0:
        raise QuestionError(f"rates: {variable.name} = {rate:g} is not above zero")
    if variable.kind != "continuous":
        raise QuestionError(f"rates: {variable.name} is {variable.kind} and has no rate of change")
    if impulse and task.every > 1:
        raise QuestionError(f"rates: {variable.name} rests between doses, so a rate needs a choice every step")
    return rate


def _last(values: Float[np.ndarray, "row chosen"]) -> list[float]:
    """The last known value of each column."""
    known = [column[np.isfinite(column)] for column in values.T]
    return [float(column[-1]) if len(column) else np.nan for column in known]


def _refuse_impossible(problem: Problem, histories: Episodes) -> None:
    """What was done already may leave nothing that is within bounds and rates."""
    slack = 1e-9 * (1 + problem.high.abs() + problem.low.abs())
    taken = problem.taken
    outside = (taken < problem.low - slack) | (taken > problem.high + slack)
    from_here = torch.where(taken.isnan(), problem.before, taken)
    low = torch.where(problem.whole, (from_here - problem.rate).ceil(), from_here - problem.rate)
    high = torch.where(problem.whole, (from_here + problem.rate).floor(), from_here + problem.rate)
    stuck = (low > problem.high) | (high < problem.low) | (low > high)
    for wrong, what in ((outside, "is taken already, outside its bounds"), (stuck, "leaves no value within its rate")):
        if wrong.any():
            episode, index = wrong.nonzero()[0].tolist()
            value = float(from_here[episode, index])
            name = problem.chosen[index].name
            raise QuestionError(f"'{histories[episode].id}': {name} = {value:g} in the last row {what} and bounds")
