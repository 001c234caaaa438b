"""Forecasts of every member apart: how wide they are, and how far from each other.

The width is what chance decides, the disagreement what the data did not settle (Lakshminarayanan, Pritzel and Blundell,
NeurIPS 2017). Both in scaled units, before calibration; of a category, of the indicator of each label.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.reasoning.forecast import draw, sample
from foreworld.world.build import Network
from foreworld.world.network import WorldNetwork

LEAST = 0.01  # Deviation of a forecast, scaled; a label that no draw had is not ruled out.
DRAWS = 20
"""Of the noise, a member, at most; as many in fitting as in use, since the sampling error counts as disagreement."""


@dataclass(frozen=True)
class Spread:
    """Mean and deviation of each member's futures; one channel a continuous target, one a label of the others.

    Attributes:
        mean, width: of each channel.
        owner: the target of each channel, by position.
    """

    mean: Float[np.ndarray, "member episode step channel"]
    width: Float[np.ndarray, "member episode step channel"]
    owner: tuple[int, ...]

    def disagreement(
        self, share: Float[np.ndarray, "step channel"] | float = 1.0
    ) -> Float[np.ndarray, "episode step target"]:
        """Deviation between the members by target, `share` times the variance; zero where there is only one."""
        return self._by_target(self._between() * share)

    def honest_share(self, left_out: Bool[np.ndarray, "member episode"]) -> Float[np.ndarray, "step channel"]:
        """Variance between members on new episodes as a multiple of that on these, which most of them trained on.

        Measured on the questions that two members left out: half the squared difference of these two is honest.

        Args:
            left_out: whether a member was not trained on the episode of a question.
        """
        twice = np.flatnonzero(left_out.sum(0) == 2)
        shape = self.mean.shape[2:]
        if not twice.size:
            return np.ones(shape)
        first, second = np.argsort(~left_out[:, twice], axis=0, kind="stable")[:2]
        honest = np.square(self.mean[first, twice] - self.mean[second, twice]).mean(0) / 2
        every = self._between()[twice].mean(0)
        return np.clip(np.divide(honest, every, out=np.ones(shape), where=every > 0), 1.0, 10.0)

    def missed(
        self, truth: Float[np.ndarray, "episode step channel"], by: Int[np.ndarray, " episode"]
    ) -> Float[np.ndarray, " episode"]:
        """Mean absolute error in deviations of the forecast, `by` one member each."""
        own = by, np.arange(len(by))
        off = np.abs(truth - self.mean[own]) / np.maximum(self.width[own], LEAST)
        known = np.isfinite(off)
        return np.where(known, off, 0).sum((1, 2)) / np.maximum(known.sum((1, 2)), 1)

    def usual_error(self) -> Float[np.ndarray, "step target"]:
        """Mean absolute deviation that forecasts have of themselves, were they normal: median over the questions."""
        width = np.median(self.width.mean(0), axis=0)
        return np.sqrt(2 / np.pi) * self._by_target(np.square(width)[None])[0]

    def _between(self) -> Float[np.ndarray, "episode step channel"]:
        return self.mean.var(0, ddof=1) if len(self.mean) > 1 else np.zeros(self.mean.shape[1:])

    def _by_target(
        self, squares: Float[np.ndarray, "episode step channel"]
    ) -> Float[np.ndarray, "episode step target"]:
        owner = np.array(self.owner)
        return np.sqrt(np.stack([squares[..., owner == index].mean(-1) for index in range(owner.max() + 1)], axis=-1))


def spread_of(
    network: Network,
    beliefs: Float[Tensor, "member episode latent"],
    histories: Episodes,
    plan: Plan,
    encoding: Encoding,
    drawn: Float[np.ndarray, "member draw episode step target"] | None = None,
) -> Spread:
    """Ask every member. Futures are cut at physical bounds: a forecast that presses against one is narrower for it.

    Args:
        network, beliefs, histories, plan, encoding: the questions.
        drawn: their futures, scaled, if there are some; of those as many are taken as would be drawn.
    """
    draws = min(DRAWS, network.config.draws)
    if drawn is not None:
        drawn = drawn[:, :draws]
    elif isinstance(network, WorldNetwork):
        drawn = sample(network, beliefs, histories, plan, encoding, draws=draws, seed=0)
    else:
        drawn = draw(network, histories, plan, encoding, draws=draws, seed=0)
    targets = encoding.schema.targets
    centre, scale = encoding.scaling.of(targets)
    low, high = np.array([target.bounds for target in targets]).T
    values, owner = channels(np.clip(drawn, (low - centre) / scale, (high - centre) / scale), encoding)
    return Spread(values.mean(1, dtype=np.float64), values.std(1, dtype=np.float64), owner)


def channels(
    values: Float[np.ndarray, "*case target"], encoding: Encoding
) -> tuple[Float[np.ndarray, "*case channel"], tuple[int, ...]]:
    """Scaled targets: continuous ones as they are, others as an indicator of each label; and whose each channel is."""
    parts, owner = [], []
    for index, variable in enumerate(encoding.schema.targets):
        value = values[..., index, None]
        if variable.kind != "continuous":
            codes = np.arange(2 if variable.kind == "binary" else variable.width)
            value = np.where(np.isfinite(value), value == codes, np.nan)
        parts.append(value)
        owner += [index] * value.shape[-1]
    return np.concatenate(parts, axis=-1), tuple(owner)
