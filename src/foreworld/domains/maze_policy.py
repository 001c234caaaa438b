"""How the ball is driven: forces that never look where it is, and a homing pull on top of them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

STRONGEST = 100.0  # N, what a motor can do
FORCE = 15.0  # N, the most that a plan asks for
PIECE = (4, 20)  # rows with one force
IDLE = 0.15  # probability that a piece has the motors off
STIFFNESS, BRAKE = 4.0, 4.0  # of the pull home, N/m and N s/m


def pieces(steps: int, rng: np.random.Generator) -> Float[np.ndarray, "step action"]:
    """Forces (N) in any direction that last for a while.

    A longer plan from an equal generator begins with the shorter one.
    """
    durations, directions, sizes = rng.spawn(3)
    count = -(-steps // PIECE[0])
    lengths = durations.integers(*PIECE, size=count, endpoint=True)
    angle = directions.uniform(-np.pi, np.pi, size=count)
    idle, strength = sizes.random((count, 2)).T
    size = np.where(idle < IDLE, 0, FORCE * strength)
    forces = size[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.repeat(forces, lengths, axis=0)[:steps]


@dataclass(frozen=True)
class Driving:
    """Behaviour of N episodes: a schedule of forces and, with a stiffness, a damped pull towards a place."""

    schedule: Float[np.ndarray, "episode step action"]
    home: Float[np.ndarray, "episode 2"]
    stiffness: float

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """Forces (N) after the positions (m) and velocities (m/s) of a row."""
        if not self.stiffness:
            return self.schedule[:, step]
        position, velocity = observations[:, :2], observations[:, 2:4]
        pull = self.stiffness * (self.home - position) - BRAKE * velocity
        return np.clip(self.schedule[:, step] + pull, -STRONGEST, STRONGEST)

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step action"]:
        """The schedule alone: where the ball will be is not known."""
        return self.schedule[:, start:stop]
