"""Levels: the coordinates of a belief that stand for the continuous observations themselves, in scaled units.

A forecast of the next row starts from the row that is seen: where there is little noise, the change is a hundredth of
the level, and a network that has to write the level anew makes a larger error than that. So a belief begins with the
levels of the observations, those of the targets first. The encoder corrects what was observed, the predictor adds
changes in units of their usual size, and the readout says how far the observation scatters about its level.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.data.layout import reading_order
from foreworld.data.scaling import INCREMENT_LAGS, Encoding


@dataclass(frozen=True)
class Levels:
    """Which observations have a level, and how it usually moves; all lists are by level.

    Attributes:
        columns: of the value among the inputs of the encoder.
        places: of the variable among the observations, targets first (`reading_order`).
        kept: correlation of two rows one median step apart.
        change: deviation of a row about its forecast from the row before, sqrt(1 - kept^2), of that of all rows.
    """

    columns: list[int]
    places: list[int]
    kept: list[float]
    change: list[float]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.places)

    @classmethod
    def of(cls, encoding: Encoding) -> "Levels":
        """The levels of a schema: its continuous observations, targets first."""
        observations = encoding.schema.observations
        starts = np.cumsum([0] + [variable.width for variable in observations])
        found = [
            (int(starts[index]), place, _kept(encoding, observations[index].name))
            for place, index in enumerate(reading_order(encoding.schema))
            if observations[index].kind == "continuous"
        ]
        return cls(
            columns=[column for column, _, _ in found],
            places=[place for _, place, _ in found],
            kept=[kept for _, _, kept in found],
            change=[float(np.sqrt(1 - kept**2)) for _, _, kept in found],
        )


def _kept(encoding: Encoding, name: str) -> float:
    """Of a stationary series, half the mean square of the change is the variance times (1 - correlation)."""
    scale = encoding.scaling.variables[name]
    step = scale.increments[0] / scale.scale if scale.increments else 1.0
    return float(np.clip(1 - step**2 / 2, 0.01, 1 - 1e-6))


def step_weights(encoding: Encoding, horizon: int) -> Float[np.ndarray, "step observation"]:
    """What the error of an observation counts at each step: one over its usual change in so many rows, mean one.

    Near steps can be told far better than distant ones. Counted alike, the noise of the distant ones drowns them.
    """
    steps = np.log(np.arange(1, horizon + 1))
    weights = []
    for variable in (encoding.schema.observations[index] for index in reading_order(encoding.schema)):
        changes = encoding.scaling.variables[variable.name].increments
        weight = np.exp(-np.interp(steps, np.log(INCREMENT_LAGS), np.log(changes))) if changes else np.ones(horizon)
        weights.append(weight / weight.mean())
    return np.stack(weights, axis=1).astype(np.float32)
