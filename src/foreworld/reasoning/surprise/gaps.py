"""Missing values in a stream: a channel that is missing has no p-value, and its absence alone raises no alarm.

A model takes missing values as they are where its training had some. A channel that was never missing in training is
another matter: neither network nor expectation has seen a row without it. There the last value is carried on, and the
channel is not judged at the rows that are missing nor at the ones after them.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.episodes import Episode, Episodes


def carry(data: Episodes, complete: Sequence[bool]) -> tuple[Episodes, Bool[np.ndarray, "step stream"]]:
    """Trajectories without gaps in these channels, and which streams cannot be judged at each step, the belief last.

    The belief is not judged where such a channel is missing, or where all channels are.
    """
    columns = np.array(complete, bool)
    episodes, unjudged = [], []
    for episode in data:
        missing = np.isnan(episode.observations)
        lost = (missing[1:] | missing[:-1]) & columns
        blind = lost.any(1) | missing[1:].all(1)
        unjudged.append(np.column_stack([missing[1:] | lost, blind]))
        episodes.append(_carried(episode, missing & columns))
    return Episodes(data.schema, tuple(episodes), data.backend), np.concatenate(unjudged)


def _carried(episode: Episode, missing: Bool[np.ndarray, "row observation"]) -> Episode:
    if not missing.any():
        return episode
    last = np.maximum.accumulate(np.where(missing, 0, np.arange(len(missing))[:, None]), axis=0)
    filled: Float[np.ndarray, "row observation"] = np.take_along_axis(episode.observations, last, axis=0)
    return replace(episode, observations=np.where(missing, filled, episode.observations))
