"""Where the values of each variable stand among the inputs of the networks, and how to read them back from there.

Objectives that predict whole observations, or tokens of them, need no other batches than the JEPA objective: all that
was observed and done is in the rows that the belief encoder reads (`foreworld.data.tabulate`).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from foreworld.data.memory import memory_width
from foreworld.data.scaling import Encoding
from foreworld.data.schema import Role, Schema, Variable


@dataclass(frozen=True)
class Column:
    """Where one variable stands: `width` numbers from `start`, and its presence flag."""

    variable: Variable
    start: int
    flag: int


def columns(encoding: Encoding, role: Role, start: int) -> list[Column]:
    """The variables of a role whose values begin at column `start`."""
    variables = encoding.schema.of(role)
    flags = start + sum(variable.width for variable in variables)
    found = []
    for index, variable in enumerate(variables):
        found.append(Column(variable, start, flags + index))
        start += variable.width
    return found


def reading_order(schema: Schema) -> list[int]:
    """The observations in the order in which networks tell them: targets first."""
    targets = schema.target_indices
    return [*targets, *(index for index in range(len(schema.observations)) if index not in targets)]


def observed_columns(encoding: Encoding) -> list[Column]:
    """Observations among the columns of a row of history, in their order there."""
    return columns(encoding, "observation", 0)


def told_columns(encoding: Encoding) -> list[Column]:
    """The same, targets first."""
    found = observed_columns(encoding)
    return [found[index] for index in reading_order(encoding.schema)]


def move_columns(encoding: Encoding) -> tuple[list[Column], list[Column], int]:
    """Actions, static and known-future facts, and the logarithm of the time gap, among the columns of a move."""
    actions = columns(encoding, "action", 0)
    start = encoding.width("action") + memory_width(encoding)
    static = columns(encoding, "static", start)
    start += encoding.width("static")
    known = columns(encoding, "known_future", start)
    return actions, static + known, start + encoding.width("known_future")


def static_columns(encoding: Encoding) -> slice:
    """Static facts and their flags among the columns of a row of history."""
    start = encoding.width("observation") + encoding.width("action") + memory_width(encoding)
    return slice(start, start + encoding.width("static"))


def read_values(rows: Float[Tensor, "*row input"], found: list[Column]) -> Float[Tensor, "*row variable"]:
    """Scaled values, or indices of categories, as the networks are given them; NaN where missing."""
    values = []
    for column in found:
        value = rows[..., column.start]
        if column.variable.kind == "categorical":
            value = rows[..., column.start : column.start + column.variable.width].argmax(-1).to(rows.dtype)
        values.append(torch.where(rows[..., column.flag] > 0.5, value, torch.nan))
    return torch.stack(values, dim=-1) if values else rows[..., :0]
