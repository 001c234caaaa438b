"""Proper scores and calibration of sampled forecasts, element by element. A missing truth (NaN) has no score (NaN)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


def _finite(samples: np.ndarray) -> np.ndarray:
    if samples.shape[0] == 0 or not np.isfinite(samples).all():
        raise ValueError("samples of a forecast must be finite numbers, and at least one")
    return samples


def crps(
    samples: Float[np.ndarray, "member *shape"], truth: Float[np.ndarray, "*shape"], *, fair: bool = True
) -> Float[np.ndarray, "*shape"]:
    """Continuous ranked probability score, E|X - y| - 1/2 E|X - X'|, in the units of the truth; 0 is perfect.

    The second term is the mean over pairs of members, found from the sorted sample in O(m log m).

    Args:
        samples: members of the forecast.
        truth: what happened.
        fair: leave a member's zero distance to itself out, which makes the score of m members an unbiased estimate of
            that of their distribution (Ferro, QJRMS 140, 2014). Otherwise score the m members as they are.
    """
    members = len(_finite(samples))
    if fair and members < 2:
        raise ValueError("the fair CRPS needs at least two members")
    order = np.sort(samples, axis=0)
    rank = 2.0 * np.arange(1, members + 1) - members - 1
    pairs = members * (members - 1) if fair else members**2
    # The sum over all pairs of |x_i - x_j| is 2 sum_i (2i - m - 1) x_(i).
    spread = np.tensordot(rank, order, axes=(0, 0)) / pairs
    return np.abs(order - truth).mean(axis=0) - spread


def energy_score(
    samples: Float[np.ndarray, "member *shape dim"], truth: Float[np.ndarray, "*shape dim"], *, fair: bool = True
) -> Float[np.ndarray, "*shape"]:
    """Energy score, E|X - y| - 1/2 E|X - X'| with Euclidean norms over the last axis: the CRPS of vectors or paths.

    Dimensions should be in comparable units. Those that are missing in the truth are left out of both norms, which
    scores the marginal of the others; NaN where all are missing. See Gneiting and Raftery, JASA 102, 2007, eq. 22.
    """
    members = len(_finite(samples))
    if fair and members < 2:
        raise ValueError("the fair energy score needs at least two members")
    seen = np.isfinite(truth)
    known = np.where(seen, truth, 0.0)
    points = np.where(seen, samples, 0.0)
    spread = np.zeros(truth.shape[:-1])
    # One member against those after it: all pairs at once would need m times the memory.
    for index in range(members - 1):
        spread += np.linalg.norm(points[index + 1 :] - points[index], axis=-1).sum(axis=0)
    pairs = members * (members - 1) if fair else members**2
    score = np.linalg.norm(points - known, axis=-1).mean(axis=0) - spread / pairs
    return np.where(seen.any(axis=-1), score, np.nan)


def interval(
    samples: Float[np.ndarray, "member *shape"], level: float
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Lower and upper end of the central interval that should hold a fraction `level` of what happens.

    Quantiles are of Weibull's kind, (m + 1) p: the interval of any number of members then covers an exchangeable truth
    with probability `level`, as long as that needs no quantile outside the sample (m >= 39 for a level of 0.95).
    """
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, not at {level}")
    low, high = np.quantile(_finite(samples), [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
    return low, high


def coverage(
    samples: Float[np.ndarray, "member *shape"], truth: Float[np.ndarray, "*shape"], level: float, *, seed: int = 0
) -> Float[np.ndarray, "*shape"]:
    """1 where the truth lies in the central interval of a level, 0 where it does not: see `pit` and `within`.

    Where truth and members share a value, as the zero of tumours that are gone, an interval that ends there would hold
    more than its share however right the forecast is. Such a truth is placed at random among its equals.
    """
    return within(pit(samples, truth, seed=seed), level)


def within(place: Float[np.ndarray, "*shape"], level: float) -> Float[np.ndarray, "*shape"]:
    """1 where the place of a truth in its forecast (`pit`) is in the central interval of a level, 0 where it is not."""
    return np.where(np.isnan(place), np.nan, np.abs(place - 0.5) <= level / 2)


def width(samples: Float[np.ndarray, "member *shape"], level: float) -> Float[np.ndarray, "*shape"]:
    """Width of the central interval of a level, in the units of the samples."""
    low, high = interval(samples, level)
    return high - low


def pit(
    samples: Float[np.ndarray, "member *shape"], truth: Float[np.ndarray, "*shape"], *, seed: int = 0
) -> Float[np.ndarray, "*shape"]:
    """Probability integral transform: where the truth falls in its forecast, from 0 to 1; uniform if calibrated.

    The place among members, and within ties, is drawn at random, which makes it exactly uniform for an exchangeable
    truth, discrete or not (Czado, Gneiting and Held, Biometrics 65, 2009).
    """
    members = len(_finite(samples))
    below, ties = (samples < truth).sum(axis=0), (samples == truth).sum(axis=0)
    place = below + np.random.default_rng(seed).random(truth.shape) * (ties + 1)
    return np.where(np.isnan(truth), np.nan, place / (members + 1))


def rmse(
    samples: Float[np.ndarray, "member case *shape"], truth: Float[np.ndarray, "case *shape"]
) -> Float[np.ndarray, "*shape"]:
    """Root mean squared error of the mean of the members over cases; NaN where no case has a truth."""
    square = (_finite(samples).mean(axis=0) - truth) ** 2
    seen = np.isfinite(square)
    count = seen.sum(axis=0)
    total = np.where(seen, square, 0.0).sum(axis=0)
    return np.where(count > 0, np.sqrt(total / np.maximum(count, 1)), np.nan)


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def bootstrap_mean(
    values: Float[np.ndarray, "case *shape"],
    groups: Sequence[str | int],
    *,
    level: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Mean over cases, with a percentile interval from resampling whole groups, as cases within one are dependent.

    One group fewer than there are is drawn each time, which removes the bootstrap's downward bias with few groups
    (McCarthy and Snowden, 1985, "The bootstrap and finite population sampling").

    Args:
        values: NaN is left out.
        groups: of each case: the episode that it was cut from.
        level: of the interval.
        draws: number of resamples.
        seed: of the resampling; the same for paired comparisons.

    Returns:
        Arrays [*shape]. The mean is NaN where nothing was observed; the ends are NaN as well where fewer than two
        groups were, since one group says nothing about how groups differ.
    """
    _, group = np.unique(np.asarray([str(name) for name in groups]), return_inverse=True)
    if len(group) != len(values):
        raise ValueError(f"{len(values)} cases, but {len(group)} groups")
    number = int(group.max()) + 1
    flat = values.reshape(len(values), -1).astype(np.float64)
    seen = np.isfinite(flat)
    member = (group == np.arange(number)[:, None]).astype(np.float64)
    sums, counts = member @ np.where(seen, flat, 0.0), member @ seen
    mean = _ratio(sums.sum(axis=0), counts.sum(axis=0))
    low = high = np.full_like(mean, np.nan)
    if number > 1:
        rng = np.random.default_rng(seed)
        weights = rng.multinomial(number - 1, np.full(number, 1 / number), size=draws)
        resampled = _ratio(weights @ sums, weights @ counts)
        able = (counts > 0).sum(axis=0) > 1
        ends = [(1 - level) / 2, (1 + level) / 2]
        low, high = np.where(able, np.nanquantile(np.where(able, resampled, 0.0), ends, axis=0), np.nan)
    shape = values.shape[1:]
    return Interval(mean.reshape(shape), low.reshape(shape), high.reshape(shape))


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
