"""What must not go wrong: limits on sampled futures, such as `P(glucose < 54) <= 0.01`, and how badly one is broken.

A limit is `P(condition) <= p`: the chance that the condition is met *at any step of the horizon*. Or
`CVaR(number, level) <= c`: each future's average over the steps, and of those the mean of the worst 1 - level share
(Rockafellar and Uryasev, J Risk 2, 2000). Or `mean(number) <= c`, over futures and steps. Or a plain condition, which
may fail at any step in 1% of the futures at most.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from foreworld.data.schema import Schema
from foreworld.errors import QuestionError
from foreworld.reasoning.expression import Condition, Number, Parser, Values

NEARLY = 0.01  # Share of futures in which a condition without a probability may fail.
_SURE = 1e-3  # Chances asked for are kept this far from 0 and 1, where a normal quantile would be infinite.
Kind = Literal["P", "CVaR", "mean", "always"]
_FORMS: dict[Kind, str] = {"P": "P(condition)", "CVaR": "CVaR(number, level)", "mean": "mean(number)"}


@dataclass(frozen=True)
class Limit:
    """A bound over sampled futures of the whole horizon.

    Attributes:
        text: as it was written.
        kind: see the module; `always` is a condition without a probability.
        bounded: the condition or the number.
        bound: what must not be passed: a chance for `P` and `always`, otherwise in units of the number.
        level: of CVaR.
    """

    text: str
    kind: Kind
    bounded: Number | Condition
    bound: float
    level: float = 0.0

    def value(self, values: Values) -> Float[Tensor, "*batch"]:
        """What is bounded, from quantities [sample, *batch, step]: a chance, a CVaR or a mean."""
        if isinstance(self.bounded, Condition):
            return self.broken(values).float().mean(0)
        return self._tail(self.bounded.value(values).mean(-1))

    def broken(self, values: Values) -> Bool[Tensor, "sample *batch"]:
        """In which futures it goes wrong: the condition at any step, or the future's average past the bound."""
        if isinstance(self.bounded, Condition):
            holds = self.bounded.holds(values)
            return (~holds if self.kind == "always" else holds).any(-1)
        return self.bounded.value(values).mean(-1) > self.bound

    def reach(self, values: Values) -> Float[Tensor, "*batch"]:
        """How far it is from being kept, from many samples, in native units: not above zero where it is kept.

        A chance is turned into the quantile that it stands for: P(condition) <= p asks that of the worst steps of all
        futures, measured by the margin of the condition, no more than a share p goes wrong.
        """
        if not isinstance(self.bounded, Condition):
            return self.value(values) - self.bound
        worst = self._worst(values)
        allowed = min(int(self.bound * len(worst) + 1e-6), len(worst) - 1)
        return worst.sort(0, descending=True).values[allowed]

    def rough_reach(self, values: Values) -> Float[Tensor, "*batch"]:
        """The same from few samples, and smoothly: the quantile is that of a normal.

        So a search sees which way is out, even where all or none of its few futures break the limit.
        """
        if isinstance(self.bounded, Condition):
            worst, chance = self._worst(values), min(max(self.bound, _SURE), 1 - _SURE)
            return worst.mean(0) + NormalDist().inv_cdf(1 - chance) * _deviation(worst)
        average = self.bounded.value(values).mean(-1)
        # Of a normal, CVaR at level q is mean + deviation * density(z_q) / (1 - q).
        spread = NormalDist().pdf(NormalDist().inv_cdf(self.level)) / (1 - self.level) if self.level else 0.0
        return average.mean(0) + spread * _deviation(average) - self.bound

    def _worst(self, values: Values) -> Float[Tensor, "sample *batch"]:
        assert isinstance(self.bounded, Condition)
        margin = self.bounded.margin(values)
        return (margin if self.kind == "always" else -margin).amax(-1)

    def _tail(self, average: Float[Tensor, "sample *batch"]) -> Float[Tensor, "*batch"]:
        count = len(average)
        keep = max(1, round(count * (1 - self.level))) if self.kind == "CVaR" else count
        return average.sort(0, descending=True).values[:keep].mean(0)


def _deviation(values: Float[Tensor, "sample *batch"]) -> Float[Tensor, "*batch"]:
    """Standard deviation over samples, with a gradient where it is zero."""
    variance = (values - values.mean(0)).square().sum(0) / max(len(values) - 1, 1)
    return (variance + 1e-12).sqrt()


def parse_limit(text: str, schema: Schema) -> Limit:
    """Read a limit.

    Raises:
        QuestionError: saying what is wrong, and where in the text.
    """
    parser = Parser(text, schema)
    tree = parser.tree
    summary, kind = _summary_of(tree)
    if summary is None or kind == "always":
        return _named(Limit(text, "always", parser.condition(tree), NEARLY), parser)
    well_formed = isinstance(tree, ast.Compare) and tree.left is summary and len(tree.ops) == 1
    if not isinstance(tree, ast.Compare) or not well_formed or not isinstance(tree.ops[0], ast.LtE | ast.Lt):
        raise parser.error(tree, f"this limit reads {_FORMS[kind]} <= a number")
    if len(summary.args) != (2 if kind == "CVaR" else 1) or summary.keywords:
        raise parser.error(summary, f"this reads {_FORMS[kind]}")
    bounded = parser.condition(summary.args[0]) if kind == "P" else parser.number(summary.args[0])
    bound = parser.constant(tree.comparators[0])
    if kind == "P" and not 0 <= bound < 1:
        raise parser.error(tree.comparators[0], "a chance is at least 0 and less than 1")
    level = parser.constant(summary.args[1]) if kind == "CVaR" else 0.0
    if not 0 <= level < 1:
        raise parser.error(summary.args[1], "the level of CVaR is at least 0 and less than 1, such as 0.95")
    return _named(Limit(text, kind, bounded, bound, level), parser)


def parse_goal(text: str, schema: Schema) -> Number | Condition:
    """Read a goal: a condition to come near to, or a number to make small.

    Raises:
        QuestionError: saying what is wrong, and where in the text.
    """
    parser = Parser(text, schema)
    goal = parser.build(parser.tree)
    if not goal.names:
        raise parser.error(parser.tree, "a goal names a target or an action")
    return goal


def goal_cost(goal: Number | Condition, values: Values) -> Float[Tensor, "sample *batch"]:
    """The cost of each future: the number, or how far outside the condition it is (native units), mean over steps."""
    if isinstance(goal, Number):
        return goal.value(values).mean(-1)
    return goal.margin(values).clamp_min(0).mean(-1)


def _named(limit: Limit, parser: Parser) -> Limit:
    if not limit.bounded.names:
        raise parser.error(parser.tree, "a limit names a target or an action")
    return limit


def goal_observation(wanted: Mapping[str, float | int], schema: Schema, scales: Mapping[str, float]) -> str:
    """The goal of being near an observation, as a text: the root of the summed squares of scaled differences.

    Args:
        wanted: values of continuous targets, in native units.
        schema: of the model.
        scales: what counts as one unit of distance, by target.

    Raises:
        QuestionError: something else than a continuous target, or nothing at all.
    """
    targets = [variable.name for variable in schema.targets if variable.kind == "continuous"]
    unknown = sorted(set(wanted) - set(targets))
    if unknown or not wanted:
        problem = f"'{unknown[0]}' is no continuous target" if unknown else "no target is given"
        raise QuestionError(f"goal: {problem}; there are {', '.join(targets)}")
    terms = [f"((`{name}` - {float(value)!r}) / {scales[name]!r})**2" for name, value in wanted.items()]
    return f"sqrt({' + '.join(terms)} + 1e-12)"


def _summary_of(tree: ast.expr) -> tuple[ast.Call | None, Kind]:
    """The P(...), CVaR(...) or mean(...) of a limit, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            for kind in _FORMS:
                if kind == node.func.id:
                    return node, kind
    return None, "always"
