"""Everything that is measured about a question before it is judged; the same in fitting and in use."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.reasoning.forecast import encode_now
from foreworld.reasoning.support.familiar import Familiar
from foreworld.reasoning.support.hindsight import Hindsight, look_back
from foreworld.reasoning.support.overlap import Overlap
from foreworld.reasoning.support.spread import Spread, channel_targets, spread_of
from foreworld.world.network import WorldNetwork

SLACK = 0.25  # Standard deviations of an action: between two doses that were given lies no new world.


@dataclass(frozen=True)
class Evidence:
    """How strange questions are, ground by ground; large is strange.

    Attributes:
        grounds: in the order of GROUNDS, each step with the ones before it: the largest so far.
        disagreement: of the members, as a multiple of what is usual, by target.
        width: of the forecast, as a multiple of what is usual, by target.
        missed: squared misses in hindsight, as a multiple of what is usual; the last channel is the belief.
        near_history, near_actions: episodes that come nearest, by position.
    """

    grounds: Float[np.ndarray, "ground episode step"]
    disagreement: Float[np.ndarray, "episode step target"]
    width: Float[np.ndarray, "episode step target"]
    missed: Float[np.ndarray, "episode lag channel"]
    near_history: Int[np.ndarray, "episode neighbour"]
    near_actions: Int[np.ndarray, "episode step neighbour"]

    def features(self, usual: Float[np.ndarray, " ground"]) -> Float[np.ndarray, "episode step target feature"]:
        """Logarithms for the error model: width and disagreement of the target, and every other ground."""
        shared = np.log(np.maximum(self.grounds, 1e-6) / usual[:, None, None])[[0, 1, 2, 4]]
        shape = self.width.shape
        parts = [np.broadcast_to(ground[..., None], shape) for ground in shared]
        own = [np.log(np.maximum(part, 1e-3)) for part in (self.width, self.disagreement)]
        return np.stack([*own, *parts], axis=-1)


@dataclass(frozen=True)
class Measures:
    """What training and held-out questions look like.

    Attributes:
        familiar, hindsight, overlap: see there.
        between, within: usual deviation between members and usual width of a forecast, by step and channel.
    """

    familiar: Familiar
    hindsight: Hindsight
    overlap: Overlap
    between: Float[np.ndarray, "step channel"]
    within: Float[np.ndarray, "step channel"]

    def of(self, network: WorldNetwork, encoding: Encoding, histories: Episodes, plan: Plan) -> Evidence:
        """Measure new questions, by all members."""
        beliefs = encode_now(network, histories, encoding)
        distance, norm, episodes = self.familiar.measure(beliefs)
        hindsight, missed = self.hindsight.measure(look_back(network, histories, encoding))
        overlap, near_actions = self.overlap.measure(histories, plan, encoding)
        spread = spread_of(network, beliefs, histories, plan, encoding)
        return self.join(
            encoding,
            history=distance.mean(0).numpy(),
            norm=norm.mean(0).numpy(),
            hindsight=hindsight.numpy(),
            missed=missed.numpy(),
            overlap=overlap.numpy(),
            between=np.sqrt(spread.variance()),
            within=spread.width.mean(0),
            near_history=episodes.movedim(0, 1).flatten(1).numpy(),
            near_actions=near_actions.numpy(),
        )

    def join(
        self,
        encoding: Encoding,
        *,
        history: Float[np.ndarray, " episode"],
        norm: Float[np.ndarray, " episode"],
        hindsight: Float[np.ndarray, " episode"],
        missed: Float[np.ndarray, "episode lag channel"],
        overlap: Float[np.ndarray, "episode step"],
        between: Float[np.ndarray, "episode step channel"],
        within: Float[np.ndarray, "episode step channel"],
        near_history: Int[np.ndarray, "episode neighbour"],
        near_actions: Int[np.ndarray, "episode step neighbour"],
    ) -> Evidence:
        """Put all grounds in one shape, relative to what is usual where that differs by step and target."""
        steps = overlap.shape[1]
        step = np.minimum(np.arange(steps), len(self.between) - 1)
        disagreement = by_target(between / self.between[step], encoding)
        wide = np.ones((1, steps))
        grounds = [history[:, None] * wide, norm[:, None] * wide, hindsight[:, None] * wide]
        grounds += [disagreement.max(-1), np.maximum(overlap, SLACK)]
        return Evidence(
            grounds=np.maximum.accumulate(np.stack(grounds).astype(np.float64), axis=-1),
            disagreement=disagreement,
            width=by_target(within / self.within[step], encoding),
            missed=missed,
            near_history=near_history,
            near_actions=near_actions,
        )


def by_target(values: Float[np.ndarray, "*case channel"], encoding: Encoding) -> Float[np.ndarray, "*case target"]:
    """Root mean square over the channels of each target."""
    owner = np.array(channel_targets(encoding))
    squares = np.square(values)
    return np.sqrt(np.stack([squares[..., owner == t].mean(-1) for t in range(owner.max() + 1)], axis=-1))


def usual_between(
    spread: Spread, share: Float[np.ndarray, "step channel"]
) -> tuple[Float[np.ndarray, "step channel"], Float[np.ndarray, "step channel"]]:
    """Root mean square disagreement about new questions, and of the width; never zero."""
    between = np.sqrt(spread.variance().mean(0) * share)
    within = np.sqrt(np.square(spread.width).mean((0, 1)))
    return np.maximum(between, 1e-6), np.maximum(within, 1e-6)


