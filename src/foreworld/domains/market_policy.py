"""Who acts on the market from outside: a trader with programmes, an exchange that halts, and a company with news."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

ORDERS, NEWS, HALT = 0, 1, 2  # columns of the actions
LARGE = 0.2  # lots a minute of a large programme, as a share of the agents' orders
LEVELS, SHARES = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]), np.array([0.15, 0.15, 0.4, 0.15, 0.15])
PROGRAMME = (4, 16)  # minutes
NEWS_RATE, NEWS_SIZE = 0.03, 1.0  # a minute; standard deviation of the fundamental value's change (%)
HALT_RATE, HALT_LENGTH = 0.008, (2, 6)  # a minute; minutes
CHECK_RATE, TREND = 0.5, 0.2  # a minute; how far the mid-quote is from the minute's average price (%)


def schedule(activity: float, steps: int, rng: np.random.Generator) -> Float[np.ndarray, "step action"]:
    """A plan of orders (lots), news (%) and halts that never looks at the market.

    Args:
        activity: orders of agents a minute.
        steps: minutes. A longer plan from an equal generator begins with the shorter one.
        rng: decides the plan.
    """
    spans, levels, arrivals, sizes, halts, lengths = rng.spawn(6)
    actions = np.zeros((steps, 3))
    pieces = -(-steps // PROGRAMME[0])
    minutes = spans.integers(*PROGRAMME, size=pieces, endpoint=True)
    shares = LARGE * levels.choice(LEVELS, size=pieces, p=SHARES)
    actions[:, ORDERS] = np.round(activity * np.repeat(shares, minutes)[:steps])
    arrives = arrivals.random(steps) < NEWS_RATE
    actions[:, NEWS] = np.where(arrives, np.round(sizes.normal(0, NEWS_SIZE, steps), 2), 0)
    until = np.arange(steps) + lengths.integers(*HALT_LENGTH, size=steps, endpoint=True)
    until[halts.random(steps) >= HALT_RATE] = 0
    actions[:, HALT] = np.maximum.accumulate(until) > np.arange(steps)
    return actions


@dataclass(frozen=True)
class Outsiders:
    """Behaviour of N episodes: a schedule and, at `checks`, large orders in the direction in which the price moves."""

    schedule: Float[np.ndarray, "episode step action"]
    checks: Bool[np.ndarray, "episode step"]
    large: Float[np.ndarray, " episode"]

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """Orders (lots), news (%) and halt after price and mid-quote (%) of a step."""
        actions = self.schedule[:, step].copy()
        trend = observations[:, 1] - observations[:, 0]
        follows = self.checks[:, step] & (np.abs(trend) > TREND)
        actions[:, ORDERS] = np.where(follows, np.sign(trend) * self.large, actions[:, ORDERS])
        return actions

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step action"]:
        """The schedule alone, without orders that follow the price."""
        return self.schedule[:, start:stop]
