"""Forecasts of every member apart: how wide each is, and how far they are from each other.

The width is what chance decides, the disagreement what the data did not settle (Lakshminarayanan, Pritzel and Blundell,
NeurIPS 2017). Both in scaled units, before calibration.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.reasoning.forecast import sample
from foreworld.world.network import WorldNetwork

DRAWS = 20  # Of the noise, a member; the same in fitting and in use, as the sampling error counts as disagreement.


@dataclass(frozen=True)
class Spread:
    """Mean and deviation of each member's futures; of a category, its probability.

    Attributes:
        mean, width: along the last axis one channel a continuous target, one a category of the others.
    """

    mean: Float[np.ndarray, "member episode step channel"]
    width: Float[np.ndarray, "member episode step channel"]

    def variance(self) -> Float[np.ndarray, "episode step channel"]:
        """Between the members; zero where there is only one."""
        members = len(self.mean)
        return self.mean.var(0, ddof=1) if members > 1 else np.zeros(self.mean.shape[1:])


def spread_of(
    network: WorldNetwork,
    beliefs: Float[Tensor, "member episode latent"],
    histories: Episodes,
    plan: Plan,
    encoding: Encoding,
) -> Spread:
    """Ask every member."""
    drawn = sample(network, beliefs, histories, plan, encoding, draws=DRAWS, seed=0)
    values = channels(np.clip(drawn, *_bounds(encoding)), encoding)
    return Spread(values.mean(1, dtype=np.float64), values.std(1, dtype=np.float64))


def _bounds(encoding: Encoding) -> tuple[Float[np.ndarray, " target"], Float[np.ndarray, " target"]]:
    """What is possible, in scaled units: a forecast that presses against a bound is narrower for it."""
    targets = encoding.schema.targets
    centre, scale = encoding.scaling.of(targets)
    low = np.array([-np.inf if target.low is None else target.low for target in targets])
    high = np.array([np.inf if target.high is None else target.high for target in targets])
    return (low - centre) / scale, (high - centre) / scale


def channels(
    values: Float[np.ndarray, "*case target"], encoding: Encoding
) -> Float[np.ndarray, "*case channel"]:
    """Continuous targets as they are, others as an indicator of each category; NaN stays NaN."""
    parts = []
    for index, variable in enumerate(encoding.schema.targets):
        value = values[..., index, None]
        if variable.kind != "continuous":
            codes = np.arange(2 if variable.kind == "binary" else variable.width)
            value = np.where(np.isfinite(value), value == codes, np.nan)
        parts.append(value)
    return np.concatenate(parts, axis=-1)


def channel_targets(encoding: Encoding) -> list[int]:
    """The target of each channel, by position."""
    widths = {"continuous": 1, "binary": 2}
    return [
        index
        for index, variable in enumerate(encoding.schema.targets)
        for _ in range(widths.get(variable.kind, variable.width))
    ]


def honest_share(
    spread: Spread, left_out: Float[np.ndarray, "member case"] | np.ndarray
) -> Float[np.ndarray, "step channel"]:
    """Disagreement about new episodes as a multiple of that about these, most of which most members were trained on.

    Measured on the questions that two members left out: half the squared difference of these two is an honest variance.

    Args:
        spread: of held-out questions.
        left_out: whether a member was not trained on the episode of a question.
    """
    twice = np.flatnonzero(left_out.sum(0) == 2)
    shape = spread.mean.shape[2:]
    if not twice.size:
        return np.ones(shape)
    pair = np.argsort(~left_out[:, twice], axis=0, kind="stable")[:2]
    first, second = (spread.mean[member, twice] for member in pair)
    honest = np.square(first - second).mean(0) / 2
    every = spread.variance()[twice].mean(0)
    return np.clip(np.divide(honest, every, out=np.ones(shape), where=every > 0), 1.0, 10.0)
