"""Results of a cell: one number a row, at the level of a case, so that contenders can be compared case by case."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

NAMES = ("question", "setting", "metric", "horizon", "case", "group", "value")
TYPES = (pa.string(), pa.string(), pa.string(), pa.int32(), pa.int32(), pa.string(), pa.float64())
SCHEMA = pa.schema(list(zip(NAMES, TYPES, strict=True)))


class Rows:
    """Collects results.

    A row is a question, a setting of it (such as a shift), a metric, a horizon in steps (0: over all), a case, the
    group that the case belongs to (for intervals that respect dependence), and the value.
    """

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []

    def add(
        self,
        question: str,
        setting: str,
        metric: str,
        values: Float[np.ndarray, " case"] | Sequence[float],
        groups: Sequence[str | int],
        *,
        horizon: int = 0,
        cases: Int[np.ndarray, " case"] | None = None,
    ) -> None:
        """One metric of many cases, by default numbered from 0; cases that have none (NaN) are left out."""
        found = np.asarray(values, float)
        keep = np.flatnonzero(np.isfinite(found))
        numbers = np.arange(len(found)) if cases is None else cases
        columns = [
            [question] * len(keep),
            [setting] * len(keep),
            [metric] * len(keep),
            [horizon] * len(keep),
            numbers[keep],
            [str(groups[index]) for index in keep.tolist()],
            found[keep],
        ]
        arrays = [pa.array(column, kind) for column, kind in zip(columns, TYPES, strict=True)]
        self._parts.append(pa.Table.from_arrays(arrays, schema=SCHEMA))

    def one(self, question: str, setting: str, metric: str, value: float, *, group: str = "all") -> None:
        """A metric that is not of single cases."""
        self.add(question, setting, metric, [value], [group])

    def table(self) -> pa.Table:
        """All of them."""
        return pa.concat_tables(self._parts) if self._parts else SCHEMA.empty_table()
