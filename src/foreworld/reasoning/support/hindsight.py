"""How well would the model have foretold the last rows of the very history that it is asked about?

A world that has changed - another sensor, another dynamics - often leaves single beliefs as they always were; what
gives it away is that the latest rows did not come as the rows before them let expect. So the model is asked about its
own history: from a few past rows it looks ahead along what was then done, and its forecast is held against what came.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import cut
from foreworld.data.scaling import Encoding
from foreworld.reasoning.forecast import encode_now
from foreworld.reasoning.support.spread import channels, spread_of
from foreworld.world.build import Network

LOOKS, AHEAD = 3, 6  # Past rows that are looked ahead from, one after the other, and steps of each look.
PRIOR = 6.0  # Rows at their usual size that every history is given: a short one has little to say.
CAP = 10.0  # Deviations: one glitch is not a change.
LEAST = {
    "continuous": 1e-3,
    "binary": 0.2,
    "categorical": 0.2,
}  # Width, scaled or of a probability told from few draws.


@dataclass(frozen=True)
class Hindsight:
    """What is usual on held-out histories.

    Attributes:
        usual: size that 3% of them exceed, to make channels comparable.
    """

    usual: Float[np.ndarray, "statistic channel"]

    @classmethod
    def fit(cls, missed: Float[np.ndarray, "episode statistic channel"]) -> "Hindsight":
        """From held-out histories."""
        return cls(np.maximum(np.quantile(missed, 0.97, axis=0), 1e-6))

    def relative(
        self, missed: Float[np.ndarray, "episode statistic channel"]
    ) -> Float[np.ndarray, "episode statistic channel"]:
        """In multiples of what is usual."""
        return missed / self.usual


def look_back(
    network: Network, encoding: Encoding, histories: Episodes
) -> Float[np.ndarray, "member episode statistic channel"]:
    """How far off the forecasts of each member were, in their own deviations.

    Two statistics of each channel (a continuous target, or a label of another): the mean square, which noise raises,
    and the size of the mean times the square root of its count, which a lasting error raises.
    """
    histories, place = histories.distinct()
    ahead = min(AHEAD, network.config.horizon)
    origins = [
        (index, history.steps - ahead * look)
        for index, history in enumerate(histories)
        for look in range(1, LOOKS + 1)
        if history.steps >= ahead * look
    ]
    owner = channels(np.zeros((1, len(encoding.schema.targets))), encoding)[1]
    squares = sums = counts = np.zeros((network.config.members, len(histories), len(owner)))
    if origins:
        cases = cut(histories, origins, ahead)
        beliefs = encode_now(network, cases.histories, encoding)
        spread = spread_of(network, beliefs, cases.histories, cases.plan, encoding)
        least = np.array([LEAST[encoding.schema.targets[target].kind] for target in owner])
        centre, scale = encoding.scaling.of(encoding.schema.targets)
        came = channels((cases.truth - centre) / scale, encoding)[0]
        off = np.clip((came - spread.mean) / np.maximum(spread.width, least), -CAP, CAP)
        belongs = (np.array([index for index, _ in origins]) == np.arange(len(histories))[:, None]).astype(float)
        parts = (np.square(off), off, np.isfinite(off))
        squares, sums, counts = (belongs @ np.nan_to_num(part).sum(2) for part in parts)
    usual = (squares + PRIOR) / (counts + PRIOR)
    return np.stack([usual, np.abs(sums) / np.sqrt(counts + PRIOR)], axis=2)[:, place]
