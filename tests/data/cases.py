"""What a case of the dirty-data battery is, and the clean table that all of them start from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foreworld.data.episodes import Episodes

LOADERS = ("csv", "parquet", "pandas", "polars")
TYPED = ("parquet", "pandas", "polars")
CLEAN: dict[str, Any] = {
    "id": ["a", "a", "a", "a", "b", "b", "b", "b"],
    "time": [0, 1, 2, 3, 0, 1, 2, 3],
    "glucose": [5.5, 6.0, 7.25, 8.0, 4.5, 5.0, 6.0, 9.0],
    "mood": ["good", "bad", "good", "good", "bad", "bad", "good", "bad"],
    "insulin": [0.0, 1.0, 0.0, 2.5, 0.0, 0.0, 1.0, 0.5],
    "weight": [70.0, 70.0, 70.0, 70.0, 82.5, 82.5, 82.5, 82.5],
    "hour": [6, 7, 8, 9, 6, 7, 8, 9],
}
ROLES: dict[str, Any] = {
    "id": "id",
    "time": "time",
    "observations": ["glucose", "mood"],
    "actions": ["insulin"],
    "static": ["weight"],
    "known_future": ["hour"],
}


@dataclass(frozen=True)
class Case:
    """One table.

    Attributes:
        name: what is odd about it.
        change: columns in place of the clean ones; None takes a column away.
        means: what is made of an accepted table; empty if it is refused.
        holds: a check of the accepted episodes.
        column, rows, says: where the error must point, and words of it; rows are None where loaders differ.
        roles: arguments in place of the usual ones.
        order: the rows and their order, if not all as they are.
        predict: the table is read with the schema of the clean one, as new data for a model is.
        loaders: those that can hold such a table.
    """

    name: str
    change: Mapping[str, Any]
    means: str = ""
    holds: Callable[[Episodes], Any] = lambda _: True
    column: str | None = None
    rows: tuple[int, ...] | None = ()
    says: str = ""
    roles: Mapping[str, Any] = field(default_factory=dict)
    order: Sequence[int] | None = None
    predict: bool = False
    loaders: tuple[str, ...] = LOADERS

    def __str__(self) -> str:
        return self.name

    @property
    def table(self) -> dict[str, Any]:
        columns = {name: values for name, values in (CLEAN | dict(self.change)).items() if values is not None}
        if self.order is None:
            return columns
        return {name: [values[row] for row in self.order] for name, values in columns.items()}


def ok(name: str, means: str, holds: Callable[[Episodes], Any], **more: Any) -> Case:
    return Case(name, _changes(more), means, holds, **more)


def no(name: str, column: str | None, rows: tuple[int, ...] | None, says: str, **more: Any) -> Case:
    return Case(name, _changes(more), column=column, rows=rows, says=says, **more)


def _changes(more: dict[str, Any]) -> dict[str, Any]:
    """Take the columns out of the keyword arguments."""
    columns = {key: more.pop(key) for key in list(more) if key not in Case.__dataclass_fields__}
    return more.pop("change", {}) | columns


def glucose(data: Episodes) -> list[list[float]]:
    return [episode.observations[:, 0].tolist() for episode in data]


def gaps(data: Episodes) -> list[int]:
    return [int(np.isnan(episode.observations).sum()) for episode in data]


def same(data: Episodes) -> bool:
    return glucose(data) == [CLEAN["glucose"][:4], CLEAN["glucose"][4:]] and [e.id for e in data] == ["a", "b"]


def kind(data: Episodes) -> str:
    return data.schema.observations[0].kind


def labels(data: Episodes) -> tuple[str, ...]:
    return data.schema.observations[0].categories


def at(*hours: float) -> Callable[[Episodes], bool]:
    """Whether the first episode was observed at these hours of 2026."""
    return lambda data: data[0].time.tolist() == [1767225600 + 3600 * hour for hour in hours]
