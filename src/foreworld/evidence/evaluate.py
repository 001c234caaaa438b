import numpy as np

from foreworld.data.episodes import Episodes


def origins(
    data: Episodes, *, context: int, horizon: int, stride: int = 1, limit: int | None = None, seed: int = 0
) -> list[tuple[int, int]]:
    """Points in time from which to forecast: (episode, row) pairs for `cut`, evenly spread and in order.

    Args:
        data: the episodes; those that are too short give none.
        context: rows of history that each origin has at least, itself included.
        horizon: rows that follow each origin at least.
        stride: rows between origins of an episode. Each episode begins at a random phase, lest every origin falls on
            the same time of day.
        limit: at most so many origins, evenly spread over all that there are.
        seed: of the phases.
    """
    if min(context, horizon, stride) < 1:
        raise ValueError("context, horizon and stride count rows, from 1")
    rng = np.random.default_rng(seed)
    found: list[tuple[int, int]] = []
    for index, episode in enumerate(data):
        room = episode.steps - horizon - (context - 1)
        first = context - 1 + int(rng.integers(min(stride, max(room + 1, 1))))
        found += [(index, row) for row in range(first, episode.steps - horizon + 1, stride)]
    if limit is not None and limit < len(found):
        offset = rng.random()
        found = [found[int((index + offset) * len(found) / limit)] for index in range(limit)]
    return found
