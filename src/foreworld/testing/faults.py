"""Faults to be found: sensors that err, and a world that leaps, put into recorded trajectories from a row on."""

from dataclasses import replace

import numpy as np

from foreworld.data.episodes import Episode

KINDS = ("spike", "bias", "stuck", "drift")


def sensor_fault(episode: Episode, kind: str, *, channel: int, row: int, size: float = 0.0, over: int = 1) -> Episode:
    """The trajectory with a fault of one sensor.

    Args:
        episode: what is to be spoilt; it is not changed.
        kind: `spike` (this row alone), `bias` (from this row on), `stuck` (the value of this row stays) or `drift` (it
            grows evenly to its size).
        channel: position of the sensor among the observations.
        row: the first row that is wrong.
        size: of the fault in the sensor's units; of no meaning for one that is stuck.
        over: rows that a drift takes to grow.
    """
    values = episode.observations.astype(float)
    later = np.arange(len(values)) - row
    if kind == "stuck":
        values[row:, channel] = values[row, channel]
    else:
        course = {"spike": later == 0, "bias": later >= 0, "drift": np.clip((later + 1) / over, 0, 1)}[kind]
        values[:, channel] += size * course
    return replace(episode, observations=values)


def leap(episode: Episode, other: Episode, row: int) -> Episode:
    """The trajectory that is somewhere else from this row on: with the observations of another one from there."""
    values = episode.observations.copy()
    count = min(len(values), len(other.observations))
    values[row:count] = other.observations[row:count]
    return replace(episode, observations=values).until(count - 1)
