"""Split-conformal calibration by horizon: intervals that cover what they say on episodes never trained on.

For each step and quantile level q the sampled quantile x_q is stretched about the (shifted) median m by a factor c_q,
chosen on held-out episodes so that the share of truths below m + c_q (x_q - m) is q. Where medians differ from case to
case by more than the truth follows them, m is first drawn in (`Centre`). This is conformalised quantile
regression (Romano, Patterson, Candes, NeurIPS 2019) with a multiplicative score, level by level and one-sided, so the
shape and the asymmetry of each forecast survive and every sampled future is moved monotonically, staying coherent.

What is calibrated are futures that were `widened` by what the support of a question says of its error: the score is
normalised by a model of its size (Papadopoulos, Gammerman and Vovk, 2008; Lei et al., JASA 2018, section 5.2), so that
intervals hold for strange questions as for usual ones, and not on average alone.

A band that holds a whole future at once is wider than the interval of any step: its stretch is the conformal quantile
of the largest miss over the steps (max score; Diquigiovanni, Fontana and Vantini, JMVA 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict

from foreworld.data.episodes import Episodes
from foreworld.data.schema import Variable
from foreworld.reasoning.conformal import conformal_quantile, misses
from foreworld.reasoning.groups import Groups

FEWEST = 8  # Episodes; a standard error over fewer means nothing.
LEVELS = (0.025, 0.05, 0.1, 0.25, 0.75, 0.9, 0.95, 0.975)
BANDS = (0.5, 0.8, 0.9)  # Shares of whole futures.


class Calibration(BaseModel):
    """Corrections by step and target, indexed [step][target]; identity for targets that are not continuous.

    Attributes:
        pivot, slope: medians become pivot + slope (median - pivot), see `Centre`.
        levels: the quantile levels of `factors`.
        shift: move of the median, in interquartile ranges of the forecast.
        factors: stretch of each level about the median, [step][target][level].
        cases, episodes: what it was measured on.
        band: stretch of the calibrated 90% interval that holds the first steps all at once, [steps][target][level of
            BANDS]; empty if it was never measured.
        persistence: correlation of what is read at neighbouring steps, by target; none if it was never measured.
        groups, parts: whose questions have a calibration of their own, and these by label; other questions have this.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pivot: list[list[float]]
    slope: list[list[float]]
    levels: tuple[float, ...] = LEVELS
    shift: list[list[float]]
    factors: list[list[list[float]]]
    cases: int
    episodes: int
    band: list[list[list[float]]] = []
    persistence: list[float] = []
    groups: Groups | None = None
    parts: dict[str, "Calibration"] = {}

    @property
    def horizon(self) -> int:
        """Steps that were calibrated."""
        return len(self.shift)

    def apply(
        self, samples: Float[np.ndarray, "member episode step target"]
    ) -> Float[np.ndarray, "member episode step target"]:
        """Move the samples to their calibrated places. Steps beyond the last calibrated one take its correction."""
        steps = np.minimum(np.arange(samples.shape[2]), self.horizon - 1)
        pivot, slope, shift, factors = (
            np.array(part)[steps] for part in (self.pivot, self.slope, self.shift, self.factors)
        )
        members = samples.shape[0]
        order = np.argsort(samples, axis=0, kind="stable")
        ranked = np.take_along_axis(samples, order, axis=0)
        level = (np.arange(members) + 1) / (members + 1)
        low, middle, high = quantiles(ranked, [0.25, 0.5, 0.75])
        stretch = interpolate(level, self.levels, factors)
        moved = pivot + slope * (middle - pivot) + shift * (high - low) + stretch[:, None] * (ranked - middle)
        moved = np.maximum.accumulate(moved, axis=0)
        out = np.empty_like(samples)
        np.put_along_axis(out, order, moved.astype(samples.dtype), axis=0)
        return out

    def by_group(
        self, samples: Float[np.ndarray, "member episode step target"], histories: Episodes
    ) -> Float[np.ndarray, "member episode step target"]:
        """As `apply`, with the calibration of the group of each history."""
        out = np.empty_like(samples)
        for part, places in self.split(histories):
            out[:, places] = part.apply(samples[:, places])
        return out

    def split(self, histories: Episodes) -> list[tuple["Calibration", Int[np.ndarray, " _"]]]:
        """Which histories have which calibration."""
        if self.groups is None:
            return [(self, np.arange(len(histories)))]
        group = self.groups.of(histories)
        own = {index: self.parts[label] for index, label in enumerate(self.groups.labels) if label in self.parts}
        found = [(part, np.flatnonzero(group == index)) for index, part in own.items()]
        found.append((self, np.flatnonzero(~np.isin(group, list(own)))))
        return [(part, places) for part, places in found if len(places)]

    def band_stretch(self, horizon: int, level: float) -> Float[np.ndarray, " target"]:
        """Stretch of the calibrated 90% interval that holds so many steps at once."""
        return np.array(self.band[min(horizon, len(self.band)) - 1])[:, BANDS.index(level)]


def widened(
    samples: Float[np.ndarray, "member episode step target"],
    growth: Float[np.ndarray, "episode step"],
    targets: Sequence[Variable],
) -> Float[np.ndarray, "member episode step target"]:
    """Futures of numbers, moved away from their median by a factor for each question and step."""
    continuous = [variable.kind == "continuous" for variable in targets]
    factor = np.where(continuous, growth[..., None], 1.0)
    middle = np.median(samples, axis=0)
    return (middle + factor * (samples - middle)).astype(samples.dtype)


def quantiles(
    samples: Float[np.ndarray, "member *question"], levels: Sequence[float]
) -> Float[np.ndarray, "level *question"]:
    """Quantiles of a sample of m futures at (m + 1) p: the definition under which few members cover as many do."""
    return np.quantile(samples, np.asarray(levels, float), axis=0, method="weibull")


def interpolate(
    level: Float[np.ndarray, " member"], levels: tuple[float, ...], factors: Float[np.ndarray, "step target level"]
) -> Float[np.ndarray, "member step target"]:
    """Factors at any level: linear in the level's normal score, constant beyond the outermost."""
    normal = np.vectorize(NormalDist().inv_cdf)
    knots = normal(levels)
    at = np.clip(normal(level), knots[0], knots[-1])
    right = np.clip(np.searchsorted(knots, at, side="right"), 1, len(knots) - 1)
    share = (at - knots[right - 1]) / (knots[right] - knots[right - 1])
    columns = np.moveaxis(factors, -1, 0)
    return columns[right - 1] * (1 - share)[:, None, None] + columns[right] * share[:, None, None]


@dataclass(frozen=True)
class Centre:
    """How far to trust that medians differ: the slope of truth on median, as in EMOS (Gneiting et al., MWR 2005).

    A network that finds little to go by still gives each case a median of its own. The slope is taken two standard
    errors above its estimate and at most one, so that only what the held-out episodes clearly deny is drawn in.
    """

    pivot: float
    slope: float

    @classmethod
    def fit(
        cls, middle: Float[np.ndarray, " case"], truth: Float[np.ndarray, " case"], group: Int[np.ndarray, " case"]
    ) -> "Centre":
        """Least squares; the standard error allows for dependence within an episode (Liang and Zeger 1986)."""
        pivot = float(middle.mean())
        x, y = middle - pivot, truth - truth.mean()
        power = float(np.square(x).sum())
        _, episode = np.unique(group, return_inverse=True)
        episodes = int(episode.max()) + 1
        if power == 0 or episodes < FEWEST:
            return cls(pivot, 1.0)
        slope = float((x * y).sum() / power)
        sums = np.bincount(episode, x * (y - slope * x))
        error = float(np.sqrt(np.square(sums).sum() * episodes / (episodes - 1))) / power
        return cls(pivot, float(np.clip(slope + 2 * error, 0, 1)))


def fit_calibration(
    samples: Float[np.ndarray, "member case step target"],
    truth: Float[np.ndarray, "case step target"],
    continuous: list[bool],
    group: Int[np.ndarray, " case"],
) -> Calibration:
    """Choose centres, shifts and factors on held-out cases.

    Args:
        samples: forecasts of episodes that the forecasting network was not trained on.
        truth: what came; NaN where it was not observed.
        continuous: which targets are to be calibrated.
        group: the episode of each case.
    """
    known = quantiles(samples, [*LEVELS, 0.5]).astype(np.float64)
    middle, levels = known[-1], known[:-1]
    spread = levels[LEVELS.index(0.75)] - levels[LEVELS.index(0.25)]
    steps, targets = truth.shape[1:]
    pivot, shift = np.zeros((2, steps, targets))
    slope, factors = np.ones((steps, targets)), np.ones((steps, targets, len(LEVELS)))
    for target in np.flatnonzero(continuous):
        for step in range(steps):
            seen = np.isfinite(truth[:, step, target])
            centre, width = middle[seen, step, target], spread[seen, step, target]
            if not width.any():  # Nothing to compare, or nothing to stretch.
                continue
            width = np.maximum(width, 1e-6 * width.mean())
            came = truth[seen, step, target].astype(np.float64)
            trusted = Centre.fit(centre, came, group[seen])
            pivot[step, target], slope[step, target] = trusted.pivot, trusted.slope
            error = came - (trusted.pivot + trusted.slope * (centre - trusted.pivot))
            shift[step, target] = np.median(error / width)
            rest = error - shift[step, target] * width
            for index, level in enumerate(LEVELS):
                reach = levels[index, seen, step, target] - centre
                factors[step, target, index] = _factor(rest / width, reach / width, level)
    return Calibration(
        pivot=pivot.tolist(),
        slope=slope.tolist(),
        shift=shift.tolist(),
        factors=factors.tolist(),
        cases=len(truth),
        episodes=len(np.unique(group)),
    )


def _factor(rest: Float[np.ndarray, " case"], reach: Float[np.ndarray, " case"], level: float) -> float:
    """The stretch at which the right share of truths lies within `reach`, the quantile; both from the median."""
    sign = 1.0 if level > 0.5 else -1.0
    score = sign * rest / np.maximum(sign * reach, 1e-6)
    # A negative stretch would fold the distribution over its median.
    return max(float(conformal_quantile(score, max(level, 1 - level))), 0.0)


def fit_band(
    samples: Float[np.ndarray, "member case step target"],
    truth: Float[np.ndarray, "case step target"],
    continuous: list[bool],
) -> list[list[list[float]]]:
    """Stretches of the 90% interval that hold the first 1, 2, ... steps of a share of BANDS of the cases.

    Args:
        samples: calibrated forecasts of held-out cases.
        truth: what came; NaN where it was not observed.
        continuous: the others get 1.
    """
    low, middle, high = quantiles(samples, [0.05, 0.5, 0.95]).astype(np.float64)
    worst = np.fmax.accumulate(misses(low, middle, high, truth.astype(np.float64)), axis=1)
    found = np.stack([conformal_quantile(worst, level) for level in BANDS], axis=-1)
    usable = np.isfinite(found) & np.array(continuous)[:, None]
    return np.maximum(np.where(usable, found, 1.0), 0.0).tolist()
