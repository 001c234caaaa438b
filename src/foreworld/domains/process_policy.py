"""What operators do to the plant: they move one of its twelve handles, and leave it there for hours."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

HOURS = (1.0, 5.0)  # between two moves of one handle
STEP = 0.1  # h
MOVED = 0.7  # share of the time that a handle is away from its base
# Half the range that each handle is moved in, about its base: m3/h, mol%, kPa, %, degC, %, %, %, %, %, %, %.
REACH = np.array([2.0, 4.0, 50.0, 5.0, 1.0, 3.0, 3.0, 2.0, 2.0, 4.0, 8.0, 10.0])
PRODUCTION, PRESSURE, LEVEL, TEMPERATURE = 0, 2, 3, 4  # handles


def schedule(base: Float[np.ndarray, "12"], steps: int, rng: np.random.Generator) -> Float[np.ndarray, "step 12"]:
    """Moves that never look at the plant; a longer plan from an equal generator begins with the shorter one."""
    columns = []
    for centre, reach, own in zip(base, REACH, rng.spawn(len(base)), strict=True):
        column = np.empty(steps)
        row = 0
        while row < steps:
            length = int(own.integers(int(HOURS[0] / STEP), int(HOURS[1] / STEP), endpoint=True))
            level, moved = own.uniform(-1, 1), own.random() < MOVED
            column[row : row + length] = centre + reach * level * moved
            row += length
        columns.append(column)
    return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Operators:
    """Behaviour of N episodes: a schedule and, where `watchful`, what is done on top when the reactor strays.

    A reactor pressure above or below its setpoint moves the setpoint of production against it, and a level that is off
    moves the setpoint of temperature, so that what was done and what is seen have a common cause.
    """

    schedule: Float[np.ndarray, "episode step 12"]
    pressure: int
    level: int
    watchful: bool

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """Handles after the measurements of a step."""
        actions = self.schedule[:, step].copy()
        if self.watchful:
            high = observations[:, self.pressure] - actions[:, PRESSURE]
            full = observations[:, self.level] - actions[:, LEVEL]
            actions[:, PRODUCTION] -= np.clip(high / 20, -1, 1)
            actions[:, TEMPERATURE] += np.clip(full / 4, -1, 1) * 0.5
        return actions

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step action"]:
        """The schedule alone."""
        return self.schedule[:, start:stop]
