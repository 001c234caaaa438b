"""What the columns of a trajectory mean: roles, kinds, units and bounds. Declared by the user, never guessed."""

import math
from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

Role = Literal["observation", "action", "static", "known_future"]
Kind = Literal["continuous", "binary", "categorical"]


class Variable(BaseModel):
    """One column.

    Attributes:
        name: the column's name in the user's table.
        role: `observation` (seen), `action` (chosen, and open to intervention), `static` (constant in an episode) or
            `known_future` (known in advance, but not chosen: a calendar, a schedule).
        kind: `continuous`, `binary` (0 or 1) or `categorical` (one of `categories`).
        unit: free text, carried to every answer.
        low, high: physical bounds in native units. Values outside them are refused on input and never imagined.
        categories: the labels of a categorical variable; values are stored as indices into them.
        target: an observation that is of interest, and therefore read out from beliefs and forecast.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    role: Role
    kind: Kind = "continuous"
    unit: str = ""
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()
    target: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "Variable":
        if (self.kind == "categorical") != bool(self.categories):
            raise ValueError(f"'{self.name}': categories belong to categorical variables, and those need them")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"'{self.name}': the lower bound {self.low} is not below the upper bound {self.high}")
        if self.target and self.role != "observation":
            raise ValueError(f"'{self.name}': only an observation can be a target")
        return self

    @property
    def width(self) -> int:
        """Numbers needed to present one value to a network: one, or one a category."""
        return len(self.categories) if self.kind == "categorical" else 1

    @property
    def bounds(self) -> tuple[float, float]:
        """`low` and `high`, infinite where none was declared."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high


class Schema(BaseModel):
    """The columns of a table of trajectories.

    Attributes:
        id, time: names of the columns that tell episodes apart and order their rows.
        time_kind: `number`, or `datetime` (stored as seconds since 1970-01-01 UTC).
        time_unit: the unit of the time column, free text (`s` for datetimes).
        time_zone: where datetimes are given back, an IANA name; empty for numbers and for datetimes without zone.
        terminated, truncated: true/false columns that say why the last row is the last; empty if there are none.
        variables: every other column in use, in the order declared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    time: str
    time_kind: Literal["number", "datetime"] = "number"
    time_unit: str = ""
    time_zone: str = ""
    terminated: str = ""
    truncated: str = ""
    variables: tuple[Variable, ...]

    @model_validator(mode="after")
    def _consistent(self) -> "Schema":
        names = [self.id, self.time, *self.endings, *(variable.name for variable in self.variables)]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ValueError(f"a column has one role only, but these have more: {', '.join(twice)}")
        if not self.targets:
            raise ValueError("at least one observation must be a target")
        return self

    @property
    def endings(self) -> tuple[str, ...]:
        """The columns that say why an episode ended, where there are any."""
        return tuple(name for name in (self.terminated, self.truncated) if name)

    def of(self, role: Role) -> tuple[Variable, ...]:
        """The variables that play a role, in declared order."""
        return tuple(variable for variable in self.variables if variable.role == role)

    @property
    def observations(self) -> tuple[Variable, ...]:
        return self.of("observation")

    @property
    def actions(self) -> tuple[Variable, ...]:
        return self.of("action")

    @property
    def static(self) -> tuple[Variable, ...]:
        return self.of("static")

    @property
    def known_future(self) -> tuple[Variable, ...]:
        return self.of("known_future")

    @property
    def targets(self) -> tuple[Variable, ...]:
        """The observations of interest, in declared order."""
        return tuple(variable for variable in self.observations if variable.target)

    @property
    def target_indices(self) -> tuple[int, ...]:
        """Positions of the targets among the observations."""
        return tuple(index for index, variable in enumerate(self.observations) if variable.target)
