"""Forecasts from past rows of a history along what was then done, held against what came.

Histories that begin alike share them: of many questions about one trajectory, each row is looked ahead from once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.last_seen import last_seen
from foreworld.data.layout import static_columns
from foreworld.data.memory import memory_width, run_plan
from foreworld.data.plan import Plan, lengthened
from foreworld.data.scaling import Encoding
from foreworld.data.tabulate import encode_histories, encode_targets, memory_columns, tabulate
from foreworld.reasoning.forecast import draw_at
from foreworld.reasoning.individual.alike import Alike
from foreworld.world.autoregressive import Autoregressive
from foreworld.world.build import Network

LOOKS = 64  # Past rows of a history that are looked ahead from, at most.
LEADS = 8  # Steps ahead at which a look is held against what came, at most; coefficients between them interpolate.
LEAST = 0.01  # Deviation, scaled, that misses are measured in.
FUTURES = 20  # Of each look, shared out over the members, if as many are drawn of a question.
SLOW = 16, 8  # Looks and futures at most of networks that invent futures row by row, at a hundred times the cost.


def leads_of(horizon: int) -> Int[np.ndarray, " lead"]:
    """Steps ahead that are looked at: more closely in the beginning, where most changes."""
    return np.unique(np.geomspace(1, horizon, LEADS).round().astype(int))


def terms(encoding: Encoding) -> int:
    """Number of terms that all targets have in common."""
    return 1 + 2 * memory_width(encoding)


@dataclass(frozen=True)
class Terms:
    """What a miss may depend on: one, the leaky sums of the actions now and at the step foretold, the present reading.

    Attributes:
        steps: ahead, counted from 1.
        common: the first three at each of them.
        own: the present reading of each target, scaled; zero where none was seen.
        row: the last one as the networks read it, but for static facts, which are zero: that is whose history it is,
            and not what is missed about everybody.
    """

    steps: Int[np.ndarray, " step"]
    common: Float[np.ndarray, "history step term"]
    own: Float[np.ndarray, "history target"]
    row: Float[np.ndarray, "history input"]

    @classmethod
    def of(cls, histories: Episodes, plan: Plan, encoding: Encoding) -> "Terms":
        """Of the steps of a plan."""
        targets = list(histories.schema.target_indices)
        seen = np.stack([last_seen(history.observations[:, targets])[0][-1] for history in histories])
        row, then = encode_histories(tuple(histories), encoding, 1)[:, 0], run_plan(histories, plan, encoding)[1]
        return cls.joined(np.arange(1, plan.horizon + 1), row, then, encode_targets(seen, encoding), encoding)

    @classmethod
    def joined(
        cls,
        steps: Int[np.ndarray, " step"],
        row: Float[np.ndarray, "history input"],
        then: Float[np.ndarray, "history step sum"],
        seen: Float[np.ndarray, "history target"],
        encoding: Encoding,
    ) -> "Terms":
        """From rows as the networks read them, the sums at some steps, and the present readings, NaN for none."""
        now = np.repeat(row[:, None, memory_columns(encoding)], len(steps), axis=1)
        common = np.concatenate([np.ones((*then.shape[:2], 1)), now, then], axis=2)
        row = row.copy()
        row[:, static_columns(encoding)] = 0.0
        return cls(steps, common, np.nan_to_num(seen).astype(np.float64), row)

    def take(self, histories: slice) -> "Terms":
        """Of some histories."""
        parts = {name: getattr(self, name)[histories] for name in ("common", "own", "row")}
        return replace(self, **parts)

    def between(self, leads: Int[np.ndarray, " lead"]) -> Float[np.ndarray, "step lead"]:
        """Weights of some leads at each step: linear between them, constant after the last."""
        return np.stack([np.interp(self.steps, leads, one) for one in np.eye(len(leads))], axis=1)


@dataclass(frozen=True)
class Looks:
    """Every look once, and which of them each history has.

    Attributes:
        row: that a look is taken from.
        facts: of each look, at each lead.
        expected, deviation: the mean forecast, and the deviation of its futures, scaled.
        missed: what came less what was expected, in deviations; NaN where nothing was seen, and of categories.
        places: looks of each history, -1 where it has fewer.
        steps: rows of each history after its first: what came later it does not know.
        apart: rows between two looks of a history.
    """

    row: Int[np.ndarray, " look"]
    facts: Terms
    expected: Float[np.ndarray, "look lead target"]
    deviation: Float[np.ndarray, "look lead target"]
    missed: Float[np.ndarray, "look lead target"]
    places: Int[np.ndarray, "history place"]
    steps: Int[np.ndarray, " history"]
    apart: Int[np.ndarray, " history"]

    @property
    def leads(self) -> Int[np.ndarray, " lead"]:
        """Steps ahead that are looked at."""
        return self.facts.steps

    def beyond(self, alike: Alike) -> "Looks":
        """What is left to be missed once that is known which is missed about everybody."""
        return replace(self, missed=self.missed - alike.shift(self.facts, self.expected) / self.deviation)

    def whose(self) -> Int[np.ndarray, " look"]:
        """The first history that has each look."""
        history, place = np.nonzero(self.places >= 0)
        looks, first = np.unique(self.places[history, place], return_index=True)
        found = np.full(len(self.row), -1)
        found[looks] = history[first]
        return found

    def fewer(self, most: int) -> "Looks":
        """At most so many of each history, as spread as before."""
        apart = _apart(self.steps, most)
        every = np.maximum(apart // self.apart, 1)
        kept = np.arange(self.places.shape[1]) * every[:, None]
        inside = np.minimum(kept, self.places.shape[1] - 1)
        places = np.where(kept < self.places.shape[1], np.take_along_axis(self.places, inside, axis=1), -1)
        return replace(self, places=places[:, :most], apart=self.apart * every)

    def at(self, leads: Int[np.ndarray, " lead"]) -> "Looks":
        """At some of the leads alone."""
        place = np.searchsorted(self.leads, leads)
        facts = replace(self.facts, steps=leads, common=self.facts.common[:, place])
        parts = {name: getattr(self, name)[:, place] for name in ("expected", "deviation", "missed")}
        return replace(self, facts=facts, **parts)

    def take(self, histories: Int[np.ndarray, " _"]) -> "Looks":
        """Those of some histories."""
        return replace(self, places=self.places[histories], steps=self.steps[histories], apart=self.apart[histories])

    def known(self, histories: slice) -> Bool[np.ndarray, "history place lead target"]:
        """Which misses some histories know of."""
        places = self.places[histories]
        came = self.row[places][..., None] + self.leads <= self.steps[histories, None, None]
        return (np.isfinite(self.missed[places]) & came[..., None]) & (places >= 0)[..., None, None]

    def weight(self, histories: slice) -> Float[np.ndarray, "history lead"]:
        """What a miss counts: those that share their steps count as many as would fit side by side."""
        looks = np.maximum((self.places[histories] >= 0).sum(1), 1)[:, None]
        shared = self.leads / self.apart[histories, None]
        return 1 / np.clip(shared, 1, looks)


def together(parts: Sequence[Looks]) -> Looks:
    """The looks of several sets of histories as those of one."""
    starts = np.cumsum([0] + [len(part.row) for part in parts])
    places = [np.where(part.places < 0, -1, part.places + start) for part, start in zip(parts, starts, strict=False)]
    return Looks(
        row=np.concatenate([part.row for part in parts]),
        facts=replace(
            parts[0].facts,
            **{
                name: np.concatenate([getattr(part.facts, name) for part in parts]) for name in ("common", "own", "row")
            },
        ),
        expected=np.concatenate([part.expected for part in parts]),
        deviation=np.concatenate([part.deviation for part in parts]),
        missed=np.concatenate([part.missed for part in parts]),
        places=np.concatenate(places),
        steps=np.concatenate([part.steps for part in parts]),
        apart=np.concatenate([part.apart for part in parts]),
    )


def width(drawn: Float[np.ndarray, "member draw case step target"]) -> Float[np.ndarray, "case step target"]:
    """Deviation of the futures of a member, in the mean over members: what misses are measured in.

    A tumour that is nearly gone is missed by less than a large one.
    """
    return np.maximum(np.sqrt(drawn.var(1, dtype=np.float64).mean(0)), LEAST)


def look_back(
    network: Network, encoding: Encoding, histories: Episodes, most: int = LOOKS, *, every_step: bool = False
) -> Looks:
    """Look ahead from evenly spread rows of each history, at most so many of each; at the usual leads, or each step."""
    horizon = network.config.horizon
    leads = np.arange(1, horizon + 1) if every_step else leads_of(horizon)
    slow = isinstance(network, Autoregressive)
    most, futures = (min(most, SLOW[0]), SLOW[1]) if slow else (most, FUTURES)
    longest, whose = families(histories)
    steps = np.array([history.steps for history in histories])
    apart = _apart(steps, most)
    places, origins = _shared(whose, steps, apart, most)
    longer = tuple(lengthened(episode, horizon, encoding.scaling.step) for episode in longest)
    table = tabulate(Episodes(histories.schema, longer), encoding)
    rows = table.starts[origins[:, 0]] + origins[:, 1]
    draws = max(2, min(network.config.draws, -(-futures // network.config.members)))
    nothing = np.zeros((1, draws, 0, horizon, len(encoding.schema.targets)))
    drawn = draw_at(network, table, rows, encoding, draws=draws, seed=0) if len(rows) else nothing
    expected, came = drawn.mean((0, 1), dtype=np.float64)[:, leads - 1], rows[:, None] + leads
    deviation = width(drawn)[:, leads - 1]
    missed = (table.targets[came] - expected) / deviation
    missed[..., [target.kind != "continuous" for target in encoding.schema.targets]] = np.nan
    targets = list(encoding.schema.target_indices)
    seen = np.concatenate([last_seen(episode.observations[:, targets])[0] for episode in longer])[rows]
    then = table.history[came][..., memory_columns(encoding)]
    facts = Terms.joined(leads, table.history[rows], then, encode_targets(seen, encoding), encoding)
    return Looks(origins[:, 1], facts, expected, deviation, missed, places, steps, apart)


def _apart(steps: Int[np.ndarray, " history"], most: int) -> Int[np.ndarray, " history"]:
    """Rows between two looks of each history, so that there are at most so many: powers of two, to be shared."""
    return 2 ** np.ceil(np.log2(np.maximum(steps / most, 1))).astype(int)


def _shared(
    whose: Int[np.ndarray, " history"],
    steps: Int[np.ndarray, " history"],
    apart: Int[np.ndarray, " history"],
    most: int,
) -> tuple[Int[np.ndarray, "history place"], Int[np.ndarray, "look 2"]]:
    """Which looks each history has, and the family and row that each of these is taken from."""
    found: dict[tuple[int, int], int] = {}
    places = np.full((len(whose), most), -1)
    for index, (family, last, gap) in enumerate(zip(whose.tolist(), steps.tolist(), apart.tolist(), strict=True)):
        for place, row in enumerate(range(0, last, gap)):
            places[index, place] = found.setdefault((family, row), len(found))
    return places, np.array(list(found), int).reshape(-1, 2)


def families(histories: Episodes) -> tuple[tuple[Episode, ...], Int[np.ndarray, " history"]]:
    """The longest of all histories that begin alike, and to which of these each belongs."""
    longest: list[Episode] = []
    by_id: dict[str | int, list[int]] = {}
    whose = np.zeros(len(histories), int)
    for index in sorted(range(len(histories)), key=lambda index: -histories[index].steps):
        history = histories[index]
        alike = by_id.setdefault(history.id, [])
        own = next((family for family in alike if _begins(longest[family], history)), None)
        if own is None:
            own = len(longest)
            longest.append(history)
            alike.append(own)
        whose[index] = own
    return tuple(longest), whose


def _begins(longer: Episode, history: Episode) -> bool:
    """Whether one history is the beginning of another."""
    rows, steps = len(history.time), history.steps
    pairs = (
        (longer.time[:rows], history.time),
        (longer.observations[:rows], history.observations),
        (longer.actions[:steps], history.actions),
        (longer.known_future[:rows], history.known_future),
        (longer.static, history.static),
    )
    return all(np.array_equal(long, short, equal_nan=True) for long, short in pairs)
