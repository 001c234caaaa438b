"""Episodes looked at as a whole: their fingerprint, their description, and the long table that they came from."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float64

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.frames import frame_from_columns
from foreworld.data.schema import Role, Schema, Variable


def fingerprint(data: Episodes) -> str:
    """SHA-256 over the schema and every value, in hexadecimal.

    It does not depend on the order of rows, columns or episodes in the source, nor on the kind of table, nor on the
    zone that datetimes are shown in. Values count by their bits, except that all NaN are one and so are 0.0 and -0.0.
    """
    whole = hashlib.sha256(data.schema.model_dump_json(exclude={"time_zone"}, exclude_defaults=True).encode())
    for digest in sorted(_digest(episode) for episode in data):
        whole.update(digest)
    return whole.hexdigest()


def describe(data: Episodes) -> dict[str, Any]:
    """Size, time steps, and what each column holds; plain values, ready for JSON.

    Returns:
        `episodes`, `rows` and `steps` (transitions); `time_step` with `min`, `median`, `max` and `unit` (None where no
        episode has two rows); `columns`: by name the role, kind and unit, the `missing` share, and `min` and `max`
        (None without a value) or, for categorical variables, the `shares` of the labels among the values.
    """
    gaps = np.concatenate([np.diff(episode.time) for episode in data])
    step = {"min": np.min, "median": np.median, "max": np.max}
    return {
        "episodes": len(data),
        "rows": sum(len(episode.time) for episode in data),
        "steps": sum(episode.steps for episode in data),
        "time_step": {
            **{name: float(of(gaps)) if len(gaps) else None for name, of in step.items()},
            "unit": data.schema.time_unit,
        },
        "columns": {
            variable.name: _describe(values, variable)
            for role in ("observation", "action", "static", "known_future")
            for variable, values in zip(data.schema.of(role), _stack(data, role).T, strict=True)
        },
    }


def to_frame(data: Episodes) -> Any:
    """The long table of some episodes, sorted by id and time, in the kind of frame that they came in.

    Datetimes and labels are restored, binary variables are true/false, and the action of an episode's last row is the
    pending one. Reading the table again with the same roles gives the same episodes.
    """
    schema = data.schema
    rows = [len(episode.time) for episode in data]
    columns: dict[str, Any] = {
        schema.id: [episode.id for episode, count in zip(data, rows, strict=True) for _ in range(count)],
        schema.time: clock(np.concatenate([episode.time for episode in data]), schema),
    }
    for role in ("observation", "action", "static", "known_future"):
        values = _stack(data, role, pending=True)
        values = np.repeat(values, rows, axis=0) if role == "static" else values
        for variable, column in zip(schema.of(role), values.T, strict=True):
            columns[variable.name] = _restore(column, variable)
    ends = np.cumsum(rows) - 1
    for name, reason in ((schema.terminated, "terminated"), (schema.truncated, "truncated")):
        if name:
            flags = np.zeros(sum(rows), bool)
            flags[ends] = [getattr(episode, reason) for episode in data]
            columns[name] = flags
    return frame_from_columns(columns, data.backend)


def _digest(episode: Episode) -> bytes:
    kind = "text" if isinstance(episode.id, str) else "number"
    head = f"{kind}:{episode.id}:{len(episode.time)}:{episode.terminated}:{episode.truncated}:"
    digest = hashlib.sha256(head.encode("utf-8", "surrogatepass"))
    for values in (
        episode.time,
        episode.observations,
        episode.actions,
        episode.pending,
        episode.static,
        episode.known_future,
    ):
        canonical = np.where(np.isnan(values), np.nan, values).astype("<f8") + 0.0
        digest.update(canonical.tobytes())
    return digest.digest()


def _stack(data: Episodes, role: Role, *, pending: bool = False) -> Float[np.ndarray, "row variable"]:
    """The values of a role end to end; one row an episode for static variables."""
    if role == "static":
        return np.stack([episode.static for episode in data])
    if role == "known_future":
        return np.concatenate([episode.known_future for episode in data])
    if role == "observation":
        return np.concatenate([episode.observations for episode in data])
    if not pending:
        return np.concatenate([episode.actions for episode in data])
    return np.concatenate([part for episode in data for part in (episode.actions, episode.pending[None])])


def _describe(values: Float[np.ndarray, " row"], variable: Variable) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    facts: dict[str, Any] = {
        "role": variable.role,
        "kind": variable.kind,
        "unit": variable.unit,
        "missing": 1 - len(known) / len(values) if len(values) else 0.0,
    }
    if variable.kind == "categorical":
        shares = np.bincount(known.astype(int), minlength=len(variable.categories)) / max(len(known), 1)
        return facts | {"shares": dict(zip(variable.categories, shares.tolist(), strict=True))}
    span = (float(known.min()), float(known.max())) if len(known) else (None, None)
    return facts | {"min": span[0], "max": span[1]}


def clock(seconds: Float64[np.ndarray, " row"], schema: Schema) -> Float64[np.ndarray, " row"] | pa.Array:
    """Times as the user's table has them: numbers, or datetimes in its zone."""
    if schema.time_kind == "number":
        return seconds
    return pa.array(np.rint(seconds * 1e6).astype(np.int64), pa.timestamp("us", schema.time_zone or None))


def _restore(values: Float[np.ndarray, " row"], variable: Variable) -> pa.Array | Float[np.ndarray, " row"]:
    if variable.kind == "continuous":
        return values
    missing = np.isnan(values)
    codes = np.where(missing, 0, values).astype(np.int64)
    if variable.kind == "binary":
        return pa.array(codes == 1, mask=missing)
    return pa.array(np.array(variable.categories, dtype=object)[codes], pa.string(), mask=missing)
