"""One PAMS market, driven a minute at a time: a limit order book, the agents who trade in it, and an outside trader.

PAMS 0.3.0 (Hirano, Takata and Izumi) runs a simulation from end to end. Here its runner is asked for one market step
after another, so that somebody outside can act in between; what a market step is stays the package's own affair.
"""

import copy
import random
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float
from pams.agents import Agent, FCNAgent
from pams.order import MARKET_ORDER, Order
from pams.runners import SequentialRunner

from foreworld.domains.market_listing import OPEN_PRICE, Listing

AUCTION, WARM_UP = 5, 5  # minutes of orders before the opening auction, and of trading before the first observation
DEPTH_WITHIN = 0.01  # of the mid-quote
LIFETIME = 1  # market steps that a market order waits for a counterpart


class Ranked(Order):
    """An order that knows its place in the book at once.

    The answers are the package's own: market orders first, then the better price, then the earlier order. It looks at
    much more to find them, which is nearly half of the time of a simulation.
    """

    def __lt__(self, other: Any) -> bool:
        if self.price == other.price:
            return (self.placed_at, self.order_id) < (other.placed_at, other.order_id)
        if self.price is None or other.price is None:
            return self.price is None
        return self.price > other.price if self.is_buy else self.price < other.price

    def __eq__(self, other: object) -> bool:
        return self is other  # No order is placed twice.


class Trader(FCNAgent):
    """The package's agent, with orders that compare quickly."""

    def submit_orders(self, markets: list) -> list:
        orders = super().submit_orders(markets)
        for order in orders:
            assert isinstance(order, Order)
            order.__class__ = Ranked
        return orders


class Outsider(Agent):
    """Has an account in the market, and sends no order unless it is told to."""

    def submit_orders(self, markets: list) -> list:
        return []


class Book:
    """A market on one day. Equal seeds draw equal chance minute by minute, whatever was done before.

    Attributes:
        seed: of the chance of the minutes to come.
        minute: minutes since the opening.
    """

    def __init__(self, listing: Listing, seed: int):
        self.seed, self.minute = seed, 0
        self._activity = listing.activity
        self._runner = SequentialRunner(listing.settings(), random.Random(listing.population))
        self._runner.class_register(Trader)
        self._runner.class_register(Outsider)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._runner._setup()
        self._runner._pending_setups.clear()
        self._market = self._runner.simulator.markets[0]
        self._halted, self._open = self._runner.simulator.sessions
        # One generator for all, so that copying and reseeding a market is quick.
        self._chance = self._runner._prng = random.Random()
        for agent in self._runner.simulator.agents:
            agent.prng = self._chance
        self._runner.simulator._update_times_on_markets(self._runner.simulator.markets)
        self._price = self._middle = OPEN_PRICE
        self._spread = 0.0
        for minute in range(AUCTION + WARM_UP):
            self._draw(0, minute)
            self._trade(self._halted if minute < AUCTION else self._open, 0)

    def act(self, orders: float, news: float, halt: float) -> Float[np.ndarray, " observation"]:
        """One minute.

        Args:
            orders: lots to buy (positive) or to sell by market orders, spread evenly over the minute and rounded to
                whole lots. None is taken while trading is halted.
            news: change of the fundamental value's logarithm at the beginning of the minute (%).
            halt: from 0.5, orders are collected and not executed.

        Returns:
            See `observe`.
        """
        self._draw(1, self.minute)
        if news:
            self._market.change_fundamental_price(float(np.exp(news / 100)))
        halted = halt >= 0.5
        self._trade(self._halted if halted else self._open, 0 if halted else round(orders))
        self.minute += 1
        return self.observe()

    def observe(self) -> Float[np.ndarray, " observation"]:
        """Volume-weighted price of the latest minute with trades and mid-quote (%, logarithm against the opening),
        spread (basis points), lots bid and asked up to 1% beyond the mid-quote, and the minute's volume (lots).

        Mid-quote and spread are the last that there were while a side is empty or, in a halt, bid and ask have crossed.
        """
        bid, ask = self._market.get_best_buy_price(), self._market.get_best_sell_price()
        if bid is not None and ask is not None and bid < ask:
            self._middle, self._spread = (bid + ask) / 2, 2e4 * (ask - bid) / (ask + bid)
        lowest, highest = self._middle * (1 - DEPTH_WITHIN), self._middle * (1 + DEPTH_WITHIN)
        bids = sum(volume for price, volume in self._quotes(True) if price >= lowest)
        asks = sum(volume for price, volume in self._quotes(False) if price <= highest)
        logs = 100 * np.log(np.array([self._price, self._middle]) / OPEN_PRICE)
        return np.array([*logs, self._spread, bids, asks, self._volume], dtype=np.float64)

    def copy(self) -> "Book":
        """Another market in the same state."""
        # Records of past steps hold numbers and None alone: they need no deep copy, and there are many.
        market = self._market
        records = [values for values in vars(market).values() if isinstance(values, list)]
        records += self._runner.simulator.fundamentals.prices.values()
        memo: dict[int, Any] = {id(values): values.copy() for values in records}
        memo[id(self._runner.settings)] = self._runner.settings
        return copy.deepcopy(self, memo)

    def _quotes(self, buy: bool) -> list[tuple[float, int]]:
        """Price and volume of every limit order of a side."""
        side = self._market.buy_order_book if buy else self._market.sell_order_book
        return [(order.price, order.volume) for order in side.priority_queue if order.price is not None]

    def _draw(self, *stream: int) -> None:
        """Chance for a minute: that of the agents, and the fundamental value from now on, which PAMS draws ahead."""
        generator = np.random.default_rng([self.seed, *stream])
        self._chance.seed(int(generator.integers(2**63)))
        fundamentals = self._runner.simulator.fundamentals
        fundamentals._np_prng = generator
        fundamentals._generated_until = self._market.time
        fundamentals._generate_chunk_size = self._activity + 1

    def _trade(self, session: Any, lots: int) -> None:
        """One minute of market steps, and its volume-weighted price."""
        first = self._market.time
        outsider = self._runner.simulator.agents[-1]
        due = np.diff(np.arange(self._activity + 1) * abs(lots) // self._activity)
        with warnings.catch_warnings():
            # Prices between ticks are rounded, which the package warns about order by order.
            warnings.simplefilter("ignore")
            for volume in due.tolist():
                if volume:
                    order = Ranked(outsider.agent_id, 0, lots > 0, MARKET_ORDER, volume, ttl=LIFETIME)
                    self._runner._process_order(session, order)
                self._runner._iterate_market_updates(session)
        minute = slice(first, self._market.time)
        self._volume = sum(self._market._executed_volumes[minute])
        if self._volume:
            self._price = sum(self._market._executed_total_prices[minute]) / self._volume
