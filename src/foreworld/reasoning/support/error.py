"""How wrong will the forecast be? Learnt on held-out forecasts, of which the error is known.

log E|truth - median| = b[step, target] + sum_k w_k x_k, w_k >= 0: the error that is usual at a step, raised where the
forecast is wide, where members disagree, and where history or actions are unusual (x is the logarithm of each, relative
to what is usual). Weights are not negative, so nothing strange ever makes an answer look better.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

RIDGE = 1e-2  # A share of the cases that say that a weight is zero.
LEAST = 0.05


@dataclass(frozen=True)
class ErrorModel:
    """Expected absolute errors.

    Attributes:
        usual: mean absolute error by step and target, native units.
        weights: of the features.
    """

    usual: Float[np.ndarray, "step target"]
    weights: Float[np.ndarray, " feature"]

    @classmethod
    def fit(
        cls,
        features: Float[np.ndarray, "case step target feature"],
        error: Float[np.ndarray, "case step target"],
    ) -> "ErrorModel":
        """Non-negative least squares on the logarithm of the error.

        Args:
            features: logarithms, each about zero where all is as usual.
            error: absolute errors of held-out forecasts in native units, NaN where the truth was not observed.
        """
        known = np.isfinite(error)
        count = known.sum(0)
        usual = np.where(known, error, 0).sum(0) / np.maximum(count, 1)
        ratio = error / np.where(usual > 0, usual, 1.0)
        kept = known & (usual > 0)
        x, y = features[kept], np.log(np.maximum(ratio[kept], LEAST))
        if not len(y):
            return cls(usual, np.zeros(features.shape[-1]))
        x, y = x - x.mean(0), y - y.mean()
        gram = x.T @ x / len(y) + RIDGE * np.eye(x.shape[1])
        root = np.linalg.cholesky(gram)
        weights, _ = nnls(root.T, np.linalg.solve(root, x.T @ y / len(y)))
        return cls(usual, weights)

    def expect(
        self, features: Float[np.ndarray, "case step target feature"]
    ) -> Float[np.ndarray, "case step target"]:
        """Expected absolute error in native units; steps beyond the last fitted one are like it."""
        step = np.minimum(np.arange(features.shape[1]), len(self.usual) - 1)
        return self.usual[step] * np.exp(np.clip(features @ self.weights, -5, 5))
