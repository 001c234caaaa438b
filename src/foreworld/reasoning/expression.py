"""The small language of goals and limits: `70 <= glucose <= 180`, `cost + 2 * abs(dose)`, `state == "dead"`.

Names are the targets and the actions of the model, in native units; a name that is no identifier stands in backquotes.
There are numbers, + - * / **, abs min max sqrt exp log, comparisons (also chained), `and` and `or`, and labels of
categorical columns. A text is parsed into a tree, and of the tree only what is known here is built: nothing else can
run.
"""

import ast
import difflib
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foreworld.data.schema import Schema, Variable
from foreworld.errors import QuestionError

Values = Mapping[str, Tensor]
"""Quantities by name in native units, of shapes that broadcast; categories as indices."""

_DEEPEST, _LONGEST = 50, 10_000  # Levels of brackets and operators, characters: more than anybody writes.
_ARITHMETIC: dict[type[ast.operator], Callable[[Tensor, Tensor], Tensor]] = {
    ast.Add: torch.add,
    ast.Sub: torch.sub,
    ast.Mult: torch.mul,
    ast.Div: torch.div,
    ast.Pow: torch.pow,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Tensor, Tensor], Tensor]] = {
    ast.Lt: torch.lt,
    ast.LtE: torch.le,
    ast.Gt: torch.gt,
    ast.GtE: torch.ge,
    ast.Eq: torch.eq,
    ast.NotEq: torch.ne,
}
_OF_ONE = {"abs": torch.abs, "sqrt": torch.sqrt, "exp": torch.exp, "log": torch.log}
_OF_MANY = {"min": torch.minimum, "max": torch.maximum}
_LANGUAGE = "numbers, names, + - * / **, abs min max sqrt exp log, comparisons, and, or"


@dataclass(frozen=True)
class Number:
    """A number over named quantities, in native units.

    Attributes:
        text: as it was written.
        names: the targets and actions that occur in it.
        value: its value, given theirs.
    """

    text: str
    names: frozenset[str]
    value: Callable[[Values], Float[Tensor, "*shape"]]


@dataclass(frozen=True)
class Condition:
    """A condition over named quantities.

    Attributes:
        text, names: as of `Number`.
        margin: how far it is from being met, in native units: positive where it is not, negative inside. Of `a and b`
            it is the larger of the two, of `a or b` the smaller; two labels are 1 apart.
        holds: whether it is met.
    """

    text: str
    names: frozenset[str]
    margin: Callable[[Values], Float[Tensor, "*shape"]]
    holds: Callable[[Values], Bool[Tensor, "*shape"]]


def parse(text: str, schema: Schema) -> Number | Condition:
    """Read an expression over the targets and actions of a schema.

    Raises:
        QuestionError: saying what is wrong, and where in the text.
    """
    parser = Parser(text, schema)
    return parser.build(parser.tree)


class Parser:
    """One text, its tree, and what its parts mean."""

    def __init__(self, text: str, schema: Schema):
        self.text = text
        self.variables = {variable.name: variable for variable in (*schema.targets, *schema.actions)}
        self.quoted: dict[int, str] = {}
        self.tree = self._parse()

    def error(self, node: ast.AST, problem: str) -> QuestionError:
        """What is wrong with a part of the text."""
        before = self.plain.encode()[: getattr(node, "col_offset", 0)]
        return self._error_at(len(before.decode(errors="ignore")), problem)

    def build(self, node: ast.expr, depth: int = 0) -> Number | Condition:
        """What a part of the tree means; an error if it means nothing here."""
        if depth > _DEEPEST:
            raise self.error(node, "too many brackets within brackets")
        match node:
            case ast.Constant(value=bool() | int() | float()):
                return self._constant(node)
            case ast.Constant(value=str()):
                raise self.error(node, "a label can only be compared, by == or !=, with a categorical column")
            case ast.Name():
                return self._quantity(node)
            case ast.UnaryOp(op=ast.UAdd() | ast.USub()):
                sign = torch.neg if isinstance(node.op, ast.USub) else torch.positive
                return self._apply(node, sign, [self.number(node.operand, depth)])
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                sides = [self.number(node.left, depth), self.number(node.right, depth)]
                if isinstance(node.op, ast.Div) and not sides[1].names and sides[1].value({}) == 0:
                    raise self.error(node.right, "this divides by zero")
                return self._apply(node, _ARITHMETIC[type(node.op)], sides)
            case ast.Call():
                return self._call(node, depth)
            case ast.Compare() if all(type(op) in _COMPARISONS for op in node.ops):
                sides = [node.left, *node.comparators]
                chain = zip(sides[:-1], node.ops, sides[1:], strict=True)
                joined = self._join(ast.And(), [self._compare(*pair, depth) for pair in chain])
                self._check_order(node, depth)
                return joined
            case ast.BoolOp():
                return self._join(node.op, [self.condition(part, depth) for part in node.values])
        raise self.error(node, f"this is not part of the language: {_LANGUAGE}")

    def number(self, node: ast.expr, depth: int = 0) -> Number:
        """A part of the tree that has to be a number."""
        built = self.build(node, depth + 1)
        if not isinstance(built, Number):
            raise self.error(node, "a number is needed here, not a condition")
        return built

    def condition(self, node: ast.expr, depth: int = 0) -> Condition:
        """A part of the tree that has to be a condition."""
        built = self.build(node, depth + 1)
        if not isinstance(built, Condition):
            raise self.error(node, "a condition is needed here, such as glucose < 54")
        return built

    def constant(self, node: ast.expr) -> float:
        """A part of the tree that has to be a number without names."""
        number = self.number(node)
        if number.names:
            raise self.error(node, "a plain number is needed here")
        return float(number.value({}))

    def _parse(self) -> ast.expr:
        if not self.text.strip() or len(self.text) > _LONGEST:
            raise QuestionError(f"'{self.text[:40]}' is no goal and no limit: it is empty or too long")

        def cover(match: re.Match[str]) -> str:
            self.quoted[len(spaced[: match.start()].encode())] = match[0][1:-1]
            return "_" * len(match[0])

        spaced = re.sub(r"\s", " ", self.text).rstrip()
        self.plain = re.sub(r"`[^`]+`", cover, spaced)
        for mark in ("`", "#", "\\", "\0"):
            if mark in self.plain:
                raise self._error_at(self.plain.index(mark), f"a stray {mark!r}")
        indent = len(self.plain) - len(self.plain.lstrip())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(self.plain[indent:], mode="eval").body
        except SyntaxError as error:
            place = indent + error.offset - 1 if error.offset else len(self.text)
            raise self._error_at(place, "this cannot be read") from None
        except (ValueError, RecursionError, MemoryError):
            raise QuestionError(f"'{self.text[:40]}' cannot be read") from None
        for node in ast.walk(tree):
            if isinstance(node, ast.expr):
                node.col_offset += indent
        return tree

    def _error_at(self, place: int, problem: str) -> QuestionError:
        place = min(max(place, 0), len(self.text))
        here = self.text[place : place + 20] or "the end"
        return QuestionError(f"{self.text}: {problem} (character {place + 1}, at '{here}')")

    def _constant(self, node: ast.Constant) -> Number:
        if isinstance(node.value, bool) or not abs(node.value) < 1e30:  # type: ignore[arg-type, operator]
            raise self.error(node, "a number is needed here, and not too large a one")
        value = torch.tensor(float(node.value), dtype=torch.float64)  # type: ignore[arg-type]
        return Number(self.text, frozenset(), lambda values: value)

    def _variable(self, node: ast.Name) -> Variable:
        name = self.quoted.get(node.col_offset, node.id)
        if name not in self.variables:
            close = difflib.get_close_matches(name, self.variables, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else f"; there are {', '.join(self.variables)}"
            raise self.error(node, f"there is no target and no action '{name}'{hint}")
        return self.variables[name]

    def _quantity(self, node: ast.Name) -> Number:
        variable = self._variable(node)
        if variable.kind == "categorical":
            labels = ", ".join(f'"{label}"' for label in variable.categories)
            raise self.error(node, f"'{variable.name}' is no number; compare it, by == or !=, with one of {labels}")
        return Number(self.text, frozenset({variable.name}), lambda values: values[variable.name])

    def _apply(self, node: ast.expr, function: Callable[..., Tensor], parts: list[Number]) -> Number:
        names = frozenset().union(*(part.names for part in parts))
        built = Number(self.text, names, lambda values: function(*(part.value(values) for part in parts)))
        if not names and not built.value({}).isfinite():
            raise self.error(node, "this is no finite number")
        return built

    def _call(self, node: ast.Call, depth: int) -> Number:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in ("P", "CVaR", "mean"):
            raise self.error(node, f"{name}(...) stands in a limit only, alone on the left of <=")
        if name not in _OF_ONE | _OF_MANY or node.keywords:
            raise self.error(node, f"there is no such function; there are {', '.join(_OF_ONE | _OF_MANY)}")
        parts = [self.number(argument, depth) for argument in node.args]
        if len(parts) != 1 if name in _OF_ONE else len(parts) < 2:
            raise self.error(node, f"{name} takes {'one value' if name in _OF_ONE else 'two or more values'}")
        if name in _OF_ONE:
            return self._apply(node, _OF_ONE[name], parts)
        return self._apply(node, lambda *values: reduce(_OF_MANY[name], values), parts)

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr, depth: int) -> Condition:
        for name, label in ((left, right), (right, left)):
            if isinstance(name, ast.Name) and isinstance(label, ast.Constant) and isinstance(label.value, str):
                return self._compare_label(name, op, label)
        a, b = self.number(left, depth), self.number(right, depth)

        def gap(values: Values) -> Tensor:
            difference = a.value(values) - b.value(values)
            if isinstance(op, ast.Eq | ast.NotEq):
                return difference.abs() if isinstance(op, ast.Eq) else -difference.abs()
            return difference if isinstance(op, ast.Lt | ast.LtE) else -difference

        compare = _COMPARISONS[type(op)]
        return Condition(self.text, a.names | b.names, gap, lambda values: compare(a.value(values), b.value(values)))

    def _check_order(self, node: ast.Compare, depth: int) -> None:
        """Refuse a chain that nothing can meet, such as 180 <= glucose <= 70."""
        rising = all(isinstance(op, ast.Lt | ast.LtE) for op in node.ops)
        if len(node.ops) < 2 or not (rising or all(isinstance(op, ast.Gt | ast.GtE) for op in node.ops)):
            return
        numbers = [self.number(side, depth) for side in (node.left, *node.comparators)]
        plain = [float(number.value({})) for number in numbers if not number.names]
        if plain != sorted(plain, reverse=not rising):
            raise self.error(node, f"nothing lies between {plain[0]:g} and {plain[-1]:g} in this order")

    def _compare_label(self, name: ast.Name, op: ast.cmpop, label: ast.Constant) -> Condition:
        variable = self._variable(name)
        if variable.kind != "categorical":
            raise self.error(label, f"'{variable.name}' has no labels: compare it with a number")
        if not isinstance(op, ast.Eq | ast.NotEq):
            raise self.error(name, f"the labels of '{variable.name}' have no order: use == or !=")
        if label.value not in variable.categories:
            raise self.error(label, f"'{variable.name}' is one of {', '.join(variable.categories)}")
        code = variable.categories.index(str(label.value))

        def holds(values: Values) -> Tensor:
            return (values[variable.name] == code) == isinstance(op, ast.Eq)

        return Condition(
            self.text, frozenset({variable.name}), lambda values: torch.where(holds(values), -1.0, 1.0), holds
        )

    def _join(self, op: ast.boolop, parts: list[Condition]) -> Condition:
        every = isinstance(op, ast.And)
        worse, both = (torch.maximum, torch.logical_and) if every else (torch.minimum, torch.logical_or)
        return Condition(
            self.text,
            frozenset().union(*(part.names for part in parts)),
            lambda values: reduce(worse, [part.margin(values) for part in parts]),
            lambda values: reduce(both, [part.holds(values) for part in parts]),
        )
