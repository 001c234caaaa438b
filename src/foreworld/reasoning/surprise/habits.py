"""What a trajectory is used to: errors that follow one another, and a mean and a spread of its own.

A model that has seen many patients errs in its own way about each of them, and in the next row as in the last. Neither
is a surprise. Normal scores are therefore compared with the past of their trajectory: the correlation of neighbours is
taken out, and then a mean and a variance, both drawn anew for each trajectory (a random effect, Laird and Ware,
Biometrics 1982), whose posterior every row moves a little. How far trajectories differ is measured on held-out ones.
"""

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict

CLIP = 3.0  # A fault must not pass for a habit.
FEWEST = 20  # Rows of a trajectory whose mean and variance say anything.


class Habits(BaseModel):
    """How the scores of a stream keep together within a trajectory, by stream.

    Attributes:
        follow: correlation of neighbours.
        differ: variance of the trajectories' means, of which and of the variance within the sum is one.
        strength: rows that the usual variance counts for, against the trajectory's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    follow: list[float]
    differ: list[float]
    strength: list[float]

    @classmethod
    def fit(cls, scores: Float[np.ndarray, "episode step stream"]) -> "Habits":
        """By moments, from normal scores of held-out trajectories; NaN where there is nothing."""
        clipped = np.clip(scores, -CLIP, CLIP)
        both = np.isfinite(clipped[:, 1:]) & np.isfinite(clipped[:, :-1])
        rows = np.isfinite(clipped).sum(1)
        long = rows >= FEWEST
        means = np.nan_to_num(clipped).sum(1) / np.maximum(rows, 1)
        differ = _between(means, long) - _mean(1 / np.maximum(rows, 1), long)
        differ = np.clip(differ, 0, 0.5)
        within = np.nan_to_num(clipped - means[:, None])
        product = (within[:, 1:] * within[:, :-1] * both).sum((0, 1))
        power = (np.square(within[:, 1:]) * both).sum((0, 1))
        follow = np.clip(product / np.maximum(power, 1e-9), 0, 0.95)
        draft = cls(follow=follow.tolist(), differ=differ.tolist(), strength=[1e9] * len(differ))
        centre, width = draft.usual(scores)
        spread = np.square(np.clip((scores - centre) / width, -CLIP, CLIP))
        own = np.nan_to_num(spread).sum(1) / np.maximum(rows, 1)
        own = own / np.maximum(_mean(own, long), 1e-9)
        apart = _between(own, long) - _mean(2 / np.maximum(rows, 1), long)
        return draft.model_copy(update={"strength": (2 / np.clip(apart, 1e-3, 1)).tolist()})

    def usual(
        self, scores: Float[np.ndarray, "episode step stream"]
    ) -> tuple[Float[np.ndarray, "episode step stream"], Float[np.ndarray, "episode step stream"]]:
        """Mean and deviation of each score given the ones before it in its trajectory."""
        follow, differ, strength = (np.array(part) for part in (self.follow, self.differ, self.strength))
        seen = np.isfinite(scores)
        known = np.nan_to_num(np.clip(scores, -CLIP, CLIP))
        last = np.concatenate([np.zeros_like(known[:, :1]), known[:, :-1]], axis=1)
        root = np.sqrt(1 - follow**2)
        fresh = np.clip((known - follow * last) / root, -CLIP, CLIP) * seen
        # Neighbours that follow one another say less about the mean; what is left of it is scaled as they are.
        apart = np.minimum(differ * (1 - follow) / (1 + follow) / np.maximum(1 - differ, 0.5), 0.5)
        count = _before(seen.astype(float))
        posterior = apart / (1 - apart + apart * count)
        mean = posterior * _before(fresh)
        certain = 1 - apart + (1 - apart) * posterior
        error = np.clip((fresh - mean) / np.sqrt(certain), -CLIP, CLIP) * seen
        variance = (strength + _before(np.square(error))) / (strength + count)
        return follow * last + root * mean, root * np.sqrt(certain * variance)


def _before(values: Float[np.ndarray, "episode step stream"]) -> Float[np.ndarray, "episode step stream"]:
    """Sums over the steps before each."""
    return np.cumsum(values, axis=1) - values


def _mean(values: np.ndarray, chosen: np.ndarray) -> Float[np.ndarray, " stream"]:
    return np.where(chosen, values, 0).sum(0) / np.maximum(chosen.sum(0), 1)


def _between(values: np.ndarray, chosen: np.ndarray) -> Float[np.ndarray, " stream"]:
    """Variance over trajectories."""
    return _mean(np.square(values - _mean(values, chosen)), chosen)
