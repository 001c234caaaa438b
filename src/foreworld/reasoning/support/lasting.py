"""Is it that it lasts? A sensor that reads too high all day, an action that is at its limit without pause.

Each of their rows is ordinary; that all of them are so is not. So means are looked up beside rows: of what was seen,
from the first row of a history on, and of what is done, over as many steps as the model looks ahead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.reasoning.support.neighbours import Near, Neighbours
from foreworld.reasoning.support.readings import known_rows

FLOOR = 1e-2  # Directions in which means hardly vary are not blown up.
LEAST = 1e-3  # Smallest deviation of a mean, scaled.
NEAR = 0.25  # Deviations: what comes nearer is as near as can be. Means of few levels are met exactly, or a little off.

Row = Float[np.ndarray, "row value"]
Doublings = Float[np.ndarray, "doubling value"]


@dataclass(frozen=True)
class Means:
    """Means of rows of training, comparable whatever their number: one of few rows varies more than one of many.

    Attributes:
        centre: of all rows.
        usual: deviation from it of means of 1, 2, 4, ... rows.
        known: means of training, in these deviations.
    """

    centre: Float[Tensor, " value"]
    usual: Float[Tensor, "doubling value"]
    known: Neighbours

    @classmethod
    def fit(cls, rows: Sequence[Row], span: int, rng: np.random.Generator) -> "Means":
        """From a sample of the means over the last `span` rows, or of all before where these are fewer."""
        centre = np.concatenate(rows).mean(0)
        longest = min(span, max(int(np.median([len(part) for part in rows])), 1))  # Of which there are many.
        usual = np.stack([_deviation(rows, centre, 2**power) for power in range(longest.bit_length())])
        means = (_means(part, span) for part in rows)
        known = [_in_deviations(mean, count, centre, usual) for mean, count in means]
        return cls(torch.from_numpy(centre), torch.from_numpy(usual), Neighbours.sample(known, FLOOR, rng))

    def of(
        self,
        means: Float[np.ndarray, "asked value"],
        counts: Int[np.ndarray, " asked"],
        but: Int[Tensor, " asked"] | None = None,
    ) -> Near:
        """Look means up.

        Args:
            means: as they are.
            counts: rows that each is of.
            but: an episode that does not count, for each of them.
        """
        rows = _in_deviations(means, counts, self.centre.numpy(), self.usual.numpy())
        near = self.known.of(torch.from_numpy(rows)[None], but=but)
        return Near(near.distance.clamp_min(NEAR), near.norm, near.episodes)

    def state(self, name: str) -> dict[str, np.ndarray]:
        """Everything, by name."""
        own = {f"{name}.centre": self.centre.numpy(), f"{name}.usual": self.usual.numpy()}
        return own | self.known.state(f"{name}.known")

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], name: str) -> "Means":
        """The inverse of `state`; arrays of other names are left alone."""
        centre, usual = (torch.from_numpy(arrays[f"{name}.{part}"]) for part in ("centre", "usual"))
        return cls(centre, usual, Neighbours.from_state(arrays, f"{name}.known"))


def fit_level(data: Episodes, encoding: Encoding, rng: np.random.Generator) -> Means:
    """What the readings of training were on average, from the first row to any later one."""
    rows = [known_rows(episode, encoding) for episode in data]
    return Means.fit(rows, max(map(len, rows)), rng)


def near_level(level: Means, histories: Episodes, encoding: Encoding, but: Int[Tensor, " episode"] | None) -> Near:
    """How near the readings of histories come, on average over the whole of each."""
    rows = [known_rows(history, encoding) for history in histories]
    return level.of(np.stack([part.mean(0) for part in rows]), np.array([len(part) for part in rows]), but)


def fit_load(data: Episodes, encoding: Encoding, span: int, rng: np.random.Generator) -> Means:
    """What was done on average over so many steps of training."""
    return Means.fit([_scaled(episode.actions, encoding) for episode in data], span, rng)


def near_load(
    load: Means, histories: Episodes, plan: Plan, encoding: Encoding, span: int, but: Int[Tensor, " row"] | None
) -> Near:
    """How near comes what has been done on average over the last so many steps; rows are steps of episodes."""
    courses = [np.concatenate([h.actions[-span:], planned]) for h, planned in zip(histories, plan.actions, strict=True)]
    means = [_means(_scaled(course, encoding), span) for course in courses]
    mean, count = (np.concatenate([part[-plan.horizon :] for part in parts]) for parts in zip(*means, strict=True))
    return load.of(mean, count, but)


def _scaled(actions: Float[np.ndarray, "row action"], encoding: Encoding) -> Row:
    return encoding(actions, "action")[:, : sum(variable.width for variable in encoding.schema.actions)]


def _means(rows: Row, span: int) -> tuple[Row, Int[np.ndarray, " row"]]:
    """Means over the last so many rows at each row, and how many there are."""
    total = np.cumsum(np.concatenate([np.zeros_like(rows[:1]), rows]), axis=0, dtype=np.float64)
    end = np.arange(1, len(rows) + 1)
    count = np.minimum(end, span)
    return ((total[end] - total[end - count]) / count[:, None]).astype(np.float32), count


def _deviation(rows: Sequence[Row], centre: Float[np.ndarray, " value"], count: int) -> Float[np.ndarray, " value"]:
    """Usual size of the mean of so many rows in a row, wherever they are, less the centre."""
    means = np.concatenate([_means(part, count)[0][count - 1 :] for part in rows])
    return np.maximum(np.sqrt(np.square(means - centre).mean(0)), LEAST)


def _in_deviations(
    means: Row, counts: Int[np.ndarray, " row"], centre: Float[np.ndarray, " value"], usual: Doublings
) -> Row:
    """Between the powers of two the deviation of a mean is that of the lower one; it hardly differs."""
    power = np.minimum(np.log2(counts).astype(int), len(usual) - 1)
    return (means - centre) / usual[power]
