"""The conformal quantile, and the score that intervals and bands share: how far off, in half-widths of the forecast.

With n exchangeable scores the k-th smallest, k = ceil((n + 1) p), is not exceeded by a new one with a probability of at
least p, and of less than p + 1 / (n + 1) if there are no ties (Vovk, Gammerman and Shafer, *Algorithmic Learning in a
Random World*, 2005; Lei et al., JASA 2018).
"""

import numpy as np
from jaxtyping import Float


def conformal_quantile(scores: Float[np.ndarray, "case *question"], share: float) -> Float[np.ndarray, "*question"]:
    """The score that at least a `share` of new ones will not exceed; NaN scores do not count.

    Of fewer scores than (n + 1) share needs it is the largest, and promises n / (n + 1) alone; NaN where there is none.
    """
    ranked = np.sort(scores, axis=0)  # NaN comes last.
    count = np.isfinite(scores).sum(0)
    rank = np.minimum(np.ceil((count + 1) * share - 1e-9).astype(int), count)
    padded = np.concatenate([ranked, np.full_like(ranked[:1], np.nan)])
    place = np.where(count > 0, np.maximum(rank, 1) - 1, len(ranked))
    return np.take_along_axis(padded, place[None], axis=0).reshape(scores.shape[1:])


def reach(
    low: Float[np.ndarray, "*question"], middle: Float[np.ndarray, "*question"], high: Float[np.ndarray, "*question"]
) -> tuple[Float[np.ndarray, "*question"], Float[np.ndarray, "*question"]]:
    """Distances from the median to both ends of an interval; none is so small that a score would mean nothing."""
    least = 1e-6 * (high - low) + 1e-9 * np.abs(middle) + 1e-30
    return np.maximum(middle - low, least), np.maximum(high - middle, least)


def misses(
    low: Float[np.ndarray, "*question"],
    middle: Float[np.ndarray, "*question"],
    high: Float[np.ndarray, "*question"],
    truth: Float[np.ndarray, "*question"],
) -> Float[np.ndarray, "*question"]:
    """Distance of the truth from the median in units of that side of the interval: above 1 it lies outside."""
    below, above = reach(low, middle, high)
    return np.maximum((truth - middle) / above, (middle - truth) / below)


def stretched(
    low: Float[np.ndarray, "*question"],
    middle: Float[np.ndarray, "*question"],
    high: Float[np.ndarray, "*question"],
    factor: Float[np.ndarray, "*question"],
) -> tuple[Float[np.ndarray, "*question"], Float[np.ndarray, "*question"]]:
    """The interval that holds the truths of which `misses` says at most `factor`."""
    below, above = reach(low, middle, high)
    return middle - factor * below, middle + factor * above
