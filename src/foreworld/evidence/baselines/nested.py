"""Ridge regressions of many responses that share rows but may use more and more of the columns."""

import numpy as np
from jaxtyping import Float, Int

Weights = Float[np.ndarray, "column response"]
BLOCK = 64  # rows solved at once: most of the work is then in matrix products


class NestedRidge:
    """Solves argmin |x w - y|^2 + sum_j ridge_j w_j^2 for many responses, each on its own number of leading columns.

    If x'x + diag(ridge) = L L', the leading blocks of L are the factors of the leading blocks of the matrix. One
    factorisation therefore serves all responses: w = L^-T cut(L^-1 x'y), where each response is cut at its reach.

    Args:
        gram: x'x over the training rows.
        ridge: penalty of each squared weight.
        reach: leading columns that each response may use.
    """

    def __init__(
        self,
        gram: Float[np.ndarray, "column column"],
        ridge: Float[np.ndarray, " column"],
        reach: Int[np.ndarray, " response"],
    ):
        self.ridge = ridge[:, None]
        self.lower = np.linalg.cholesky(gram + np.diag(ridge))
        self.beyond = np.arange(len(gram))[:, None] >= reach

    def solve(self, moments: Weights) -> Weights:
        """Weights for the moments x'y of responses that are complete."""
        front = _forward(self.lower, moments)
        front[self.beyond] = 0.0
        return _backward(self.lower, front)

    def solve_missing(
        self,
        x: Float[np.ndarray, "row column"],
        seen: Float[np.ndarray, "row response"],
        moments: Weights,
        *,
        tolerance: float,
        iterations: int = 100,
    ) -> Weights:
        """Weights where responses are missing in some rows, by conjugate gradients on the rows that each one has.

        The complete solution is the preconditioner: the fewer rows are missing, the fewer iterations are needed.

        Args:
            x: the rows of `gram`, and maybe more.
            seen: 1 where a response counts, 0 where it is missing or its row is not in `gram`.
            moments: x'y over the rows seen.
            tolerance: of the residual's size, relative to that of the right-hand side.
            iterations: at most.
        """

        def apply(weights: Weights) -> Weights:
            image = x.T @ (seen * (x @ weights)) + self.ridge * weights
            image[self.beyond] = 0.0
            return image

        moments = np.where(self.beyond, 0.0, moments)
        weights = self.solve(moments)
        goal = tolerance**2 * (moments * weights).sum(axis=0)
        residual = moments - apply(weights)
        direction = ahead = self.solve(residual)
        size = (residual * ahead).sum(axis=0)
        for _ in range(iterations):
            active = size > goal
            if not active.any():
                break
            image = apply(direction)
            curvature = (direction * image).sum(axis=0)
            step = np.where(active, size / np.where(active, curvature, 1.0), 0.0)
            weights, residual = weights + step * direction, residual - step * image
            ahead = self.solve(residual)
            before, size = size, (residual * ahead).sum(axis=0)
            direction = ahead + np.where(active, size / np.where(active, before, 1.0), 0.0) * direction
        return weights


def _forward(lower: Float[np.ndarray, "column column"], right: Weights) -> Weights:
    """The solution of lower @ x = right."""
    x = np.empty_like(right)
    for start in range(0, len(lower), BLOCK):
        own, before = slice(start, start + BLOCK), slice(start)
        x[own] = np.linalg.solve(lower[own, own], right[own] - lower[own, before] @ x[before])
    return x


def _backward(lower: Float[np.ndarray, "column column"], right: Weights) -> Weights:
    """The solution of lower.T @ x = right."""
    x = np.empty_like(right)
    for start in reversed(range(0, len(lower), BLOCK)):
        own, after = slice(start, start + BLOCK), slice(start + BLOCK, None)
        x[own] = np.linalg.solve(lower[own, own].T, right[own] - lower[after, own].T @ x[after])
    return x
