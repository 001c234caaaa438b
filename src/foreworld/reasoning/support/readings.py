"""Do the latest rows of a history hold together as rows of training do?

A belief keeps what the future depends on and may let go of what tells that a sensor is off: that two channels which
always agreed do not any more (feature collapse; van Amersfoort et al., arXiv 2102.11409). So the rows themselves are
looked up as well: the last known value of every observation, whitened, so that a combination never seen is far away
however ordinary each value is.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.data.episodes import Episode
from foreworld.data.last_seen import last_seen
from foreworld.data.scaling import Encoding
from foreworld.reasoning.support.neighbours import Neighbours

LATEST = 6  # Rows that are looked up: one glitch is not a change.
FLOOR = 1e-4  # Directions in which rows hardly vary are what gives a sensor away, down to the noise of rounding.


def fit_readings(rows: Sequence[Float[np.ndarray, "_ value"]], rng: np.random.Generator) -> Neighbours:
    """A sample of the rows of training, episode by episode."""
    return Neighbours.sample(rows, FLOOR, rng)


def distances(
    known: Neighbours, histories: Sequence[Float[np.ndarray, "_ value"]], but: Int[Tensor, " episode"] | None = None
) -> Float[np.ndarray, " episode"]:
    """How far the LATEST rows of each history are from those of training, on average.

    Args:
        known: as `fit_readings` gives it.
        histories: rows of each; the first one of a history that is too short stands in for those before it.
        but: an episode that does not count, for each history.
    """
    rows = []
    for history in histories:
        latest = history[-LATEST:]
        rows.append(np.concatenate([np.repeat(latest[:1], LATEST - len(latest), axis=0), latest]))
    skip = None if but is None else but.repeat_interleave(LATEST)
    found = known.of(torch.from_numpy(np.concatenate(rows))[None], but=skip)
    return found.distance[0].unflatten(0, (len(rows), LATEST)).mean(1).numpy()


def known_rows(episode: Episode, encoding: Encoding) -> Float[np.ndarray, "row value"]:
    """Scaled values, of categories an indicator for each label; the last known one where missing, or else the usual."""
    return encoding.values(last_seen(episode.observations)[0], "observation")
