"""Is it that it lasts? A sensor that reads too high all day, an action that is at its limit without pause.

Each of their rows is ordinary; that all of them are so is not. So means are judged beside rows: of what was seen, from
the first row of a history on, and of what is done, over as many steps as the model looks ahead. One mean is as strange
as the variable in it that is most deviations from its usual value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding

LEAST = 1e-3  # Smallest deviation of a mean, scaled.

Rows = Float[np.ndarray, "_ value"]  # Of episodes of any length.


@dataclass(frozen=True)
class Means:
    """How means of rows vary in training, by their number: one of few rows varies more than one of many.

    Attributes:
        centre: mean of all rows.
        counts: 1, 2, 4, ... rows, and the most that a mean is taken over.
        usual: deviation from the centre of means of so many rows.
    """

    centre: Float[np.ndarray, " value"]
    counts: Int[np.ndarray, " count"]
    usual: Float[np.ndarray, "count value"]

    @classmethod
    def fit(cls, rows: Sequence[Rows], span: int) -> "Means":
        """From means over the last `span` rows of each part, or of all where these are fewer."""
        longest = min(span, max(int(np.median([len(part) for part in rows])), 1))  # Of more there are few.
        counts = np.array([2**power for power in range(longest.bit_length()) if 2**power < longest] + [longest])
        centre = np.concatenate(rows).mean(0, dtype=np.float64)
        return cls(centre, counts, np.stack([_deviation(rows, centre, count) for count in counts.tolist()]))

    def strange(
        self, means: Float[np.ndarray, "asked value"], counts: Int[np.ndarray, " asked"]
    ) -> Float[np.ndarray, "asked value"]:
        """How many deviations each mean, which is of so many rows, is from the centre."""
        place = np.interp(np.log(counts), np.log(self.counts), np.arange(len(self.counts)))
        low, share = np.floor(place).astype(int), (place % 1)[:, None]
        high = np.minimum(low + 1, len(self.counts) - 1)
        usual = self.usual[low] * (1 - share) + self.usual[high] * share
        return np.abs(means - self.centre) / usual

    def state(self, name: str) -> dict[str, np.ndarray]:
        """Everything, by name."""
        return {f"{name}.{part}": value for part, value in vars(self).items()}

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], name: str) -> "Means":
        """The inverse of `state`; arrays of other names are left alone."""
        return cls(*(arrays[f"{name}.{part}"] for part in ("centre", "counts", "usual")))


def fit_level(rows: Sequence[Rows]) -> Means:
    """What readings of episodes were on average, from the first row to any later one."""
    return Means.fit(rows, max(map(len, rows)))


def level_of(level: Means, rows: Sequence[Rows]) -> Float[np.ndarray, "episode reading"]:
    """How many deviations the readings of each history are from the usual ones, on average."""
    return level.strange(np.stack([part.mean(0) for part in rows]), np.array([len(part) for part in rows]))


def fit_load(data: Episodes, encoding: Encoding, span: int) -> Means:
    """What was done on average over so many steps."""
    return Means.fit([encoding.values(episode.actions, "action") for episode in data], span)


def load_of(
    load: Means, histories: Episodes, plan: Plan, encoding: Encoding, span: int
) -> Float[np.ndarray, "episode step dose"]:
    """How many deviations from the usual it is what will have been done on average over so many steps, at each step."""
    courses = [np.concatenate([h.actions[-span:], planned]) for h, planned in zip(histories, plan.actions, strict=True)]
    pairs = [_means(encoding.values(course, "action"), span) for course in courses]
    means, counts = (np.concatenate([part[-plan.horizon :] for part in parts]) for parts in zip(*pairs, strict=True))
    return load.strange(means, counts).reshape(len(courses), plan.horizon, -1)


def _means(rows: Rows, span: int) -> tuple[Float[np.ndarray, "row value"], Int[np.ndarray, " row"]]:
    """Means over the last so many rows at each row, and how many there are."""
    total = np.cumsum(np.concatenate([np.zeros_like(rows[:1]), rows]), axis=0, dtype=np.float64)
    end = np.arange(1, len(rows) + 1)
    count = np.minimum(end, span)
    return (total[end] - total[end - count]) / count[:, None], count


def _deviation(rows: Sequence[Rows], centre: Float[np.ndarray, " value"], count: int) -> Float[np.ndarray, " value"]:
    """Usual size of the mean of so many rows in a row, wherever they are, less the centre."""
    means = np.concatenate([_means(part, count)[0][count - 1 :] for part in rows])
    return np.maximum(np.sqrt(np.square(means - centre).mean(0)), LEAST)
