"""Questions about the future: a `Plan` says what is to be done after the last observation, a `Forecaster` answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64

from foreworld.data.episodes import Episode, Episodes


@dataclass(frozen=True)
class Plan:
    """What is done, and what is known, in the H steps after each of N histories.

    Attributes:
        time: of each future step, in the units of `Episode.time`.
        actions: `actions[:, 0]` leaves the last observation and leads to `time[:, 0]`; NaN is an action not known.
        known_future: values of the known-future variables at `time`.
    """

    time: Float64[np.ndarray, "episode step"]
    actions: Float[np.ndarray, "episode step action"]
    known_future: Float[np.ndarray, "episode step known"]

    @property
    def horizon(self) -> int:
        """H, the number of future steps."""
        return self.time.shape[1]

    def take(self, places: slice | Sequence[int]) -> "Plan":
        """The plans at these positions."""
        return Plan(self.time[places], self.actions[places], self.known_future[places])


@dataclass(frozen=True)
class Cases:
    """Questions with their true answers, cut out of recorded episodes or branched from a simulator.

    Attributes:
        histories: what was known at each origin.
        plan: what was done afterwards.
        truth: the targets at `plan.time`; NaN where they were not observed.
        group: episode or instance that each case was cut from, for intervals that respect the dependence within one.
    """

    histories: Episodes
    plan: Plan
    truth: Float[np.ndarray, "episode step target"]
    group: tuple[str | int, ...]


@runtime_checkable
class Forecaster(Protocol):
    """Anything that answers a plan with samples of the targets: the world model, and every baseline."""

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """Sampled futures of the targets in native units."""
        ...


def cut(data: Episodes, origins: Sequence[tuple[int, int]], horizon: int) -> Cases:
    """Cut cases out of recorded episodes.

    Args:
        data: the episodes.
        origins: (episode, row) pairs: positions in `data`, and the row of the last observation known.
        horizon: steps to look ahead; every origin needs that many rows after it.
    """
    targets = list(data.schema.target_indices)
    histories, time, actions, known, truth = [], [], [], [], []
    for index, row in origins:
        episode: Episode = data[index]
        if row + horizon > episode.steps:
            raise ValueError(f"episode '{episode.id}' has {episode.steps - row} rows after row {row}, not {horizon}")
        histories.append(episode.until(row))
        time.append(episode.time[row + 1 : row + 1 + horizon])
        actions.append(episode.actions[row : row + horizon])
        known.append(episode.known_future[row + 1 : row + 1 + horizon])
        truth.append(episode.observations[row + 1 : row + 1 + horizon, targets])
    return Cases(
        histories=Episodes(data.schema, tuple(histories), data.backend),
        plan=Plan(np.stack(time), np.stack(actions), np.stack(known)),
        truth=np.stack(truth),
        group=tuple(data[index].id for index, _ in origins),
    )


def lengthened(episode: Episode, rows: int, step: float) -> Episode:
    """The episode with rows after its last of which nothing is known, so that its last rows can be forecast from."""

    def unknown(values: np.ndarray) -> np.ndarray:
        return np.full((rows, values.shape[1]), np.nan)

    moves = np.concatenate([episode.pending[None], unknown(episode.actions)[1:]])
    return replace(
        episode,
        time=np.concatenate([episode.time, episode.time[-1] + step * np.arange(1, rows + 1)]),
        observations=np.concatenate([episode.observations, unknown(episode.observations)]),
        known_future=np.concatenate([episode.known_future, unknown(episode.known_future)]),
        actions=np.concatenate([episode.actions, moves]),
    )
