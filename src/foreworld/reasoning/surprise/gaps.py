"""Missing values in a stream: a channel that is missing has no p-value, and its absence alone raises no alarm.

A model takes missing values as they are where its training had some. A channel that was never missing in training is
another matter: neither network nor expectation has seen a row without it. Its last value is carried on, which serves
for the row that comes next. After that nothing is judged until the gap is as far behind as it was long, since all
forecasts then rest on a value that nobody saw.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from foreworld.data.episodes import Episodes
from foreworld.data.last_seen import last_seen
from foreworld.data.scaling import INCREMENT_LAGS

LONGEST = max(INCREMENT_LAGS)  # Rows for which a value is looked back to.


def carry(data: Episodes, complete: Sequence[bool]) -> tuple[Episodes, Bool[np.ndarray, "step stream"]]:
    """Trajectories without gaps in these channels, and which streams cannot be judged at each step, the belief last.

    Args:
        data: the trajectories.
        complete: which observed channels were never missing in training.
    """
    columns = np.array(complete, bool)
    episodes, unjudged = [], []
    for episode in data:
        missing = np.isnan(episode.observations)
        gaps = missing & columns
        lost = np.any(gaps, axis=1)
        blind = _shadow(lost)[:-1] | np.all(missing[1:], axis=1)
        unjudged.append(np.column_stack([missing[1:] | blind[:, None], blind | lost[1:]]))
        if lost.any():
            carried = np.where(gaps, last_seen(episode.observations)[0], episode.observations)
            episode = replace(episode, observations=carried)
        episodes.append(episode)
    return Episodes(data.schema, tuple(episodes), data.backend), np.concatenate(unjudged)


def _shadow(lost: Bool[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
    """The rows of every gap, and as many after it, though no more than are looked back to."""
    shadow = lost.copy()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(int))).reshape(-1, 2)
    for begin, end in edges:
        shadow[begin : end + min(end - begin, LONGEST) - 1] = True
    return shadow
