"""The artificial markets: what is known of each, and who trades in it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

OPEN_PRICE = 1000.0
PRICE_LIMIT = 0.15  # of a day, as a share of the opening price
GROUPS = {"large": (36, 44), "mid": (26, 34), "small": (16, 24)}  # least and most orders of agents a minute
MEMBERS = 20  # markets of a group
TICKS = (0.1, 0.5, 1.0)
WINDOW = (60, 120)  # market steps that agents look back and ahead, and that their orders last


@dataclass(frozen=True)
class Listing:
    """A market and who trades in it.

    Agents are the FCN agents of Chiarella and Iori (Quantitative Finance 2, 2002): each expects a return of
    (f F + c C + n N) / (f + c + n) from fundamental value, chart and noise, and quotes around the price that follows.
    The package's examples draw weights from exponential distributions; an agent with hardly any f and n then believes
    in its chart alone, and a book of such agents breaks down under an order of a few percent of the volume.

    Attributes:
        activity: market steps, hence orders of agents, a minute.
        tick: smallest difference between prices.
        agents: their number.
        chart_weight: mean weight c; that of f and of n is one.
        noise: standard deviation of N, a market step.
        margin: furthest that a quote is from the expected price, as a share of it.
        reversion: shortest time in which agents expect the fundamental value to be reached (market steps); the longest
            is twice that.
        volatility: of the logarithm of the fundamental value, a market step.
        population: decides the weights of each agent.
    """

    activity: int
    tick: float
    agents: int
    chart_weight: float
    noise: float
    margin: float
    reversion: int
    volatility: float
    population: int

    def settings(self) -> dict[str, Any]:
        """The configuration that a runner of PAMS reads."""
        session = {"iterationSteps": 1, "withOrderPlacement": True, "withPrint": False, "maxNormalOrders": 1}
        return {
            "simulation": {
                "markets": ["Market"],
                "agents": ["Agents", "Outsider"],
                "sessions": [
                    {"sessionName": "halted", "withOrderExecution": False, "events": ["Limit"], **session},
                    {"sessionName": "open", "withOrderExecution": True, **session},
                ],
            },
            "Limit": {"class": "PriceLimitRule", "targetMarkets": ["Market"], "triggerChangeRate": PRICE_LIMIT},
            "Market": {
                "class": "Market",
                "tickSize": self.tick,
                "marketPrice": OPEN_PRICE,
                "fundamentalPrice": OPEN_PRICE,
                "fundamentalVolatility": self.volatility,
            },
            "Agents": {
                "class": "Trader",
                "numAgents": self.agents,
                "markets": ["Market"],
                "assetVolume": 0,
                "cashAmount": 0,
                "fundamentalWeight": [0.5, 1.5],
                "chartWeight": [0.0, 2 * self.chart_weight],
                "noiseWeight": [0.5, 1.5],
                "noiseScale": self.noise,
                "timeWindowSize": list(WINDOW),
                "meanReversionTime": [self.reversion, 2 * self.reversion],
                "orderMargin": [0.0, self.margin],
            },
            "Outsider": {"class": "Outsider", "markets": ["Market"], "assetVolume": 0, "cashAmount": 0},
        }


def listings() -> dict[str, Listing]:
    """The markets by name. Activity and tick are for all to see, who trades is not."""
    rng = np.random.default_rng(0)
    found = {}
    for group, (least, most) in GROUPS.items():
        for number in range(MEMBERS):
            activity = int(rng.integers(least, most, endpoint=True))
            disagreement = 0.018 * rng.lognormal(0, 0.2)  # of expected prices, which quotes must exceed to fill a book
            found[f"{group}#{number:03d}"] = Listing(
                activity=activity,
                tick=float(rng.choice(TICKS)),
                agents=2 * activity,
                chart_weight=float(rng.uniform(0.05, 0.3)),
                noise=float(disagreement / np.mean(WINDOW)),
                margin=float(disagreement * rng.uniform(1.1, 1.5)),
                reversion=int(rng.integers(100, 200)),
                volatility=float(rng.uniform(0.5e-4, 2e-4)),
                population=int(rng.integers(2**31)),
            )
    return found
