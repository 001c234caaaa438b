"""A limit order book: what orders, news and halts do to the price in sixty artificial markets (PAMS)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable
from foreworld.domains import market_policy as habits
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study, pack
from foreworld.domains.market_baselines import Walk
from foreworld.domains.market_listing import PRICE_LIMIT, Listing, listings
from foreworld.errors import MissingExtraError, QuestionError

LOWEST, HIGHEST = (100 * float(np.log(1 + change)) for change in (-PRICE_LIMIT, PRICE_LIMIT))
PROGRAMME, PAUSE = 12, 5  # minutes that the interventions take

SCHEMA = Schema(
    id="market",
    time="minute",
    time_unit="min",
    variables=(
        Variable(name="price", role="observation", unit="%", low=LOWEST, high=HIGHEST, target=True),
        Variable(name="mid_quote", role="observation", unit="%"),
        Variable(name="spread", role="observation", unit="bp", low=0),
        Variable(name="bids", role="observation", unit="lots", low=0),
        Variable(name="asks", role="observation", unit="lots", low=0),
        Variable(name="volume", role="observation", unit="lots", low=0),
        Variable(name="orders", role="action", unit="lots"),
        Variable(name="news", role="action", unit="%", low=-10, high=10),
        Variable(name="halt", role="action", kind="binary"),
        Variable(name="activity", role="static", unit="orders/min"),
        Variable(name="tick", role="static", unit="currency"),
    ),
)


class Market:
    """Sixty markets in which agents quote around what they expect, and an outside trader takes; a minute a step.

    The price is the volume-weighted average of the latest minute with trades, as the logarithm against the opening.
    Orders are market orders of an outside trader, spread over the minute; news moves the hidden fundamental value; in
    a halt orders are collected, and crossed in one auction at its end. Who the agents are is hidden; how many orders
    they send, and the tick, are known.
    """

    about = About(
        name="market",
        field="finance",
        summary="price of 60 artificial markets with a limit order book under orders, news and halts",
        source="PAMS 0.3.0 (Hirano, Takata and Izumi 2023), agents of Chiarella and Iori (2002)",
        licence="EPL-1.0",
        extra="market",
        distribution="pams",
    )
    schema = SCHEMA
    step_time = 1.0
    policies: tuple[str, ...] = ("programmes", "momentum")
    shifts: tuple[str, ...] = ("thin", "volatile")
    baselines: Mapping[str, FitBaseline] = {"EWMA walk": Walk.fit, "square-root impact": Walk.fit_impact}
    study = Study(steps=160, first=40, horizon=24)

    def __init__(self):
        if find_spec("pams") is None:
            raise MissingExtraError("the market domain", "market")
        self._listings = listings()
        self.instances: tuple[str, ...] = tuple(self._listings)
        self.interventions: Mapping[str, Intervention] = {
            "buy programme": Intervention(
                f"{PROGRAMME} minutes of large buying", lambda names, plan: self._trade(names, plan, 1)
            ),
            "sell programme": Intervention(
                f"{PROGRAMME} minutes of large selling", lambda names, plan: self._trade(names, plan, -1)
            ),
            "bad news": Intervention("news that takes 2% of the value", _bad_news),
            "halt": Intervention(f"a halt of {PAUSE} minutes", _halt),
        }

    def shifted(self, name: str) -> "Market":
        """`thin`: half of the agents send half of the orders. `volatile`: value moves four times as much."""
        changes = {
            "thin": lambda listing: replace(listing, agents=listing.agents // 2, activity=listing.activity // 2),
            "volatile": lambda listing: replace(listing, volatility=4 * listing.volatility),
        }
        if name not in changes:
            raise QuestionError(f"no shift '{name}' here; there are {', '.join(changes)}")
        other = Market()
        other._listings = {key: changes[name](listing) for key, listing in self._listings.items()}
        return other

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """Orders of agents a minute, and the tick."""
        return np.array([[listing.activity, listing.tick] for listing in self._named(instances)], dtype=np.float64)

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Begin a few minutes after the opening; the seed of an episode decides its value and its agents' chance."""
        from foreworld.domains.market_book import Book

        self._books = [Book(listing, seed) for listing, seed in zip(self._named(instances), seeds, strict=True)]
        self._steps = np.full(len(self._books), steps)
        return np.stack([book.observe() for book in self._books])

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """A minute of orders (lots), news (%) and halt (0 or 1)."""
        if not np.isfinite(actions).all() or (np.abs(actions[:, habits.NEWS]) > 10).any():
            raise QuestionError("orders, news and halt must be known, and news within 10%")
        if any(book.minute >= steps for book, steps in zip(self._books, self._steps, strict=True)):
            raise QuestionError("the episode was reset for fewer steps than this")
        return np.stack([book.act(*row) for book, row in zip(self._books, actions.tolist(), strict=True)])

    def snapshot(self) -> Snapshot:
        """A copy of every market; see `foreworld.domains.base.Snapshot`."""
        return {"book": pack([book.copy() for book in self._books]), "steps": self._steps}

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot, with the same chance or, given seeds, with chance that parts from the next minute."""
        self._books = [book.copy() for book in snapshot["book"]]
        self._steps = snapshot["steps"]
        if seeds is not None:
            for book, seed in zip(self._books, seeds, strict=True):
                book.seed = seed

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`programmes` (never looks at the price) or `momentum` (buys what rises and sells what falls on top)."""
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        activity = self.static(instances)[:, 0]
        generators = [np.random.default_rng(seed) for seed in seeds]
        plans = [habits.schedule(size, steps, rng) for size, rng in zip(activity, generators, strict=True)]
        checks = np.stack([rng.random(steps) < habits.CHECK_RATE for rng in generators])
        large = np.round(habits.LARGE * activity)
        return habits.Outsiders(schedule=np.stack(plans), checks=checks & (policy == "momentum"), large=large)

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Another plan for each episode, drawn as the `programmes` policy draws its own."""
        cases = zip(self.static(instances)[:, 0], seeds, strict=True)
        steps = actions.shape[1]
        return np.stack([habits.schedule(size, steps, np.random.default_rng(seed)) for size, seed in cases])

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """The daily price limit, and the stillness of a halt."""
        price, volume = observations[..., 0], observations[..., 5]
        halted = actions[..., habits.HALT] >= 0.5
        moved = np.abs(np.diff(price, axis=-1)) > 1e-6
        outside = (price < LOWEST - 1e-6) | (price > HIGHEST + 1e-6)
        return {
            "the price is within the daily limit": np.asarray(~outside.any(-1)),
            "the price stands still in a halt": np.asarray(~(halted & moved).any(-1)),
            "nothing is traded in a halt": np.asarray(~(halted & (volume[..., 1:] > 0)).any(-1)),
        }

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """How far the price has been driven from that of the opening (%)."""
        return np.abs(observations[..., 0])

    def _trade(self, instances: Sequence[str], actions: Actions, sign: int) -> Actions:
        changed = actions.copy()
        large = np.round(habits.LARGE * self.static(instances)[:, :1])
        changed[:, :PROGRAMME, habits.ORDERS] = sign * large
        return changed

    def _named(self, instances: Sequence[str]) -> list[Listing]:
        unknown = sorted(set(instances) - set(self._listings))
        if unknown:
            raise QuestionError(f"no market '{unknown[0]}' here; there are {', '.join(self._listings)}")
        return [self._listings[name] for name in instances]


def _bad_news(instances: Sequence[str], actions: Actions) -> Actions:
    changed = actions.copy()
    changed[:, 0, habits.NEWS] = -2.0
    return changed


def _halt(instances: Sequence[str], actions: Actions) -> Actions:
    changed = actions.copy()
    changed[:, :PAUSE, habits.HALT] = 1.0
    return changed
