"""Trajectories in memory: one `Episode` a patient, asset or rollout, and `Episodes`, a set of them with one schema."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int

from foreworld.data.schema import Kind, Schema


@dataclass(frozen=True)
class Episode:
    """One trajectory of T transitions. Missing values are NaN; nothing is filled.

    Attributes:
        id: as in the user's table.
        time: of each observation; units of the time column, or seconds since 1970 for datetimes. Strictly increasing,
            steps may be irregular.
        observations: `observations[t]` is seen at `time[t]`; categorical values are indices into the categories.
        actions: `actions[t]` leaves `observations[t]` and leads to `observations[t + 1]`.
        static: constant facts.
        known_future: `known_future[t]` holds at `time[t]` and is known before.
        pending: the action in the last row. It leaves the last observation, so its outcome is not in the episode; NaN
            if there is none.
        terminated, truncated: why the episode ended, where the source says it (Gymnasium's meaning).
    """

    id: str | int
    time: Float64[np.ndarray, " row"]
    observations: Float[np.ndarray, "row observation"]
    actions: Float[np.ndarray, "row-1 action"]
    static: Float[np.ndarray, " static"]
    known_future: Float[np.ndarray, "row known"]
    pending: Float[np.ndarray, " action"]
    terminated: bool = False
    truncated: bool = False

    @property
    def steps(self) -> int:
        """T, the number of transitions: one fewer than rows."""
        return len(self.time) - 1

    def until(self, row: int) -> "Episode":
        """The history up to and including a row (0 is the first): what was known when `observations[row]` was seen.

        The action that left `observations[row]` becomes `pending`.
        """
        rows = np.concatenate([self.actions, self.pending[None]])
        return Episode(
            id=self.id,
            time=self.time[: row + 1],
            observations=self.observations[: row + 1],
            actions=self.actions[:row],
            static=self.static,
            known_future=self.known_future[: row + 1],
            pending=rows[row],
        )


@dataclass(frozen=True)
class Episodes:
    """A set of episodes with one schema, ordered by id.

    Attributes:
        schema: what the columns mean.
        episodes: the trajectories.
        backend: the kind of frame that answers about them are given in: pyarrow, pandas or polars.
    """

    schema: Schema
    episodes: tuple[Episode, ...]
    backend: str = "pyarrow"

    def __len__(self) -> int:
        return len(self.episodes)

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.episodes)

    def __getitem__(self, index: int) -> Episode:
        return self.episodes[index]

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        id: str,
        time: str,
        observations: Sequence[str],
        actions: Sequence[str] = (),
        static: Sequence[str] = (),
        known_future: Sequence[str] = (),
        targets: Sequence[str] | None = None,
        units: Mapping[str, str] | None = None,
        bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
        kinds: Mapping[str, Kind] | None = None,
        time_unit: str = "",
        terminated: str = "",
        truncated: str = "",
        source: str = "frame",
    ) -> "Episodes":
        """Read a long table: one row for each episode and time, in any order.

        Numbers are continuous, true/false is binary, text is categorical, unless `kinds` says otherwise. Missing values
        stay missing; nothing is resampled, filled, clipped or dropped. The frame is not changed.

        Args:
            frame: a pandas, polars or pyarrow table.
            id, time: the columns that tell episodes apart and order their rows: text or whole numbers; numbers or
                datetimes, which become seconds since 1970 UTC.
            observations, actions, static, known_future: the columns of each role.
            targets: the observations of interest; all of them if not given.
            units, bounds, kinds: by column name; bounds are (low, high), either of which may be None.
            time_unit: the unit of a time column of numbers.
            terminated, truncated: true/false columns that say why the last row is the last.
            source: what errors call the frame.

        Raises:
            DataError: what cannot be used as it is; `docs/data.md` has the full list.
        """
        from foreworld.data.declare import declare_and_read

        return declare_and_read(
            frame,
            id=id,
            time=time,
            observations=observations,
            actions=actions,
            static=static,
            known_future=known_future,
            targets=targets,
            units=units,
            bounds=bounds,
            kinds=kinds,
            time_unit=time_unit,
            terminated=terminated,
            truncated=truncated,
            source=source,
        )

    @classmethod
    def from_file(cls, path: str | PathLike[str], **columns: Any) -> "Episodes":
        """Read a CSV or Parquet file; the arguments after the path are those of `from_frame`."""
        return cls.from_frame(Path(path), **columns)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the schema and every value: the same for the same data, whatever the order of its rows."""
        from foreworld.data.summary import fingerprint

        return fingerprint(self)

    def describe(self) -> dict[str, Any]:
        """Size, time steps, and the missing share and range of each column; see `foreworld.data.summary.describe`."""
        from foreworld.data.summary import describe

        return describe(self)

    def to_frame(self) -> Any:
        """The long table again, sorted by id and time, in the user's column names and kind of frame."""
        from foreworld.data.summary import to_frame

        return to_frame(self)

    def take(self, indices: Sequence[int]) -> "Episodes":
        """The episodes at these positions."""
        return Episodes(self.schema, tuple(self.episodes[index] for index in indices), self.backend)

    def distinct(self) -> tuple["Episodes", Int[np.ndarray, " episode"]]:
        """Each episode once, and where each of these is among them: one history may be asked about many plans."""
        place: dict[int, int] = {}
        index = np.array([place.setdefault(id(episode), len(place)) for episode in self.episodes], dtype=int)
        _, first = np.unique(index, return_index=True)
        return self.take(first.tolist()), index
