"""Who treats sepsis: sets of treatments drawn at random, or the physician of the source, who knows who is diabetic."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from foreworld.domains import sepsis_model as model
from foreworld.domains.schedules import draw_blocks

BLOCK = (1, 4)  # steps that a random set of treatments is kept
SLIP = 0.05  # of the physician's decisions are drawn among the seven other sets of treatments
DISCOUNT = 0.99


def schedule(steps: int, rng: np.random.Generator) -> Float[np.ndarray, "step 3"]:
    """Treatments that never look at the patient; a longer plan from an equal generator begins with the shorter one."""
    return draw_blocks(steps, rng, levels=2, actions=3, lasting=BLOCK)


@cache
def physician(released: bool = False) -> Int[np.ndarray, "2 8 90"]:
    """The best set of treatments by diabetes, treatments before and vitals: value iteration on the exact model."""
    values = np.zeros((2, model.TREATMENTS, model.VITALS))
    chances, best = model.transitions(released), np.zeros(values.shape, dtype=np.int64)
    given, vitals = np.arange(model.TREATMENTS)[:, None], model.levels()[None]
    ends = model.outcome(np.broadcast_to(vitals, (model.TREATMENTS, model.VITALS, 4)), given)
    while True:
        ahead = np.where(ends == 0, DISCOUNT * values, ends)  # [diabetic, given, next vitals]
        worth = np.einsum("dbgvn,dgn->dbgv", chances, ahead)
        best, newer = worth.argmax(2), worth.max(2)
        if np.abs(newer - values).max() < 1e-10:
            return best
        values = newer


@dataclass
class Physician:
    """Behaviour of N episodes: the best treatments for what the physician knows, diabetes included, but for slips.

    Attributes:
        diabetic: 1 for who is.
        slips, others: uniform numbers that decide when the physician slips, and which set of treatments it is then.
        released: whether the physician knows the world as it was released.
    """

    diabetic: Int[np.ndarray, " episode"]
    slips: Float[np.ndarray, "episode step"]
    others: Int[np.ndarray, "episode step"]
    released: bool = False

    def __post_init__(self):
        self._before = np.zeros(len(self.diabetic), dtype=np.int64)

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """1 for a treatment that is given."""
        vitals = observations[:, :4].astype(np.int64)
        best = physician(self.released)[self.diabetic, self._before, model.number(vitals)]
        slip = self.slips[:, step] < SLIP
        self._before = np.where(slip, (best + 1 + self.others[:, step]) % model.TREATMENTS, best)
        return switches(self._before)

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step action"]:
        """Nothing is intended before the patient was looked at."""
        return np.zeros((len(self.diabetic), stop - start, 3))


def switches(treatment: Int[np.ndarray, "*episode"]) -> Float[np.ndarray, "*episode 3"]:
    """Antibiotics, vasopressors and ventilation of a set of treatments."""
    return np.stack([treatment >> 2 & 1, treatment >> 1 & 1, treatment & 1], axis=-1).astype(float)


def treatment(switched: Float[np.ndarray, "*episode 3"]) -> Int[np.ndarray, "*episode"]:
    """The number of a set of treatments."""
    return (switched @ np.array([4.0, 2.0, 1.0])).astype(np.int64)
