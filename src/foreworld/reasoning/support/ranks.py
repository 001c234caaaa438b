"""Where a number stands among those of held-out questions: conformal p-values, by ground and step.

p(e) is the share of held-out questions whose evidence is at least e, the new question counted among them (Vovk,
Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005): on new questions like those it is at most p with
probability p, whatever the evidence is and in whatever unit. Beyond the largest of n, where all that is known is
p <= 1 / (n + 1), it falls on as a Pareto tail, so that far outliers are told from near ones however few questions there
were.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Ranks:
    """Evidence of held-out questions; not negative, and large is strange.

    Attributes:
        values: increasing along the last axis.
        tail: exponent of the Pareto tail.
    """

    values: Float[np.ndarray, "*group case"]
    tail: float

    @classmethod
    def fit(cls, evidence: Float[np.ndarray, "case *group"], tail: float) -> "Ranks":
        """Sort each column; in single precision, so that a saved one is the same."""
        return cls(np.sort(np.moveaxis(evidence, 0, -1), axis=-1).astype(np.float32), tail)

    def p(self, evidence: Float[np.ndarray, "case *group"]) -> Float[np.ndarray, "case *group"]:
        """The share of held-out questions at least as strange; ties count as at least."""
        asked = np.moveaxis(np.minimum(evidence, 1e30).astype(np.float32), 0, -1)
        values = self.values.reshape(-1, self.values.shape[-1])
        columns = asked.reshape(len(values), -1)
        below = np.stack([np.searchsorted(*pair) for pair in zip(values, columns, strict=True)])
        count = values.shape[1]
        beyond = np.maximum(columns, 1e-30) / np.maximum(values[:, -1:], 1e-30)
        share = (1 + count - below) / (1 + count) * np.maximum(beyond, 1).astype(np.float64) ** -self.tail
        return np.moveaxis(share.reshape(asked.shape), -1, 0)

    def border(self, share: Float[np.ndarray, "*group"]) -> Float[np.ndarray, "*group"]:
        """The evidence whose p is this share; smaller evidence has a larger p."""
        count = self.values.shape[-1]
        most = np.clip(np.floor(share * (count + 1)).astype(int), 1, count)
        value = np.take_along_axis(self.values, (count - most)[..., None], axis=-1)[..., 0].astype(np.float64)
        return value * np.maximum(1 / (count + 1) / share, 1) ** (1 / self.tail)
