"""Cross-validation of nested ridge regressions, with a penalty of its own for every response."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from foreworld.evidence.baselines.nested import NestedRidge, Weights

Responses = Float[np.ndarray, "case step *code"]
Ridges = Float[np.ndarray, "choice column"]
"""Penalties to choose from, of the squared weight of each column and for one training row."""
NONE = -1  # of the folds held out


@dataclass(frozen=True)
class Tuned:
    """What cross-validation found for each response.

    Attributes:
        choice: the row of the ridges that did best.
        predicted: for every case by the folds that it is not in, under that choice.
        loss: mean squared error of these predictions.
    """

    choice: Int[np.ndarray, "step *code"]
    predicted: Responses
    loss: Float[np.ndarray, "step *code"]


class _Regression:
    """Responses side by side, with the moments of each fold, so that those of any others are a sum away."""

    def __init__(self, x: np.ndarray, y: Responses, fold: np.ndarray, reach: np.ndarray):
        flat = y.reshape(len(y), -1)
        self.x, self.fold = x, fold
        self.seen = np.isfinite(flat).astype(np.float64)
        self.y = np.where(self.seen > 0, flat, 0.0)
        self.reach = np.repeat(reach, y[0, 0].size)
        self.folds = range(int(fold.max()) + 1)
        self.gram = np.stack([x[fold == index].T @ x[fold == index] for index in self.folds])

    def moments(self, held: int, guess: np.ndarray) -> Weights:
        """x'y over the rows of the other folds.

        Missing responses are replaced by what the rows seen predict under a guess of the penalties: the exact solution
        for one penalty is a fixed point of that, and close to those for others, at the price of a complete problem.
        """
        rows = self.fold != held
        if self.seen.all():
            return self.x[rows].T @ self.y[rows]
        weights = self.solve_seen(guess, held, np.arange(len(self.reach)), tolerance=1e-2)
        filled = np.where(self.seen > 0, self.y, self.x @ weights)
        return self.x[rows].T @ filled[rows]

    def system(self, ridge: np.ndarray, held: int, columns: np.ndarray) -> NestedRidge:
        gram = self.gram[[index for index in self.folds if index != held]].sum(axis=0)
        return NestedRidge(gram, ridge * (self.fold != held).sum(), self.reach[columns])

    def solve_seen(self, ridge: np.ndarray, held: int, columns: np.ndarray, tolerance: float) -> Weights:
        """Weights of some responses from the rows where each was seen."""
        system = self.system(ridge, held, columns)
        rows = (self.fold != held)[:, None]
        seen, moments = self.seen[:, columns] * rows, self.x.T @ (self.y[:, columns] * rows)
        if self.seen.all():
            return system.solve(moments)
        return system.solve_missing(self.x, seen, moments, tolerance=tolerance)


def tune(
    x: Float[np.ndarray, "case column"],
    y: Responses,
    fold: Int[np.ndarray, " case"],
    reach: Int[np.ndarray, " step"],
    ridges: Ridges,
) -> Tuned:
    """Choose the penalties of each response by cross-validation.

    Args:
        x: design matrix; responses of step h use the leading `reach[h - 1]` columns.
        y: responses; NaN where missing.
        fold: of each case.
        reach: columns available for each step.
        ridges: to choose from.
    """
    regression = _Regression(x, y, fold, reach)
    everything = np.arange(len(regression.reach))
    moments = [regression.moments(held, ridges[len(ridges) // 2]) for held in regression.folds]
    count = np.maximum(regression.seen.sum(axis=0), 1)
    best = np.full(len(count), np.inf)
    choice = np.zeros(best.shape, dtype=int)
    predicted, trial = np.zeros_like(regression.y), np.zeros_like(regression.y)
    for index, ridge in enumerate(ridges):
        for held in regression.folds:
            weights = regression.system(ridge, held, everything).solve(moments[held])
            trial[fold == held] = x[fold == held] @ weights
        loss = (regression.seen * (trial - regression.y) ** 2).sum(axis=0) / count
        better = loss < best
        best[better], choice[better], predicted[:, better] = loss[better], index, trial[:, better]
    shape = y.shape[1:]
    return Tuned(choice.reshape(shape), predicted.reshape(y.shape), best.reshape(shape))


def refit(
    x: Float[np.ndarray, "case column"],
    y: Responses,
    reach: Int[np.ndarray, " step"],
    ridges: Ridges,
    choice: Int[np.ndarray, "step *code"],
) -> Float[np.ndarray, "column step *code"]:
    """Weights from all cases under the penalties chosen; zero on columns that a step may not use."""
    regression = _Regression(x, y, np.zeros(len(x), dtype=int), reach)
    weights = np.empty((x.shape[1], choice.size))
    for index in np.unique(choice):
        same = np.flatnonzero(choice.reshape(-1) == index)
        weights[:, same] = regression.solve_seen(ridges[index], NONE, same, tolerance=1e-6)
    return weights.reshape(-1, *y.shape[1:])
