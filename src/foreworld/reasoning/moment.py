"""Which row of a trajectory a moment is, as a user writes it: a number, or an ISO 8601 time."""

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from jaxtyping import Int

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.schema import Schema
from foreworld.errors import QuestionError

Moment = float | int | str | datetime
CLOSE = 1e-6  # Of the step around it: as near as a moment has to be to a row.


def rows_at(trajectories: Episodes, at: Moment | Mapping[str | int, Moment]) -> Int[np.ndarray, " episode"]:
    """The row of each trajectory that stands at a moment, or at a moment of its own by id.

    Raises:
        QuestionError: no such row, nothing after it, or a moment that is not of the kind of the time column.
    """
    rows = []
    for episode in trajectories:
        if isinstance(at, Mapping) and episode.id not in at:
            raise QuestionError(f"at: nothing is said about '{episode.id}'")
        rows.append(_row(episode, at[episode.id] if isinstance(at, Mapping) else at, trajectories.schema))
    return np.array(rows, dtype=np.int64)


def _row(episode: Episode, at: Moment, schema: Schema) -> int:
    place = seconds(at, schema) - episode.time
    row = int(np.abs(place).argmin())
    gap = np.diff(episode.time).min() if episode.steps else 1.0
    if abs(place[row]) > CLOSE * gap:
        near = sorted(np.abs(place).argsort()[:2])
        shown = " and ".join(text(float(episode.time[index]), schema) for index in near)
        raise QuestionError(f"at: '{episode.id}' has no row at {at}; the nearest are at {shown}")
    if row == episode.steps:
        raise QuestionError(f"at: '{episode.id}' has no row after {at}, so there is nothing that did happen")
    return row


def seconds(at: Moment, schema: Schema) -> float:
    """A moment as episodes have it: a number, or seconds since 1970; without a zone it is in that of the table."""
    if schema.time_kind == "number":
        try:
            return float(at)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise QuestionError(f"at: '{at}' is not a number, and the times of '{schema.time}' are") from None
    try:
        stamp = at if isinstance(at, datetime) else datetime.fromisoformat(str(at))
    except ValueError:
        raise QuestionError(f"at: '{at}' is not a time such as 2026-01-31T12:00") from None
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=ZoneInfo(schema.time_zone) if schema.time_zone else UTC)
    return stamp.timestamp()


def text(time: float, schema: Schema) -> str:
    """A moment as the user would write it."""
    if schema.time_kind == "number":
        return f"{time:g}"
    zone = ZoneInfo(schema.time_zone) if schema.time_zone else UTC
    stamp = datetime.fromtimestamp(time, zone)
    return (stamp if schema.time_zone else stamp.replace(tzinfo=None)).isoformat()
