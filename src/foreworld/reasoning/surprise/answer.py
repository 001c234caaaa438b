"""The answer to *what is surprising here*: p-values by row and channel, expected against seen, and alarms."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.episodes import Episodes
from foreworld.data.frames import frame_from_columns, free
from foreworld.data.schema import Variable
from foreworld.data.summary import clock
from foreworld.reasoning.surprise.expect import unit_columns

TOGETHER = ("belief", "all")  # What is judged besides the channels.


@dataclass(frozen=True)
class Surprise:
    """Every row but the first of some trajectories, held against what the rows before it let expect.

    Arrays have one entry a step, the trajectories end to end. Streams are the observed channels, the belief, and all
    channels together. Units are those of `expect`: one value a number, one chance a category.

    Attributes:
        data: the trajectories; those of a single row are left out.
        p: chance of being as far from what was expected, if all is as in training; NaN where nothing was seen.
        low, expected, high: median and 90% interval in native units; of categories, the chance alone.
        raised: whether an alarm was raised; after one, evidence is gathered anew.
        rate: false alarms a row at which this step alone or with those before it would raise one.
        sudden: whether the row alone raises it, or what has gathered over rows.
        named: the stream that an alarm is about.
        since: the step, counted from 0 within the trajectory, that the change most likely began with.
        supported: whether history and action lie within what training saw.
        budget, allowed: as asked for, and false alarms a row.
        held_out: what is known of that rate from held-out rows.
    """

    data: Episodes
    p: Float[np.ndarray, "step stream"]
    low: Float[np.ndarray, "step unit"]
    expected: Float[np.ndarray, "step unit"]
    high: Float[np.ndarray, "step unit"]
    raised: Bool[np.ndarray, " step"]
    rate: Float[np.ndarray, " step"]
    sudden: Bool[np.ndarray, " step"]
    named: Int[np.ndarray, " step"]
    since: Int[np.ndarray, " step"]
    supported: Bool[np.ndarray, " step"]
    budget: str
    allowed: float
    held_out: Mapping[str, Any]

    @property
    def channels(self) -> tuple[Variable, ...]:
        """The observed channels."""
        return self.data.schema.observations

    @property
    def starts(self) -> Int[np.ndarray, " episode"]:
        """The first step of each trajectory."""
        return np.concatenate([[0], np.cumsum([episode.steps for episode in self.data])[:-1]]).astype(int)

    def to_frame(self, backend: str | None = None) -> Any:
        """One row an (id, step, variable), under the user's own names of the id and time columns.

        A step is a row of the trajectory; of the first one, 0, nothing is expected. A binary or categorical channel has
        one row a category, named `variable=label`, whose expected value is a probability. `belief`, the model's own
        state, and `all`, the channels together, have a p-value alone. `alarm` is true in the rows of the channel that
        an alarm is about.
        """
        schema, steps = self.data.schema, len(self.raised)
        names, units, seen = self._units()
        stream = np.array([*self._streams(), len(self.channels), len(self.channels) + 1])
        width = len(stream)
        nothing = np.full((steps, 2), np.nan)
        ids = np.array([episode.id for episode in self.data])
        columns: dict[str, Any] = {
            schema.id: np.repeat(np.repeat(ids, [episode.steps for episode in self.data]), width),
            schema.time: clock(np.repeat(np.concatenate([episode.time[1:] for episode in self.data]), width), schema),
        }
        ours: dict[str, Any] = {
            "step": np.repeat(self._step() + 1, width),
            "variable": np.tile(np.array([*names, *self._together()], dtype=object), steps),
            "p": self.p[:, stream].reshape(-1),
        }
        parts = {"expected": self.expected, "low": self.low, "high": self.high, "seen": seen}
        ours |= {name: np.concatenate([part, nothing], axis=1).reshape(-1) for name, part in parts.items()}
        ours["unit"] = np.tile(np.array([*units, "", ""], dtype=object), steps)
        ours["alarm"] = (self.raised[:, None] & (self.named[:, None] == stream)).reshape(-1)
        ours["supported"] = np.repeat(self.supported, width)
        columns |= {free(name, columns): column for name, column in ours.items()}
        return frame_from_columns(columns, backend or self.data.backend)

    def alarms(self) -> list[dict[str, Any]]:
        """Every alarm: where, which variable, since when, expected against seen; JSON-able."""
        names, units, seen = self._units()
        columns, step = unit_columns(self.channels), self._step()
        episode = np.repeat(np.arange(len(self.data)), [one.steps for one in self.data])
        found = []
        for at in np.flatnonzero(self.raised).tolist():
            history, stream = self.data[int(episode[at])], int(self.named[at])
            alarm: dict[str, Any] = {
                "id": history.id,
                "time": self._time(float(history.time[step[at] + 1])),
                "step": int(step[at]) + 1,
                "kind": "sudden" if self.sudden[at] else "gradual",
                "since": self._time(float(history.time[self.since[at] + 1])),
                "would_alarm_at_per_1000_rows": 1000 * float(self.rate[at]),
                "supported": bool(self.supported[at]),
            }
            if stream >= len(self.channels):
                name = self._together()[stream - len(self.channels)]
                found.append(alarm | {"variable": name, "p": _known(self.p[at, stream])})
                continue
            # Of a categorical channel, the label that was seen.
            span = columns[stream]
            unit = span.start + int(np.nanargmax(seen[at, span])) if np.isfinite(seen[at, span]).any() else span.start
            parts = {"expected": self.expected, "low": self.low, "high": self.high, "seen": seen}
            alarm |= {"variable": names[unit], "p": _known(self.p[at, stream]), "unit": units[unit]}
            found.append(alarm | {name: _known(part[at, unit]) for name, part in parts.items()})
        return found

    def summary(self) -> dict[str, Any]:
        """The budget and what became of it, every trajectory's alarms, and all alarms; JSON-able."""
        alarms = self.alarms()
        first = {alarm["id"]: alarm for alarm in reversed(alarms)}
        counts = Counter(alarm["id"] for alarm in alarms)
        episodes = [
            {
                "id": episode.id,
                "rows": episode.steps,
                "alarms": counts[episode.id],
                "first": first.get(episode.id, {}).get("time"),
                "variable": first.get(episode.id, {}).get("variable"),
            }
            for episode in self.data
        ]
        rows = len(self.raised)
        return {
            "budget": {
                "asked": self.budget,
                "per_1000_rows": 1000 * self.allowed,
                "on_held_out_rows": dict(self.held_out),
            },
            "rows": rows,
            "alarms_per_1000_rows": 1000 * float(self.raised.mean()),
            "expected_false_alarms": self.allowed * rows,
            "episodes": episodes,
            "alarms": alarms,
        }

    def first_alarmed(self) -> int:
        """The first trajectory with an alarm; the first of all if there is none."""
        if not self.raised.any():
            return 0
        return int(np.searchsorted(self.starts, int(np.flatnonzero(self.raised)[0]), side="right")) - 1

    def plot(self, path: str | Path | None = None, episode: int = 0) -> Any:
        """Expected against seen in one trajectory, with its alarms. Returns the matplotlib figure."""
        from foreworld.evidence.plots import surprise_chart

        figure = surprise_chart(self, episode=episode)
        if path is not None:
            figure.savefig(path)
        return figure

    def _step(self) -> Int[np.ndarray, " step"]:
        return np.concatenate([np.arange(episode.steps) for episode in self.data])

    def _together(self) -> list[str]:
        taken = {variable.name for variable in self.channels}
        return [free(name, taken) for name in TOGETHER]

    def _streams(self) -> list[int]:
        """The stream of every unit."""
        return [index for index, channel in enumerate(self.channels) for _ in range(channel.width)]

    def _units(self) -> tuple[list[str], list[str], Float[np.ndarray, "step unit"]]:
        """Names, units of measurement, and what was seen."""
        names, units, parts = [], [], []
        observations = np.concatenate([episode.observations[1:] for episode in self.data]).astype(float)
        for index, channel in enumerate(self.channels):
            column = observations[:, index, None]
            labels = {"continuous": (), "binary": ("1",), "categorical": channel.categories}[channel.kind]
            names += [f"{channel.name}={label}" for label in labels] or [channel.name]
            units += ["probability"] * len(labels) or [channel.unit]
            if channel.kind == "categorical":
                given = (column == np.arange(channel.width)).astype(float)
                column = np.where(np.isfinite(column), given, np.nan)
            parts.append(column)
        return names, units, np.concatenate(parts, axis=1)

    def _time(self, value: float) -> Any:
        shown = clock(np.array([value]), self.data.schema)
        return float(shown[0]) if isinstance(shown, np.ndarray) else shown[0].as_py()


def _known(value: np.floating) -> float | None:
    """A number that JSON has."""
    return float(value) if np.isfinite(value) else None
