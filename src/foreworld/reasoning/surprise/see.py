"""Trajectories held against what was expected of them: how far off is every row, and the belief that it led to?

The belief is judged by how far it is from the predicted ones, in units of their spread and of the usual errors
(Mahalanobis distance).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.scaling import Encoding
from foreworld.data.tabulate import Table, tabulate
from foreworld.reasoning.surprise.expect import Expectation, Expected, encode_units, inputs
from foreworld.reasoning.surprise.look import Looks, leaving, look
from foreworld.world.network import WorldNetwork

ROWS = 10_000  # Steps that are held against expectations at a time.
SHRINK = 0.02  # Of the correlation of belief errors, towards none.
LEAST_SPREAD = 1e-3  # Of predicted beliefs, which are of order one.


@dataclass(frozen=True)
class Distance:
    """How far beliefs are from the predicted ones.

    Attributes:
        offset: usual error, in units of the predicted spread.
        whiten: what makes the errors in these units uncorrelated and of variance one.
    """

    offset: Float[np.ndarray, "member latent"]
    whiten: Float[np.ndarray, "member latent latent"]

    @classmethod
    def fit(cls, looks: Looks) -> "Distance":
        """Measure the errors of one member."""
        error = _belief_error(looks)[0].astype(np.float64)
        covariance = np.cov(error, rowvar=False).reshape(error.shape[1], -1)
        spread = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
        correlation = (1 - SHRINK) * covariance / np.outer(spread, spread) + SHRINK * np.eye(len(spread))
        whiten = np.linalg.inv(np.linalg.cholesky(correlation)).T / spread[:, None]
        return cls(error.mean(0)[None].astype(np.float32), whiten[None].astype(np.float32))

    def __call__(self, looks: Looks) -> Float[np.ndarray, "member step"]:
        """Root mean square over dimensions: one, for errors like those it was measured on."""
        white = (_belief_error(looks) - self.offset[:, None]) @ self.whiten
        return np.sqrt(np.square(white).mean(-1))


def _belief_error(looks: Looks) -> Float[np.ndarray, "member step latent"]:
    return ((looks.after - looks.mean) / looks.spread.clamp(min=LEAST_SPREAD)).numpy()


@dataclass(frozen=True)
class Seen:
    """Trajectories, what was expected of them, and how far from it they were.

    Attributes:
        table: the trajectories.
        looks: at every step.
        expected: of every unit.
        units: what came.
        scores: before calibration: the observed channels in their order, then the belief.
    """

    table: Table
    looks: Looks
    expected: Expected
    units: Float[np.ndarray, "step unit"]
    scores: Float[np.ndarray, "member step stream"]


def see(
    network: WorldNetwork,
    encoding: Encoding,
    data: Episodes,
    expectation: Expectation,
    distance: Distance,
) -> Seen:
    """Look at trajectories, and say how far each row is from what was expected of it."""
    table = tabulate(data, encoding)
    looks = look(network, encoding, table)
    steps = looks.mean.shape[1]
    parts = [expectation(inputs(looks, table, slice(at, at + ROWS))) for at in range(0, max(steps, 1), ROWS)]
    expected = Expected(*(np.concatenate([getattr(part, name) for part in parts], 1) for name in ("mean", "width")))
    units = seen_units(data, encoding, table)
    scores = expected.scores(units, distance(looks), encoding.schema.observations)
    return Seen(table, looks, expected, units, scores)


def seen_units(data: Episodes, encoding: Encoding, table: Table) -> Float[np.ndarray, "step unit"]:
    """What every step led to."""
    observations = np.concatenate([episode.observations for episode in data])
    return encode_units(observations[leaving(table) + 1], encoding)


def by_episode(
    scores: Float[np.ndarray, "member step stream"], table: Table
) -> list[Float[np.ndarray, "member _ stream"]]:
    """The steps of each trajectory."""
    return np.split(scores, np.cumsum(table.lengths - 1)[:-1], axis=1)
