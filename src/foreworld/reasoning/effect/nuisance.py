"""What is to be expected of actions and outcomes given the history, each from episodes other than its own.

Cross-fitting (Chernozhukov et al., Double/debiased machine learning, Econometrics Journal 2018): a row is predicted by
a regression that has not seen its episode, so that no fit to chance of its own leaks into what is left over.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

FOLDS = 5
PENALTIES = 10.0 ** np.arange(-5, 2)  # Of scaled features, a row.
ROUNDS = 8  # Newton steps of a logistic regression.


def design(features: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, "row column"]:
    """Features at mean zero and deviation one, without constant ones, after an intercept."""
    features = features.astype(np.float64)
    spread = features.std(0)
    kept = spread > 1e-8 * (1 + np.abs(features).max(0))
    scaled = (features[:, kept] - features[:, kept].mean(0)) / spread[kept]
    return np.concatenate([np.ones((len(features), 1)), np.clip(scaled, -8, 8)], axis=1)


def folds_of(episode: Int[np.ndarray, " row"], seed: int) -> Int[np.ndarray, " row"]:
    """The fold of each row: whole episodes at random."""
    names, position = np.unique(episode, return_inverse=True)
    order = np.random.default_rng([seed, 6]).permutation(len(names))
    return (order % min(FOLDS, len(names)))[position]


def ridge(
    x: Float[np.ndarray, "row column"], y: Float[np.ndarray, "row output"], fold: Int[np.ndarray, " row"]
) -> Float[np.ndarray, "row output"]:
    """Ridge regression of every output, its penalty chosen by the error in the folds left out; predictions of those."""
    shape = (len(PENALTIES), *y.shape)
    predicted = np.zeros(shape)
    for part in np.unique(fold):
        out = fold == part
        a, b = x[~out], y[~out]
        middle, means = b.mean(0), a[:, 1:].mean(0)
        centred = a[:, 1:] - means
        values, vectors = np.linalg.eigh(centred.T @ centred)
        turned = vectors.T @ (centred.T @ (b - middle))
        reach = (x[out, 1:] - means) @ vectors
        for place, penalty in enumerate(PENALTIES):
            shrunk = turned / (np.maximum(values, 0) + penalty * len(a))[:, None]
            predicted[place][out] = middle + reach @ shrunk
    best = np.square(predicted - y).sum(1).argmin(0)
    return np.take_along_axis(predicted, best[None, None], 0)[0]


def logistic(
    x: Float[np.ndarray, "row column"], y: Bool[np.ndarray, " row"], fold: Int[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    """Probability that y holds, by penalised logistic regression (Newton's method)."""
    predicted = np.empty(len(y))
    for part in np.unique(fold):
        out = fold == part
        a, b = x[~out], y[~out].astype(np.float64)
        share = np.clip(b.mean(), 1 / (len(b) + 2), 1 - 1 / (len(b) + 2))
        coefficients = np.zeros(x.shape[1])
        coefficients[0] = np.log(share / (1 - share))
        penalty = np.ones(x.shape[1])
        penalty[0] = 0.0
        for _ in range(ROUNDS):
            chance = 1 / (1 + np.exp(-np.clip(a @ coefficients, -30, 30)))
            weight = np.maximum(chance * (1 - chance), 1e-4)
            slope = a.T @ (b - chance) - penalty * coefficients
            curve = (a * weight[:, None]).T @ a + np.diag(penalty) + 1e-8 * np.eye(len(penalty))
            coefficients = coefficients + np.linalg.solve(curve, slope)
        predicted[out] = 1 / (1 + np.exp(-np.clip(x[out] @ coefficients, -30, 30)))
    return predicted
