"""Where a score stands among those of held-out rows: conformal ranks, with tails that go on beyond the largest of them.

Among n held-out scores a new one of the same kind has each rank with the same chance (split conformal prediction, Vovk,
Gammerman and Shafer 2005), so its rank is a p-value whatever the forecast is worth. Ranks alone end at 1 / (n + 1); an
alarm budget over many columns asks for less, so beyond the outermost share of the scores an exponential tail is taken,
with their mean excess (Pickands 1975, with shape zero).
"""

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict

KNOTS = 41
FEWEST = 20  # Scores that a tail is measured on.
TAIL = 0.05  # Of the rows are beyond where an exponential tail begins.
PRIOR = 5.0  # Excesses of one, which is the mean of that of -log p and of log R, that a tail begins with.
LARGEST = 7.0  # Normal scores end here, at a p of 1e-12.


class NormalScores(BaseModel):
    """The distribution of one score on held-out rows.

    Attributes:
        tail: share of the scores in each tail.
        knots: quantiles at evenly spaced normal scores, from the lower tail to the upper.
        below, above: mean excess in the two tails.
        light: the tails fall as a normal distribution does, and not as an exponential one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tail: float
    knots: list[float]
    below: float
    above: float
    light: bool = False

    @classmethod
    def fit(cls, scores: Float[np.ndarray, " row"], *, light: bool = False) -> "NormalScores":
        """Ranks among these scores; missing ones (NaN) do not count. Tails are light where normal scores are ranked."""
        known = np.sort(scores[np.isfinite(scores)].astype(float))
        if not len(known):
            known = np.zeros(1)
        tail = float(np.clip(FEWEST / len(known), 0.01, 0.25))
        normal = np.linspace(normal_of(tail), -normal_of(tail), KNOTS)
        share = torch.special.ndtr(torch.from_numpy(normal)).numpy()
        knots = np.quantile(known, share, method="weibull")
        least = 1e-6 * max(float(np.abs(knots).max()), 1e-6)
        below, above = known[known < knots[0]], known[known > knots[-1]]
        return cls(
            tail=tail,
            knots=knots.tolist(),
            below=max(float((knots[0] - below).mean()) if len(below) else 0.0, least),
            above=max(float((above - knots[-1]).mean()) if len(above) else 0.0, least),
            light=light,
        )

    def normal(self, scores: Float[np.ndarray, "*row"]) -> Float[np.ndarray, "*row"]:
        """Normal scores: standard normal for rows like the held-out ones. NaN stays NaN."""
        grid = np.linspace(normal_of(self.tail), -normal_of(self.tail), KNOTS)
        # Equal knots, of a score with ties, would leave the place between them open: the lowest is the cautious one.
        knots = np.array(self.knots)
        first = np.concatenate([[True], np.diff(knots) > 0])
        inner = np.interp(scores, knots[first], grid[first])
        edge = grid[-1]
        over = np.maximum(np.maximum(scores - knots[-1], knots[0] - scores), 0)
        excess = np.where(scores > knots[-1], over / self.above, over / self.below)
        outer = edge + excess * _mean_excess(self.tail) if self.light else -normal_of(self.tail * np.exp(-excess))
        full = np.where(scores > knots[-1], outer, np.where(scores < knots[0], -outer, inner))
        return np.where(np.isfinite(scores), np.clip(full, -LARGEST, LARGEST), np.nan)

    def value(self, normal: Float[np.ndarray, "*row"]) -> Float[np.ndarray, "*row"]:
        """The scores that have these normal scores: the inverse of `normal`."""
        edge = -normal_of(self.tail)
        inner = np.interp(normal, np.linspace(-edge, edge, KNOTS), self.knots)
        far = np.maximum(np.abs(normal), edge)
        excess = (far - edge) / _mean_excess(self.tail) if self.light else np.log(self.tail / chance_above(far))
        outer = np.where(normal > 0, self.knots[-1] + self.above * excess, self.knots[0] - self.below * excess)
        return np.where(np.abs(normal) > edge, outer, inner)


def _mean_excess(tail: float) -> float:
    """How far a standard normal number in its upper tail is beyond its start, on average."""
    start = -float(normal_of(tail))
    return float(np.exp(-(start**2) / 2) / np.sqrt(2 * np.pi)) / tail - start


def normal_of(chance: Float[np.ndarray, "*row"] | float) -> Float[np.ndarray, "*row"]:
    """The standard normal quantile."""
    return torch.special.ndtri(torch.as_tensor(np.clip(chance, 1e-300, 1.0), dtype=torch.float64)).numpy()


def chance_above(normal: Float[np.ndarray, "*row"] | float) -> Float[np.ndarray, "*row"]:
    """How often a standard normal number is larger."""
    return torch.special.ndtr(torch.as_tensor(np.negative(normal), dtype=torch.float64)).numpy()


class Tail(BaseModel):
    """The upper tail of a score alone: exponential beyond a quantile.

    Attributes:
        share: of the held-out scores beyond `start`.
        start, scale: the quantile, and the mean excess over it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float
    start: float
    scale: float

    @classmethod
    def fit(cls, scores: Float[np.ndarray, "*row"]) -> "Tail":
        """The tail beyond 95% of the scores; of few scores, a larger part."""
        known = scores[np.isfinite(scores)]
        if not known.size:
            return cls(share=TAIL, start=0.0, scale=1.0)
        share = float(np.clip(FEWEST / known.size, TAIL, 0.5))
        start = float(np.quantile(known, 1 - share))
        above = known[known > start]
        return cls(share=share, start=start, scale=float((above - start).sum() + PRIOR) / (above.size + PRIOR))

    @classmethod
    def through(cls, levels: Float[np.ndarray, " level"], counts: Float[np.ndarray, " level"], rows: int) -> "Tail":
        """The tail in which so many of the rows count beyond each level."""
        first = int(np.argmax(counts <= TAIL * rows)) if (counts <= TAIL * rows).any() else len(counts) - 1
        enough = np.flatnonzero(counts >= FEWEST / 2)
        last = max(int(enough[-1]) if len(enough) else first, first)
        fallen = np.log(max(counts[first], 0.5) / max(counts[last], 0.5))
        scale = (levels[last] - levels[first] + 1.0) / (fallen + 1.0)
        return cls(share=float(max(counts[first], 0.5) / rows), start=float(levels[first]), scale=float(scale))

    def rarity(self, scores: Float[np.ndarray, "*row"]) -> Float[np.ndarray, "*row"]:
        """-log of the share of held-out scores that are larger; below the start, the line goes on."""
        return (scores - self.start) / self.scale - np.log(self.share)
