"""Abduction and prediction on sampled futures: what the factual path says about the noise, carried to another plan.

Futures are sampled in pairs: the i-th under the factual plan, F_i, and the i-th under the other plan, C_i, have the
same noise and answer to actions as strongly. Given that y did happen,

    y_i = y + (C_i - F_i) + K (y + e_i - F_i),    K = cov(C - F, F) [cov(F) + R]^-1,    e_i ~ N(0, R)

is a sample of what would have happened: the ensemble smoother (van Leeuwen and Evensen, Monthly Weather Review 1996)
for the difference of the two worlds, and by Matheron's rule exact in linear-Gaussian models. With C = F it is y itself;
as R grows it goes over to y + C_i - F_i, in which what was not foreseen is carried over as it is.
"""

import numpy as np
from jaxtyping import Float

RIDGE = 0.1  # R, as a share of the variance of each F.


def carry_over(
    factual: Float[np.ndarray, "sample episode step target"],
    other: Float[np.ndarray, "sample episode step target"],
    happened: Float[np.ndarray, "episode step target"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "sample episode step target"]:
    """Samples of continuous targets under the other plan, given what happened under the factual one.

    Args:
        factual, other: futures under the two plans, in pairs.
        happened: NaN where nothing was observed; such a step is answered for from the others.
        rng: of the errors e.
    """
    count, episodes = factual.shape[:2]
    seen = np.isfinite(happened).reshape(episodes, -1)
    known = np.where(seen, happened.reshape(episodes, -1), 0.0)
    path = np.where(seen, factual.reshape(count, episodes, -1), 0.0).astype(np.float64)
    # Where nothing was observed, the whole of the other world is to be explained, not its difference.
    change = other.reshape(path.shape) - path
    spread = np.maximum(path.std(0), 1e-9)
    noise = np.sqrt(RIDGE) * rng.normal(size=path.shape)
    missed = np.where(seen, (known - path) / spread + noise - noise.mean(0), 0.0)
    carried = np.moveaxis(missed, 0, 1) @ _gain((path - path.mean(0)) / spread, change - change.mean(0))
    return (known + change + np.moveaxis(carried, 1, 0)).reshape(factual.shape)


def _gain(
    path: Float[np.ndarray, "sample episode seen"], change: Float[np.ndarray, "sample episode changed"]
) -> Float[np.ndarray, "episode seen changed"]:
    """Regression of the change on the path, both centred, the path in units of its spread."""
    given, asked = np.moveaxis(path, 0, 1), np.moveaxis(change, 0, 1)
    covariance = given.swapaxes(1, 2) @ given / (len(path) - 1)
    return np.linalg.solve(covariance + RIDGE * np.eye(path.shape[2]), given.swapaxes(1, 2) @ asked / (len(path) - 1))


def same_gumbels(
    factual: Float[np.ndarray, "*question category"],
    other: Float[np.ndarray, "*question category"],
    happened: Float[np.ndarray, "*question"],
    count: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "sample *question"]:
    """Samples of a category under the other plan, given which one came about: the Gumbel-max model.

    A category is the largest of log p + Gumbel noise. The noise is drawn from its posterior given what happened (top
    down: Maddison, Tarlow and Minka, NeurIPS 2014) and used again with the other probabilities. An outcome that became
    no less likely relative to every other one stays as it was (counterfactual stability: Oberst and Sontag, ICML 2019).

    Args:
        factual, other: probabilities under the two plans.
        happened: an index; NaN where nothing was observed, which leaves the probabilities under the other plan.
        count: samples.
        rng: of the noise.
    """
    before, after = np.log(factual), np.log(other)
    free = rng.gumbel(size=(count, *before.shape))
    top = rng.gumbel(size=(count, *happened.shape, 1))
    # The largest is a standard Gumbel, as the probabilities add up to one; the others lie below it.
    below = -np.log(np.exp(-top) + np.exp(-before - free))
    won = np.arange(before.shape[-1]) == np.nan_to_num(happened, nan=0.0)[..., None]
    given = np.where(won, top, below) - before
    noise = np.where(np.isfinite(happened)[..., None], given, free)
    return (after + noise).argmax(-1).astype(np.float64)


def shares(samples: Float[np.ndarray, "sample *question"], categories: int) -> Float[np.ndarray, "*question category"]:
    """Probability of each category, none of them zero: half a sample more of each (Jeffreys 1946)."""
    counts = (samples[..., None] == np.arange(categories)).sum(0) + 0.5
    return counts / counts.sum(-1, keepdims=True)
