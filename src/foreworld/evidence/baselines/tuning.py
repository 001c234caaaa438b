"""Cross-validation of nested ridge regressions, with a penalty of its own for every response."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from foreworld.evidence.baselines.nested import NestedRidge, Weights

Responses = Float[np.ndarray, "case step *code"]
Ridges = Float[np.ndarray, "choice column"]
"""Penalties to choose from, of the squared weight of each column and for one training row."""


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
    """Responses side by side, with the moments of each fold, so that any set of folds is a sum away."""

    def __init__(self, x: np.ndarray, y: Responses, fold: np.ndarray, reach: np.ndarray):
        flat = y.reshape(len(y), -1)
        self.x, self.fold = x, fold
        self.seen = np.isfinite(flat).astype(np.float64)
        self.complete = bool(self.seen.all())
        self.y = np.where(self.seen > 0, flat, 0.0)
        self.reach = np.repeat(reach, y[0, 0].size)
        self.folds = np.arange(fold.max() + 1)
        self.gram = np.stack([x[fold == index].T @ x[fold == index] for index in self.folds])
        self.moments = np.stack([x[fold == index].T @ self.y[fold == index] for index in self.folds])

    def solve(self, ridge: np.ndarray, folds: np.ndarray, tolerance: float) -> Weights:
        rows = np.isin(self.fold, folds)
        moments = self.moments[folds].sum(axis=0)
        system = NestedRidge(self.gram[folds].sum(axis=0), ridge * rows.sum(), self.reach)
        if self.complete:
            return system.solve(moments)
        return system.solve_missing(self.x, self.seen * rows[:, None], moments, tolerance=tolerance)

    def predict_held_out(self, ridge: np.ndarray) -> Float[np.ndarray, "case response"]:
        predicted = np.empty_like(self.y)
        for index in self.folds:
            held = self.fold == index
            predicted[held] = self.x[held] @ self.solve(ridge, self.folds[self.folds != index], tolerance=1e-4)
        return predicted


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
    count = np.maximum(regression.seen.sum(axis=0), 1)
    best = np.full(len(count), np.inf)
    choice, predicted = np.zeros(len(count), dtype=int), np.zeros_like(regression.y)
    for index, ridge in enumerate(ridges):
        trial = regression.predict_held_out(ridge)
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
        same = choice.reshape(-1) == index
        weights[:, same] = regression.solve(ridges[index], regression.folds, tolerance=1e-6)[:, same]
    return weights.reshape(-1, *y.shape[1:])
