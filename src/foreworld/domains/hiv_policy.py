"""Who takes which drug when: blocks drawn at random, or a doctor who looks at the blood."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.domains.schedules import draw_blocks

BLOCK = (1, 12)  # steps that a prescription lasts
HIGH, LOW = 4.5, 3.0  # log10 virus per mL: above the one the doctor treats more often, below the other less
KEEN = 0.9  # probability with which the doctor does what the virus calls for


def schedule(steps: int, rng: np.random.Generator) -> Float[np.ndarray, "step 2"]:
    """Prescriptions of either drug, both or none, in equal shares, that never look at the patient.

    A longer schedule from an equal generator begins with the shorter one.
    """
    return draw_blocks(steps, rng, levels=2, actions=2, lasting=BLOCK)


@dataclass(frozen=True)
class Prescriptions:
    """Behaviour of N episodes: schedules and, where `keenness` is given, a doctor who looks at the virus every step.

    Attributes:
        plan: the schedules.
        keenness: uniform numbers that decide whether the doctor looks; none looks if it is None.
    """

    plan: Float[np.ndarray, "episode step 2"]
    keenness: Float[np.ndarray, "episode step"] | None = None

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """1 for a drug that is taken, after the observations of a step."""
        drugs = self.plan[:, step].copy()
        if self.keenness is not None:
            virus, looks = observations[:, 4], self.keenness[:, step] < KEEN
            drugs[looks & (virus > HIGH)] = 1.0
            drugs[looks & (virus < LOW)] = 0.0
        return drugs

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step action"]:
        """The schedules alone."""
        return self.plan[:, start:stop]
