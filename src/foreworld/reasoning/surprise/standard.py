"""From how far off each row is to standard normal scores: what held-out trajectories make of the same.

There is one stream of scores for each observed channel, one for the belief, and one for all channels together, which
finds what disturbs many of them a little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict

from foreworld.data.schema import Variable
from foreworld.reasoning.surprise.habits import Habits
from foreworld.reasoning.surprise.normal_scores import NormalScores

CLIP = 4.0  # A single channel must not stand for all.

Streams = Float[np.ndarray, "episode step stream"]


@dataclass(frozen=True)
class Judged:
    """Standard normal scores of some trajectories.

    Attributes:
        scores: the channels, the belief, and all channels together; NaN where nothing was seen.
        centre, width: what the score of a channel was expected to be before it was compared with its past.
    """

    scores: Streams
    centre: Float[np.ndarray, "episode step channel"]
    width: Float[np.ndarray, "episode step channel"]


class Standard(BaseModel):
    """What was measured on held-out trajectories.

    Attributes:
        ranks: of the scores of single members, by stream: the channels, then the belief.
        narrow: deviation of the mean of the members' normal scores, as a share of that of the mean of two.
        pooled: ranks of the mean of two.
        habits, final: of trajectories, and the ranks of what is left of the scores.
        together, joint_habits, joint: the same for all channels together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ranks: list[NormalScores]
    narrow: list[float]
    pooled: list[NormalScores]
    habits: Habits
    final: list[NormalScores]
    together: NormalScores
    joint_habits: Habits
    joint: NormalScores

    @classmethod
    def fit(cls, found: Sequence[Sequence[Float[np.ndarray, "_ stream"]]], members: int) -> tuple["Standard", Streams]:
        """Measure, and give the standard scores of the trajectories it was measured on.

        Args:
            found: the scores of each trajectory, from a member that left it out, or from two of them.
            members: of the ensemble that is to be judged with.
        """
        every = np.concatenate([scores for both in found for scores in both])
        ranks = [NormalScores.fit(stream) for stream in every.T]
        normal = [[rank(scores, ranks) for scores in both] for both in found]
        alone = pad([both[0] for both in normal])
        narrow, pooled = pooling(normal, members)
        habits = Habits.fit(alone)
        fresh = _fresh(alone, habits)
        final = _ranks(fresh)
        scores = rank(fresh, final)
        crowd = _together(scores)
        together = NormalScores.fit(crowd.reshape(-1), light=True)
        common = together.normal(crowd)[..., None]
        joint_habits = Habits.fit(common)
        left = _fresh(common, joint_habits)
        joint = _ranks(left)[0]
        standard = cls(
            ranks=ranks,
            narrow=narrow,
            pooled=pooled,
            habits=habits,
            final=final,
            together=together,
            joint_habits=joint_habits,
            joint=joint,
        )
        return standard, np.concatenate([scores, joint.normal(left)], axis=-1)

    def judge(self, scores: Sequence[Float[np.ndarray, "member _ stream"]]) -> Judged:
        """Standard normal scores of an ensemble, whose mean is narrower than any of its members."""
        mean = [rank(part, self.ranks).mean(0) / np.array(self.narrow) for part in scores]
        normal = rank(pad(mean), self.pooled)
        centre, width = self.habits.usual(normal)
        own = rank((normal - centre) / width, self.final)
        common = self.together.normal(_together(own))[..., None]
        joint = self.joint.normal(_fresh(common, self.joint_habits))
        return Judged(np.concatenate([own, joint], axis=-1), centre[..., :-1], width[..., :-1])

    def paired(self, twice: Sequence[Sequence[Float[np.ndarray, "_ scored"]]]) -> Streams:
        """Standard normal scores of trajectories that two members left out, from the mean of both."""
        two = self.model_copy(update={"narrow": [1.0] * len(self.narrow)})
        return two.judge([np.stack(both) for both in twice]).scores

    def score(
        self, index: int, normal: float, centre: Float[np.ndarray, " step"], width: Float[np.ndarray, " step"]
    ) -> Float[np.ndarray, " step"]:
        """The score of every member at which a channel would have this standard score: the inverse of `judge`."""
        pooled = centre + width * self.final[index].value(np.array(normal))
        return self.ranks[index].value(self.narrow[index] * self.pooled[index].value(pooled))


def sides(variables: Sequence[Variable]) -> Bool[np.ndarray, " stream"]:
    """Which streams may be too low as well as too high: those of numbers."""
    return np.array([*(variable.kind == "continuous" for variable in variables), False, False])


def rank(scores: Float[np.ndarray, "*row stream"], ranks: Sequence[NormalScores]) -> Float[np.ndarray, "*row stream"]:
    """Normal scores, stream by stream."""
    return np.stack([one.normal(scores[..., index]) for index, one in enumerate(ranks)], axis=-1)


def pooling(
    normal: Sequence[Sequence[Float[np.ndarray, "_ stream"]]], members: int
) -> tuple[list[float], list[NormalScores]]:
    """How the mean of so many members' normal scores is distributed, from the episodes that two of them left out.

    The variance of a mean of M is (1 + (M - 1) r) / M, where r is the correlation of two. The shape is taken from the
    mean of two: its tails are lighter than those of one, whose own slips do not count for so much. Where no two left
    out the same, members are taken for equal.
    """
    twice = [parts for parts in normal if len(parts) == 2]
    if not twice or members == 1:
        every = np.concatenate([parts[0] for parts in normal])
        return [1.0] * every.shape[1], _ranks(every)
    first, second = (np.concatenate([parts[place] for parts in twice]) for place in (0, 1))
    apart = np.nan_to_num(np.square(first - second), nan=0.0)
    correlation = np.clip(1 - apart.sum(0) / np.maximum(np.isfinite(first).sum(0), 1) / 2, 0, 1)
    narrow = np.sqrt((1 + (members - 1) * correlation) / members / ((1 + correlation) / 2))
    return narrow.tolist(), _ranks((first + second) / 2)


def pad(streams: Sequence[Float[np.ndarray, "_ stream"]]) -> Streams:
    """Streams of different lengths in one array, NaN where there is nothing."""
    out = np.full((len(streams), max(map(len, streams)), streams[0].shape[1]), np.nan)
    for index, stream in enumerate(streams):
        out[index, : len(stream)] = stream
    return out


def _ranks(scores: Float[np.ndarray, "*row stream"]) -> list[NormalScores]:
    return [NormalScores.fit(scores[..., index].reshape(-1), light=True) for index in range(scores.shape[-1])]


def _fresh(normal: Streams, habits: Habits) -> Streams:
    """What the past of a trajectory does not account for."""
    centre, width = habits.usual(normal)
    return (normal - centre) / width


def _together(scores: Streams) -> Float[np.ndarray, "episode step"]:
    """The sum of squares over the channels that were seen, as a normal score (Wilson and Hilferty, PNAS 1931)."""
    channels = np.clip(scores[..., :-1], -CLIP, CLIP)
    seen = np.isfinite(channels).sum(-1)
    count = np.maximum(seen, 1)
    total = np.square(np.nan_to_num(channels)).sum(-1)
    spread = 2 / (9 * count)
    return np.where(seen > 0, (np.cbrt(total / count) - 1 + spread) / np.sqrt(spread), np.nan)
