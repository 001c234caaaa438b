"""How the cells are used: requests for current that hold for some minutes, as drives, charges and rests do.

A current is positive when it discharges. Requests stay within the cell's data sheet, except for charging at 1C.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

CAPACITY = 5.0  # A h, of a new cell
CHARGE, DISCHARGE = (0.5, 5.0), (0.5, 7.5)  # A
MINUTES = (3.0, 15.0)  # of one request
RESTS = 0.15  # share of the requests
STEP = 0.5  # min
LOW, HIGH, WARM = 3.2, 4.1, 38.0  # V, V, degC: where the confounded policy gives way
GENTLE = 1.25  # A


def schedule(steps: int, rng: np.random.Generator) -> Float[np.ndarray, " step"]:
    """Requests (A) that never look at the cell; a longer plan from an equal generator begins with the shorter one.

    What has been planned so far makes the opposite likelier, so that a cell is neither empty nor full for long.
    """
    plan, row, planned = np.zeros(steps), 0, 0.0
    while row < steps:
        length = int(rng.integers(int(MINUTES[0] / STEP), int(MINUTES[1] / STEP), endpoint=True))
        charges = rng.random() < np.clip(0.55 + planned / CAPACITY, 0.05, 0.95)
        level = rng.uniform(*CHARGE) * -1 if charges else rng.uniform(*DISCHARGE)
        current = 0.0 if rng.random() < RESTS else level
        plan[row : row + length] = current
        planned += current * length * STEP / 60
        row += length
    return plan


@dataclass(frozen=True)
class Uses:
    """Behaviour of N episodes: a schedule and, where `careful`, what people do when they look at the cell.

    A low voltage ends a discharge in favour of a gentle charge, a high one ends a charge, and a warm cell gets half.
    """

    schedule: Float[np.ndarray, "episode step"]
    careful: bool

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """Requests (A) after the voltages and temperatures of a step."""
        current = self.schedule[:, step]
        if self.careful:
            voltage, temperature = observations[:, 0], observations[:, 1]
            current = np.where((voltage < LOW) & (current > 0), -GENTLE, current)
            current = np.where((voltage > HIGH) & (current < 0), 0.0, current)
            current = np.where(temperature > WARM, current / 2, current)
        return current[:, None]

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step action"]:
        """The schedule alone."""
        return self.schedule[:, start:stop, None]


def reversals(actions: Float[np.ndarray, "*batch step action"], by: float) -> Bool[np.ndarray, "*batch change"]:
    """Where a charge of at least so much (A) is followed by a discharge of at least so much."""
    current = actions[..., 0]
    return (current[..., :-1] <= -by) & (current[..., 1:] >= by)
