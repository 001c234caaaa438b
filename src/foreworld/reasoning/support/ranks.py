"""Where a number stands among those of held-out questions: conformal p-values, by ground and step.

p(e) is the share of held-out questions whose evidence is at least e, the new question counted among them (Vovk,
Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005): on new questions like those it is at most p with
probability p, whatever the evidence is and in whatever unit.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

KNOTS = 128  # Tail values kept of each distribution; they are spaced so that the rarest are kept one by one.


@dataclass(frozen=True)
class Ranks:
    """Distributions of evidence over held-out questions; large is strange.

    Attributes:
        shares: decreasing from 1; the last is one of all questions and the new one.
        knots: the value that such a share of questions reaches, increasing along the last axis.
    """

    shares: Float[np.ndarray, " knot"]
    knots: Float[np.ndarray, "*group knot"]

    @classmethod
    def fit(cls, evidence: Float[np.ndarray, "case *group"]) -> "Ranks":
        """Keep the upper tail of each column."""
        count = len(evidence)
        ranked = np.sort(evidence, axis=0)[::-1]
        # Share (r + 1) / (n + 1) belongs to the r-th largest: the new question is one of the n + 1.
        kept = np.unique(np.round(np.geomspace(1, count, min(KNOTS, count))).astype(int))[::-1]
        shares = np.concatenate([(kept + 1) / (count + 1), [1 / (count + 1)]])
        knots = np.moveaxis(ranked[kept - 1], 0, -1)
        beyond = np.full((*knots.shape[:-1], 1), np.inf)
        return cls(shares, np.concatenate([knots, beyond], axis=-1))

    def p(self, evidence: Float[np.ndarray, "case *group"]) -> Float[np.ndarray, "case *group"]:
        """The share of held-out questions at least as strange; ties count as at least, between knots it is linear."""
        values = np.moveaxis(np.asarray(evidence, np.float64), 0, -1)
        knots = self.knots.reshape(-1, self.knots.shape[-1])
        flat = values.reshape(len(knots), -1)
        place = np.stack([np.searchsorted(row, column) for row, column in zip(knots, flat, strict=True)])
        place = np.minimum(place, len(self.shares) - 1)
        before = np.maximum(place - 1, 0)
        low, high = np.take_along_axis(knots, before, 1), np.take_along_axis(knots, place, 1)
        open_ended = np.isinf(high) | (high <= low)
        gap = np.where(open_ended, 1.0, high - low)
        way = np.where(open_ended, 1.0, np.clip((np.minimum(flat, 1e300) - low) / gap, 0, 1))
        found = self.shares[before] + way * (self.shares[place] - self.shares[before])
        return np.moveaxis(found.reshape(values.shape), -1, 0)

    def border(self, share: Float[np.ndarray, "*group"] | float) -> Float[np.ndarray, "*group"]:
        """The evidence whose p is this share; the largest seen, where the share is smaller than any that was kept."""
        asked = np.broadcast_to(np.asarray(share, np.float64), self.knots.shape[:-1])[..., None]
        place = np.clip((self.shares > asked).sum(-1, keepdims=True), 1, len(self.shares) - 1)
        low, high = (np.take_along_axis(self.knots, index, -1) for index in (place - 1, place))
        open_ended = np.isinf(high)
        first, second = self.shares[place - 1], self.shares[place]
        way = np.clip((first - asked) / (first - second), 0, 1)
        return (low + np.where(open_ended, 0.0, way * (np.where(open_ended, low, high) - low)))[..., 0]
