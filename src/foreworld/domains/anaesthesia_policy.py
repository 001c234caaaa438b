"""What the infusion pumps do: rates per kilogram that are set now and then, and others that could have been set."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

PROPOFOL, REMIFENTANIL = 0, 1  # columns of the actions
HIGHEST = np.array([12.0, 0.25])  # mg/kg/h and ug/kg/min: what the policies give at most
INCREMENT = np.array([0.1, 0.005])
PIECE = (5, 40)  # minutes that a rate lasts
OFF = 0.2  # probability of a rate of zero
GOAL, GAIN = 50.0, 25.0  # BIS that the confounded policy steers for; this far above it the rate is doubled


def schedule(minutes: int, rng: np.random.Generator) -> Float[np.ndarray, "minute 2"]:
    """Random rates of both drugs, independent of each other and of the patient.

    A longer plan from an equal generator begins with the shorter one.
    """
    return np.stack([_rates(minutes, drug, rng) for rng, drug in zip(rng.spawn(2), range(2), strict=True)], axis=1)


def _rates(minutes: int, drug: int, rng: np.random.Generator) -> Float[np.ndarray, " minute"]:
    lengths, levels, pauses = rng.spawn(3)
    pieces = -(-minutes // PIECE[0])
    level = HIGHEST[drug] * levels.random(pieces) * (pauses.random(pieces) >= OFF)
    return np.repeat(round_rate(level, drug), lengths.integers(*PIECE, endpoint=True, size=pieces))[:minutes]


def round_rate(rate, drug: int | slice):
    """The nearest rate that a pump can give, without the dust of binary fractions."""
    return np.round(np.round(rate / INCREMENT[drug]) * INCREMENT[drug], 6)


@dataclass(frozen=True)
class Pumps:
    """Behaviour of N episodes: a schedule and, where `titrated`, propofol in proportion to the BIS read every minute.

    The latter is how closed-loop anaesthesia works: at a BIS of 50 the schedule, at 75 twice as much, at 25 none.
    """

    schedule: Float[np.ndarray, "episode step action"]
    titrated: bool

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """Rates of propofol (mg/kg/h) and remifentanil (ug/kg/min) after the readings of a step."""
        rates = self.schedule[:, step].copy()
        if self.titrated:
            factor = np.clip(1 + (observations[:, 0] - GOAL) / GAIN, 0, 2)
            given = np.minimum(rates[:, PROPOFOL] * factor, HIGHEST[PROPOFOL])
            rates[:, PROPOFOL] = round_rate(given, PROPOFOL)
        return rates

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step action"]:
        """The schedule, without titration."""
        return self.schedule[:, start:stop]
