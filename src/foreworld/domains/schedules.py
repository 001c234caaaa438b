"""Treatment that was written down beforehand and never looks at the patient."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.domains.base import Actions


@dataclass(frozen=True)
class Planned:
    """Behaviour of N episodes: what stands in the schedule, whatever is observed."""

    schedule: Actions

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """The actions of a step."""
        return self.schedule[:, step].copy()

    def intended(self, start: int, stop: int) -> Actions:
        """The schedule."""
        return self.schedule[:, start:stop]


def draw_blocks(
    steps: int, rng: np.random.Generator, *, levels: int, actions: int, lasting: tuple[int, int]
) -> Float[np.ndarray, "step action"]:
    """Levels 0, 1, ... of every action, in equal shares, that stay for a while and then change together.

    A longer schedule from an equal generator begins with the shorter one.

    Args:
        steps: of the schedule.
        rng: what decides.
        levels: that each action can have.
        actions: how many there are.
        lasting: steps that a block has, at least and at most.
    """
    lengths, choices = rng.spawn(2)
    drawn = choices.integers(0, levels, (steps, actions)).astype(float)
    return np.repeat(drawn, lengths.integers(*lasting, endpoint=True, size=steps), axis=0)[:steps]
