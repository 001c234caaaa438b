"""What a trading desk would forecast: a random walk, with or without the impact of its orders."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan, cut
from foreworld.domains.market_policy import NEWS, ORDERS
from foreworld.evidence.evaluate import origins

CASES = 2000
DECAY = 0.94  # of RiskMetrics (J.P. Morgan/Reuters, Technical Document, 1996)
LEAST_VOLATILITY = 0.02  # %, lest a market that stood still be sure to go on so


@dataclass(frozen=True)
class Walk:
    """The last price, plus news, plus the impact of the orders that are planned, plus a random walk.

    A programme of Q lots moves the price by y sigma sign(Q) sqrt(|Q| / V), where V and sigma are volume and volatility
    of a minute (the square-root law: Toth et al., Physical Review X 1, 2011). Volatility is that of exponentially
    weighted returns. What is left over is drawn from the paths of training cases, each in units of its volatility.

    Attributes:
        impact: y; zero for a plain walk.
        paths: what training cases left over.
    """

    impact: float
    paths: Float[np.ndarray, "path step"]

    @classmethod
    def fit(cls, train: Episodes, horizon: int) -> "Walk":
        """The plain walk, which looks at no plan."""
        return cls._fit(train, horizon, planned=False)

    @classmethod
    def fit_impact(cls, train: Episodes, horizon: int) -> "Walk":
        """With y from a regression over training cases."""
        return cls._fit(train, horizon, planned=True)

    @classmethod
    def _fit(cls, train: Episodes, horizon: int, planned: bool) -> "Walk":
        cases = cut(train, origins(train, context=20, horizon=horizon, limit=CASES), horizon)
        price, volatility, volume = _recent(cases.histories)
        rest = cases.truth[..., 0] - price[:, None]
        law = np.zeros_like(rest)
        if planned:
            rest = rest - np.cumsum(cases.plan.actions[..., NEWS], axis=1)
            law = volatility[:, None] * _root(cases.plan, volume)
        size = float((law**2).sum())
        impact = float((law * rest).sum()) / size if size else 0.0
        return cls(impact, (rest - impact * law) / volatility[:, None])

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """Sampled prices (%), within the limits of the schema."""
        price, volatility, volume = _recent(histories)
        middle = price[:, None] + np.zeros(plan.time.shape)
        if self.impact:
            middle = middle + np.cumsum(plan.actions[..., NEWS], axis=1)
            middle = middle + self.impact * volatility[:, None] * _root(plan, volume)
        drawn = np.random.default_rng(seed).integers(len(self.paths), size=(members, len(price)))
        samples = middle + volatility[:, None] * self.paths[drawn, : plan.horizon]
        target = histories.schema.targets[0]
        return np.clip(samples, target.low, target.high)[..., None]


def _root(plan: Plan, volume: Float[np.ndarray, " episode"]) -> Float[np.ndarray, "episode step"]:
    lots = np.cumsum(plan.actions[..., ORDERS], axis=1)
    return np.sign(lots) * np.sqrt(np.abs(lots) / volume[:, None])


def _recent(histories: Episodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Last price (%), and exponentially weighted volatility (%) and volume (lots) of a minute; arrays [episode]."""
    found = []
    for episode in histories:
        price, volume = episode.observations[:, 0], episode.observations[:, 5]
        weights = DECAY ** np.arange(len(price))[::-1]
        change = np.diff(price)
        variance = (weights[1:] * change**2).sum() / max(weights[1:].sum(), 1e-12)
        found.append((price[-1], max(np.sqrt(variance), LEAST_VOLATILITY), max(weights @ volume / weights.sum(), 1.0)))
    last, volatility, usual = np.array(found, dtype=np.float64).T
    return last, volatility, usual
