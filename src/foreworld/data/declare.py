"""The first reading of a table: the schema follows from the roles that the user gives and from the columns' types."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from foreworld.data.columns import Column, kind_of, labels
from foreworld.data.episodes import Episodes
from foreworld.data.frames import RawTable, open_table
from foreworld.data.keys import times
from foreworld.data.schema import Kind, Role, Schema, Variable
from foreworld.data.table import assemble
from foreworld.errors import DataError

Bounds = tuple[float | None, float | None]


def declare_and_read(
    table: Any,
    *,
    id: str,
    time: str,
    observations: Sequence[str],
    actions: Sequence[str] = (),
    static: Sequence[str] = (),
    known_future: Sequence[str] = (),
    targets: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    bounds: Mapping[str, Bounds] | None = None,
    kinds: Mapping[str, Kind] | None = None,
    time_unit: str = "",
    terminated: str = "",
    truncated: str = "",
    source: str = "frame",
) -> Episodes:
    """Read a table for the first time: the schema follows from the roles given and from the columns' types.

    See `Episodes.from_frame` for the arguments and errors.
    """
    groups = _groups(observations, actions, static, known_future)
    used = [id, time, *(name for name in (terminated, truncated) if name), *(n for _, group in groups for n in group)]
    _refuse_bad_roles(used, str(table) if isinstance(table, str | os.PathLike) else source)
    raw = open_table(table, used, label=source)
    roles: dict[str, Role] = {name: role for role, group in groups for name in group}
    seen = groups[0][1]
    chosen = seen if targets is None else _names(targets)
    units, bounds, kinds = units or {}, bounds or {}, kinds or {}
    for what, given, allowed in (
        ("targets", chosen, seen),
        ("units", units, roles),
        ("bounds", bounds, roles),
        ("kinds", kinds, roles),
    ):
        _refuse_strangers(raw.source, what, given, allowed)
    wanted = set(chosen)
    variables = tuple(
        _variable(
            Column.of(raw, name),
            role,
            kind=kinds.get(name),
            unit=units.get(name, ""),
            bounds=bounds.get(name, (None, None)),
            target=name in wanted,
        )
        for name, role in roles.items()
    )
    endings = {"terminated": terminated, "truncated": truncated}
    return assemble(raw, _schema(raw, id=id, time=time, time_unit=time_unit, variables=variables, **endings))


def reason(error: ValidationError) -> str:
    """What a schema that cannot be is told to its author."""
    return error.errors()[0]["msg"].removeprefix("Value error, ")


def _schema(raw: RawTable, *, time: str, time_unit: str, **fields: Any) -> Schema:
    _, time_kind, zone = times(Column.of(raw, time))
    if time_kind == "datetime" and time_unit not in ("", "s"):
        raise DataError("datetimes are kept in seconds, so time_unit is not needed", source=raw.source, column=time)
    unit = "s" if time_kind == "datetime" else time_unit
    try:
        return Schema(time=time, time_kind=time_kind, time_unit=unit, time_zone=zone, **fields)
    except ValidationError as error:
        raise DataError(reason(error), source=raw.source) from None


def _groups(
    observations: Sequence[str], actions: Sequence[str], static: Sequence[str], known_future: Sequence[str]
) -> list[tuple[Role, list[str]]]:
    return [
        ("observation", _names(observations)),
        ("action", _names(actions)),
        ("static", _names(static)),
        ("known_future", _names(known_future)),
    ]


def _names(given: Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _refuse_bad_roles(used: Sequence[Any], source: str) -> None:
    for name in used:
        if not isinstance(name, str) or not name:
            raise DataError(f"a column name is text, not {name!r}", source=source)
    name, times_used = Counter(used).most_common(1)[0]
    if times_used > 1:
        raise DataError("one column is given more than one role", source=source, column=name)


def _refuse_strangers(source: str, what: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    known = set(allowed)
    for name in names:
        if name not in known:
            group = "observations" if what == "targets" else "variables"
            raise DataError(f"{what} name a column that is not among the {group}", source=source, column=name)


def _variable(column: Column, role: Role, *, kind: Kind | None, unit: str, bounds: Bounds, target: bool) -> Variable:
    if column.empty:
        raise column.error("no row has a value, so there is nothing to learn; leave the column out")
    kind = kind or kind_of(column)
    low, high = (None if bound is None or np.isinf(bound) else float(bound) for bound in bounds)
    if kind != "continuous" and (low, high) != (None, None):
        raise column.error(f"bounds belong to continuous variables, and this one is {kind}")
    try:
        return Variable(
            name=column.name,
            role=role,
            kind=kind,
            unit=unit,
            low=low,
            high=high,
            categories=tuple(sorted(labels(column)[1])) if kind == "categorical" else (),
            target=target,
        )
    except ValidationError as error:
        raise column.error(reason(error)) from None
