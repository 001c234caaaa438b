"""Emissions of the past, and paths that they could take: random walks as wide as the scenarios of the IPCC.

CO2 (GtCO2/yr, fossil and land use), CH4 (Mt/yr) and SO2 (Mt/yr, with biomass burning). The past is rounded and of the
size of the inventories of Friedlingstein et al. (ESSD 2020) and Hoesly et al. (GMD 11, 2018); it is not their table.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

CARBON, METHANE, SULPHUR = 0, 1, 2  # columns of the actions
FIRST, PRESENT = 1950, 2019  # year that an episode begins; last year of the past
STEP = 3  # years
YEARS = (1750, 1800, 1850, 1900, 1920, 1940, 1950, 1960, 1970, 1980, 1990, 2000, 2010, 2019)
HISTORY = (
    (0.3, 0.8, 2.6, 4.6, 6.3, 8.0, 10.5, 14.5, 19.8, 24.0, 27.8, 30.5, 38.5, 41.0),
    (19, 28, 45, 80, 100, 125, 150, 190, 240, 285, 310, 315, 360, 390),
    (2.4, 3, 5, 22, 35, 48, 60, 90, 125, 137, 130, 110, 105, 80),
)
LOW, HIGH = np.array([-20.0, 40.0, 5.0]), np.array([140.0, 900.0, 250.0])
CENTRE, RETURN = np.array([30.0, 320.0, 70.0]), 1 / 120  # where walks are drawn to, and how fast (1/year)
SLOPES = np.array([1.1, 6.0, 2.0])  # standard deviation, a year
PIECE = (2, 8)  # steps between changes of slope
JUMPS, LARGEST_JUMP = 0.12, 1.8  # probability at a change of slope, and the largest factor
HOT, CUT, LEAST = 1.5, 0.4, 0.2  # K; share of CO2 that is cut for each K above; what is left at least


def history(year: Float[np.ndarray, "*years"]) -> Float[np.ndarray, "*years action"]:
    """What was emitted in a year up to PRESENT; later years are as that one."""
    return np.stack([np.interp(year, YEARS, values) for values in HISTORY], axis=-1)


def walk(start: Float[np.ndarray, " action"], steps: int, rng: np.random.Generator) -> Float[np.ndarray, "step action"]:
    """Emissions that go on from a level with slopes that last for PIECE steps, and sometimes jump.

    A longer walk from an equal generator begins with the shorter one.
    """
    levels = np.empty((steps, 3))
    for gas, own in enumerate(rng.spawn(3)):
        level, row = start[gas], 0
        while row < steps:
            length = int(own.integers(*PIECE, endpoint=True))
            slope = STEP * (SLOPES[gas] * own.standard_normal() - RETURN * (level - CENTRE[gas]))
            jumps, factor = own.random() < JUMPS, LARGEST_JUMP * own.random()
            stretch = level * (factor if jumps else 1.0) + slope * np.arange(1, length + 1)
            stretch = np.clip(stretch, LOW[gas], HIGH[gas])
            levels[row : row + length, gas] = stretch[: steps - row]
            level, row = stretch[-1], row + length
    return levels


def schedule(steps: int, rng: np.random.Generator) -> Float[np.ndarray, "step action"]:
    """The past up to some year until PRESENT, which it is in one of three cases, and a walk from there."""
    last = (PRESENT - FIRST) // STEP
    known = last if rng.random() < 1 / 3 else int(rng.integers(last))
    past = history(FIRST + STEP * np.arange(known) + STEP / 2)
    start = past[-1] if known else history(np.array(float(FIRST)))
    return np.concatenate([past, walk(start, max(steps - known, 0), rng)])[:steps]


@dataclass(frozen=True)
class Policy:
    """Behaviour of N episodes: a schedule and, if it `reacts`, less CO2 the hotter it gets."""

    schedule: Float[np.ndarray, "episode step action"]
    reacts: bool

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """Emissions in the years after the observations of a step."""
        actions = self.schedule[:, step].copy()
        if self.reacts:
            actions[:, CARBON] *= np.clip(1 - CUT * (observations[:, 0] - HOT), LEAST, 1)
        return actions

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step action"]:
        """The schedule alone."""
        return self.schedule[:, start:stop]
