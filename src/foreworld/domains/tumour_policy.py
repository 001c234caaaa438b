"""How lung tumours are treated: random courses that never look at the tumour, and a doctor who treats the large ones.

`courses` is the exploring policy: for one to three days in a row chemotherapy, radiotherapy or both are given, at full
or half dose, with one to four weeks between courses. `gamma0`, `gamma2` and `gamma4` are the benchmark's doctor, who
tosses a coin for each treatment every day, biased by the mean diameter of the last 15 days.
"""

import numpy as np
from jaxtyping import Float

from foreworld.domains.tumour_benchmark import WINDOW, treatment_probability
from foreworld.domains.tumour_model import CHEMO_DOSE, RADIO_DOSE

DOSES = np.array([CHEMO_DOSE, RADIO_DOSE])
KINDS = np.array([[1, 0], [0, 1], [1, 1]])  # chemo, radio, both
SHARES = np.array([0.5, 1.0])  # of a full dose
COURSE, PAUSE = (1, 3), (7, 28)  # days, shortest and longest
GAMMAS = {"gamma0": 0.0, "gamma2": 2.0, "gamma4": 4.0}


def courses(steps: int, rng: np.random.Generator, pause: bool = True) -> Float[np.ndarray, "step 2"]:
    """Chemo and radio (Gy) of each day; begins within a pause. A longer plan begins with the shorter one."""
    lengths, pauses, contents = rng.spawn(3)
    actions = np.zeros((steps, 2))
    day = int(pauses.integers(0, PAUSE[1])) if pause else 0
    while day < steps:
        course = int(lengths.integers(*COURSE, endpoint=True))
        actions[day : day + course] = DOSES * KINDS[contents.integers(len(KINDS))] * contents.choice(SHARES)
        day += course + int(pauses.integers(*PAUSE, endpoint=True))
    return actions


def alternative(horizon: int, rng: np.random.Generator) -> Float[np.ndarray, "step 2"]:
    """Another plan of the exploring kind: nothing at all for one in four, else courses from now or from later on."""
    if rng.random() < 0.25:
        return np.zeros((horizon, 2))
    return courses(horizon, rng, pause=bool(rng.random() < 0.5))


class Doctor:
    """N episodes under a doctor who looks at the diameter, the first observation, of the last 15 days and of today.

    Args:
        gamma: how much the doctor looks.
        coins: uniform numbers; a treatment is given where its coin is below the probability.
    """

    def __init__(self, gamma: float | int, coins: Float[np.ndarray, "episode step 2"]):
        self._gamma, self._coins = gamma, coins
        self._seen: list[Float[np.ndarray, " episode"]] = []

    def act(self, step: int, observations: Float[np.ndarray, "episode observation"]) -> Float[np.ndarray, "episode 2"]:
        """Full doses where the coins say so."""
        self._seen = [*self._seen, observations[:, 0]][-WINDOW - 1 :]
        chance = treatment_probability(np.mean(self._seen, axis=0), self._gamma)
        return DOSES * (self._coins[:, step] < chance[:, None])

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step 2"]:
        """What is given even when no tumour is seen: a larger one calls for more, never for less."""
        return DOSES * (self._coins[:, start:stop] < treatment_probability(np.zeros(1), self._gamma))
