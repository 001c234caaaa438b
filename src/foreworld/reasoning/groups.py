"""Which group a question belongs to: by the value of one column that is known when it is asked (a Mondrian taxonomy).

Intervals that hold what they say on average may fail in each of the groups that the average is over. Calibrated on each
of them alone, they hold in each (Mondrian conformal prediction; Vovk, Lindsay, Nouretdinov and Gammerman 2003).
"""

import numpy as np
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict

from foreworld.data.episodes import Episodes
from foreworld.data.schema import Schema, Variable
from foreworld.errors import QuestionError

VALUES = 8  # A column of numbers with more different ones is cut into thirds.
ROLES = {"static": "static", "observation": "observations", "known_future": "known_future"}


class Groups(BaseModel):
    """Groups by one column.

    Attributes:
        column: a static column, or an observed or known-future one with labels, of which the last row counts.
        labels: of the groups, in order.
        edges: where the values of a column of numbers are cut; a value at an edge belongs above it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    labels: tuple[str, ...]
    edges: tuple[float, ...] = ()

    @classmethod
    def fit(cls, column: str, histories: Episodes) -> "Groups":
        """The labels of the column; of numbers their values, or thirds of the trajectories if there are many.

        Raises:
            QuestionError: no such column, or one that cannot make groups.
        """
        variable = _variable(column, histories.schema)
        if variable.kind == "categorical":
            return cls(column=column, labels=variable.categories)
        if variable.kind == "binary":
            return cls(column=column, labels=("false", "true"))
        each = {episode.id: value for episode, value in zip(histories, _values(variable, histories), strict=True)}
        values = np.array([value for value in each.values() if np.isfinite(value)])
        different = np.unique(values)
        if len(different) == 0:
            raise QuestionError(f"column '{column}': no trajectory has a value, so there are no groups")
        if len(different) <= VALUES:
            edges = ((different[1:] + different[:-1]) / 2).tolist()
            return cls(column=column, labels=tuple(f"{value:.6g}" for value in different), edges=tuple(edges))
        low, high = np.quantile(values, [1 / 3, 2 / 3]).tolist()
        labels = (f"below {low:.6g}", f"{low:.6g} to {high:.6g}", f"from {high:.6g}")
        return cls(column=column, labels=labels, edges=(low, high))

    def of(self, histories: Episodes) -> Int[np.ndarray, " episode"]:
        """The position of each history's group among the labels; -1 where its value is missing."""
        variable = _variable(self.column, histories.schema)
        values = _values(variable, histories)
        found = np.digitize(values, self.edges) if variable.kind == "continuous" else np.nan_to_num(values).astype(int)
        return np.where(np.isfinite(values), found, -1)


def _variable(column: str, schema: Schema) -> Variable:
    """The column, if it can make groups."""
    allowed = [
        variable
        for variable in schema.variables
        if variable.role == "static" or (variable.role in ROLES and variable.kind != "continuous")
    ]
    for variable in allowed:
        if variable.name == column:
            return variable
    named = ", ".join(variable.name for variable in allowed) or "none"
    known = any(variable.name == column for variable in schema.variables)
    problem = "is neither static nor a label that is known beforehand" if known else "is no column of this model"
    raise QuestionError(f"column '{column}' {problem}; groups can be made by: {named}")


def _values(variable: Variable, histories: Episodes) -> Float[np.ndarray, " episode"]:
    """The value that is known when each question is asked."""
    index = [other.name for other in histories.schema.of(variable.role)].index(variable.name)
    if variable.role == "static":
        return np.array([episode.static[index] for episode in histories], float)
    return np.array([getattr(episode, ROLES[variable.role])[-1, index] for episode in histories], float)
