"""Distance to the nearest of some reference rows, each of which belongs to an episode of the training data."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

NEAREST = 3  # The distance is the mean over so many: one odd row in the training data is not yet support.
_CHUNK = 2_000_000  # Distances at a time.


def nearest(
    rows: Float[Tensor, "row value"],
    references: Float[Tensor, "reference value"],
    episode: Int[Tensor, " reference"],
    but: Int[Tensor, " row"] | None = None,
) -> tuple[Float[Tensor, " row"], Int[Tensor, "row neighbour"]]:
    """Mean distance to the nearest references, and the episodes of these, the nearest first.

    Args:
        rows: what to look for.
        references, episode: where to look, and whose each is.
        but: an episode that does not count, for each row.
    """
    count = min(NEAREST, len(references))
    size = max(1, _CHUNK // len(references))
    distances, episodes = [], []
    for start in range(0, len(rows), size):
        away = torch.cdist(rows[start : start + size], references)
        if but is not None:
            away[but[start : start + size, None] == episode] = torch.inf
        least, place = away.topk(count, largest=False)
        # Where another episode has too few rows, those it has must do.
        known = torch.isfinite(least)
        distances.append(torch.where(known, least, 0).sum(1) / known.sum(1).clamp_min(1))
        episodes.append(episode[place])
    return torch.cat(distances), torch.cat(episodes)
