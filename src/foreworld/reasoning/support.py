"""Does a question lie within what the model has seen? Outside, an answer is marked as not supported.

There are three grounds: an action beyond the range of the training data; a horizon beyond the calibrated one; a history
whose belief lies farther from the beliefs of training than held-out histories do.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Scaling

REFERENCES = 512  # Training beliefs kept a member.
RARE = 0.995  # Share of held-out histories that count as familiar.


@dataclass(frozen=True)
class Support:
    """Training beliefs of each member, and how far held-out beliefs are from them.

    Attributes:
        references: beliefs of the training episodes.
        threshold: mean distance over members to the nearest reference that 99.5% of held-out histories stay below.
        horizon: steps that were calibrated.
    """

    references: Float[Tensor, "member reference latent"]
    threshold: float
    horizon: int

    def distance(self, beliefs: Float[Tensor, "member episode latent"]) -> Float[Tensor, "member episode"]:
        """Distance to the nearest training belief, by member."""
        return torch.cdist(beliefs, self.references).min(-1).values

    def check(
        self, beliefs: Float[Tensor, "member episode latent"], histories: Episodes, plan: Plan, scaling: Scaling
    ) -> Bool[np.ndarray, "episode step"]:
        """Which steps are supported; after the first that is not, none is."""
        familiar = (self.distance(beliefs).mean(0) <= self.threshold).numpy()
        inside = actions_in_range(histories, plan, scaling)
        steps = np.arange(plan.horizon) < self.horizon
        return np.logical_and.accumulate(familiar[:, None] & inside & steps, axis=1)


def actions_in_range(histories: Episodes, plan: Plan, scaling: Scaling) -> Bool[np.ndarray, "episode step"]:
    """Whether every action of a step lies in the range of the training data, with 5% of the range to spare."""
    scales = [scaling.variables[variable.name] for variable in histories.schema.actions]
    low, high = np.array([s.low for s in scales]), np.array([s.high for s in scales])
    slack = 0.05 * (high - low) + 1e-9 * np.maximum(np.abs(low), np.abs(high))
    outside = (plan.actions < low - slack) | (plan.actions > high + slack)
    return np.all(~outside, axis=-1)
