"""Long tables to episodes: one row an observation, in any order, every value checked against the schema."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float64, Int64

from foreworld.data.columns import Column, binaries, labels, numbers
from foreworld.data.episodes import Episode, Episodes
from foreworld.data.frames import RawTable, open_table
from foreworld.data.keys import ids, times
from foreworld.data.schema import Schema, Variable
from foreworld.errors import DataError


def read(table: Any, schema: Schema, *, source: str = "frame") -> Episodes:
    """Read a table that must agree with a schema: new histories for a trained model.

    Columns are found by name, wherever they stand; further columns are ignored. Every variable of the schema needs its
    column, which may be without a value in every row. Columns that say why episodes ended are read if they are there.

    Args:
        table: a path or a frame, as in `Episodes.from_frame`.
        schema: what the columns mean.
        source: what errors call a frame.

    Raises:
        DataError: a column is missing or of another type, a label is new, and all that `Episodes.from_frame` refuses.
    """
    names = [schema.id, schema.time, *(variable.name for variable in schema.variables)]
    return assemble(open_table(table, names, optional=schema.endings, label=source), schema)


def read_planned(table: Any, schema: Schema, *, source: str = "future") -> Episodes:
    """Read rows to come: the known-future columns are needed, actions are taken if they are there, and nothing else.

    Raises:
        DataError: as `read`.
    """
    needed = [schema.id, schema.time, *(variable.name for variable in schema.known_future)]
    raw = open_table(table, needed, optional=[variable.name for variable in schema.actions], label=source)
    unknown = pa.chunked_array([pa.nulls(raw.rows)])
    absent = {variable.name: unknown for variable in schema.variables if variable.name not in raw.columns}
    return assemble(replace(raw, columns=raw.columns | absent), schema)


def assemble(table: RawTable, schema: Schema) -> Episodes:
    """Check every value, sort the rows by id and time, and cut them into episodes."""
    time = Column.of(table, schema.time)
    seconds, time_kind, _ = times(time)
    if time_kind != schema.time_kind:
        raise time.error(f"the times are of kind {time_kind}, and {schema.time_kind} is expected")
    owners, names = ids(Column.of(table, schema.id))
    order = np.lexsort((seconds, owners))
    owners, seconds = owners[order], seconds[order]
    _refuse_duplicates(table, schema, order, owners, seconds, names)
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    ends = np.append(starts[1:], len(owners))
    observations, actions, facts, known = (
        _matrix(table, schema.of(role), order) for role in ("observation", "action", "static", "known_future")
    )
    static = _constants(table, schema, facts, order, starts, names)
    terminated, truncated = (_last_row(table, name, order, ends) for name in (schema.terminated, schema.truncated))
    episodes = tuple(
        Episode(
            id=names[index],
            time=seconds[start:end],
            observations=observations[start:end],
            actions=actions[start : end - 1],
            static=static[index],
            known_future=known[start:end],
            pending=actions[end - 1],
            terminated=terminated[index],
            truncated=truncated[index],
        )
        for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True))
    )
    return Episodes(schema, episodes, table.backend)


def _refuse_duplicates(
    table: RawTable,
    schema: Schema,
    order: Int64[np.ndarray, " row"],
    owners: Int64[np.ndarray, " row"],
    seconds: Float64[np.ndarray, " row"],
    names: Sequence[str | int],
) -> None:
    again = np.flatnonzero((np.diff(owners) == 0) & (np.diff(seconds) == 0)) + 1
    if not len(again):
        return
    stamps = table.columns[schema.time]
    shown = "; ".join(
        f"'{names[int(owners[row])]}' at {stamps[int(order[row])]} in rows {order[row - 1] + 1} and {order[row] + 1}"
        for row in again[:5]
    )
    problem = f"more than one row has the same id and time: {shown}"
    raise DataError(problem, source=table.source, column=schema.time, rows=sorted((order[again] + 1).tolist()))


def _matrix(
    table: RawTable, variables: Sequence[Variable], order: Int64[np.ndarray, " row"]
) -> Float64[np.ndarray, "row variable"]:
    """The values of some variables, sorted."""
    matrix = np.empty((len(order), len(variables)))
    for position, variable in enumerate(variables):
        matrix[:, position] = _values(Column.of(table, variable.name), variable)[order]
    return matrix


def _values(column: Column, variable: Variable) -> Float64[np.ndarray, " row"]:
    """The values of a variable in the user's row order, missing as NaN and labels as positions in the categories."""
    if column.empty:
        return np.full(len(column.values), np.nan)
    if variable.kind == "categorical":
        return _positions(column, variable.categories)
    if variable.kind == "binary":
        return binaries(column)
    values = numbers(column)
    low, high = variable.bounds
    outside = (values < low) | (values > high)
    if outside.any():
        raise column.error(f"{values[outside][0]:g} is outside the bounds [{low:g}, {high:g}]", outside)
    return values


def _positions(column: Column, categories: Sequence[str]) -> Float64[np.ndarray, " row"]:
    codes, seen = labels(column)
    position = {label: float(index) for index, label in enumerate(categories)}
    unseen = np.array([label not in position for label in seen])[codes] & (codes >= 0)
    if unseen.any():
        known = ", ".join(categories[:20]) + (" and more" if len(categories) > 20 else "")
        raise column.error(f"'{column.first(unseen)}' is not one of the categories {known}", unseen)
    lookup = np.array([*(position[label] for label in seen if label in position), np.nan])
    return lookup[codes]


def _constants(
    table: RawTable,
    schema: Schema,
    facts: Float64[np.ndarray, "row static"],
    order: Int64[np.ndarray, " row"],
    starts: Int64[np.ndarray, " episode"],
    names: Sequence[str | int],
) -> Float[np.ndarray, "episode static"]:
    """One value an episode of each static variable, which may be missing in some of its rows."""
    lowest = np.fmin.reduceat(facts, starts, axis=0)
    vary = lowest != np.fmax.reduceat(facts, starts, axis=0)
    vary &= ~np.isnan(lowest)
    if not vary.any():
        return lowest
    position = int(np.argmax(vary.any(axis=0)))
    episode = int(np.argmax(vary[:, position]))
    stop = starts[episode + 1] if episode + 1 < len(starts) else len(facts)
    values = facts[starts[episode] : stop, position]
    rows = np.sort(order[starts[episode] : stop][(values != values[~np.isnan(values)][0]) & ~np.isnan(values)]) + 1
    others = f" (and in {vary[:, position].sum() - 1} more episodes)" if vary[:, position].sum() > 1 else ""
    problem = f"a static value changes within the episode '{names[episode]}'{others}"
    raise DataError(problem, source=table.source, column=schema.static[position].name, rows=rows.tolist())


def _last_row(
    table: RawTable, name: str, order: Int64[np.ndarray, " row"], ends: Int64[np.ndarray, " episode"]
) -> list[bool]:
    """Whether each episode ended for this reason: a flag that only its last row may carry."""
    if name not in table.columns:
        return [False] * len(ends)
    column = Column.of(table, name)
    flags = np.zeros(len(order), bool) if column.empty else binaries(column)[order] == 1
    early = flags.copy()
    early[ends - 1] = False
    if early.any():
        mask = np.zeros_like(early)
        mask[order] = early
        raise column.error("the episode goes on after the row that ends it; give the rows after it another id", mask)
    return flags[ends - 1].tolist()
