"""Everything that tells a surprising row from an ordinary one, measured on held-out trajectories when a model is fitted.

There is one stream of normal scores for each observed channel, and one for the belief: how far the belief that a row
led to is from the predicted ones, in units of their spread and of the usual errors (Mahalanobis distance).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.episodes import Episodes
from foreworld.data.scaling import Encoding
from foreworld.data.schema import Variable
from foreworld.data.tabulate import Table, tabulate
from foreworld.reasoning.held_out import only
from foreworld.reasoning.surprise.alarm import Watch
from foreworld.reasoning.surprise.expect import Expectation, Expected, Rows, encode_units, fit_expectation, inputs
from foreworld.reasoning.surprise.habits import Habits
from foreworld.reasoning.surprise.look import Looks, leaving, look
from foreworld.reasoning.surprise.ranks import Ranks
from foreworld.world.network import WorldNetwork

LEARN = 8_000  # Steps that a member's expectations are fitted to.
HELD_OUT = 60_000  # Steps in all that ranks and thresholds are measured on: rare alarms have to be counted.
ROWS = 10_000  # Steps that are held against expectations at a time.
SHRINK = 0.02  # Of the correlation of belief errors, towards none.
LEAST_SPREAD = 1e-3  # Of predicted beliefs, which are of order one.


@dataclass(frozen=True)
class Distance:
    """How far beliefs are from the predicted ones.

    Attributes:
        offset: usual error, in units of the predicted spread.
        whiten: what makes the errors in these units uncorrelated and of variance one.
    """

    offset: Float[np.ndarray, "member latent"]
    whiten: Float[np.ndarray, "member latent latent"]

    @classmethod
    def fit(cls, looks: Looks) -> "Distance":
        """Measure the errors of one member."""
        error = _belief_error(looks)[0].astype(np.float64)
        covariance = np.cov(error, rowvar=False).reshape(error.shape[1], -1)
        spread = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
        correlation = (1 - SHRINK) * covariance / np.outer(spread, spread) + SHRINK * np.eye(len(spread))
        whiten = np.linalg.inv(np.linalg.cholesky(correlation)).T / spread[:, None]
        return cls(error.mean(0)[None].astype(np.float32), whiten[None].astype(np.float32))

    def __call__(self, looks: Looks) -> Float[np.ndarray, "member step"]:
        """Root mean square over dimensions: one, for errors like those it was measured on."""
        white = (_belief_error(looks) - self.offset[:, None]) @ self.whiten
        return np.sqrt(np.square(white).mean(-1))


def _belief_error(looks: Looks) -> Float[np.ndarray, "member step latent"]:
    return ((looks.after - looks.mean) / looks.spread.clamp(min=LEAST_SPREAD)).numpy()


@dataclass(frozen=True)
class Seen:
    """Trajectories, what was expected of them, and how far from it they were.

    Attributes:
        table: the trajectories.
        looks: at every step.
        expected: of every unit.
        units: what came.
        scores: before calibration: the observed channels in their order, then the belief.
    """

    table: Table
    looks: Looks
    expected: Expected
    units: Float[np.ndarray, "step unit"]
    scores: Float[np.ndarray, "member step stream"]


@dataclass(frozen=True)
class Monitor:
    """What was measured.

    Attributes:
        expectation: of every channel.
        distance: of beliefs.
        ranks: of the scores of each stream.
        narrow: deviation of the mean of the members' normal scores, as a share of that of the mean of two.
        pooled: ranks of the mean of two.
        habits: of trajectories.
        final: ranks of each stream's normal scores, given what its trajectory is used to.
        watch: thresholds.
        complete: which observed channels were never missing in training.
    """

    expectation: Expectation
    distance: Distance
    ranks: tuple[Ranks, ...]
    narrow: tuple[float, ...]
    pooled: tuple[Ranks, ...]
    habits: Habits
    final: tuple[Ranks, ...]
    watch: Watch
    complete: tuple[bool, ...]

    def see(self, network: WorldNetwork, encoding: Encoding, data: Episodes, *, seed: int) -> Seen:
        """Look at trajectories."""
        return see(network, encoding, data, self.expectation, self.distance, seed=seed)

    def normal(self, scores: Float[np.ndarray, "member step stream"]) -> Float[np.ndarray, "step stream"]:
        """Standard normal scores of the ensemble: the mean of the members', which is narrower than any of them."""
        return rank(rank(scores, self.ranks).mean(0) / np.array(self.narrow), self.pooled)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and settings, from which `from_state` makes it again."""
        settings = {name: [one.model_dump() for one in getattr(self, name)] for name in ("ranks", "pooled", "final")}
        settings |= {name: getattr(self, name).model_dump() for name in ("habits", "watch")}
        return vars(self.expectation) | vars(self.distance), settings | {
            "narrow": list(self.narrow),
            "complete": list(self.complete),
        }

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> "Monitor":
        """The monitor with this state; KeyError or ValueError for what is none."""
        return cls(
            expectation=Expectation(arrays["centre"], arrays["scale"], arrays["weights"]),
            distance=Distance(arrays["offset"], arrays["whiten"]),
            ranks=tuple(Ranks.model_validate(one) for one in settings["ranks"]),
            narrow=tuple(float(share) for share in settings["narrow"]),
            pooled=tuple(Ranks.model_validate(one) for one in settings["pooled"]),
            habits=Habits.model_validate(settings["habits"]),
            final=tuple(Ranks.model_validate(one) for one in settings["final"]),
            watch=Watch.model_validate(settings["watch"]),
            complete=tuple(bool(flag) for flag in settings["complete"]),
        )


def see(
    network: WorldNetwork,
    encoding: Encoding,
    data: Episodes,
    expectation: Expectation,
    distance: Distance,
    *,
    seed: int,
) -> Seen:
    """Look at trajectories, and say how far each row is from what was expected of it."""
    table = tabulate(data, encoding)
    looks = look(network, encoding, table, seed=seed)
    steps = looks.mean.shape[1]
    parts = [expectation(inputs(looks, table, slice(at, at + ROWS))) for at in range(0, max(steps, 1), ROWS)]
    expected = Expected(*(np.concatenate([getattr(part, name) for part in parts], 1) for name in ("mean", "width")))
    units = _units(data, encoding, table)
    scores = expected.scores(units, distance(looks), encoding.schema.observations)
    return Seen(table, looks, expected, units, scores)


def fit_monitor(
    network: WorldNetwork, encoding: Encoding, data: Episodes, held_out: list[Int[np.ndarray, " _"]], *, seed: int
) -> Monitor:
    """Fit what each member expects to episodes it was trained on, and rank what it finds in those it left out."""
    rng = np.random.default_rng([seed, 4])
    asked = {tuple(fold.tolist()): member for member, fold in enumerate(held_out)}
    parts, found = [], {}
    for member, fold in enumerate(held_out):
        alone = only(network, encoding, member)
        shown = excerpt(data, np.setdiff1d(np.arange(len(data)), fold), LEARN, rng)[1]
        places, left = excerpt(data, fold, HELD_OUT // len(asked), rng)
        parts.append(_fit_member(alone, encoding, shown, left, seed=seed + member))
        if asked[tuple(fold.tolist())] == member:
            seen = see(alone, encoding, left, *parts[-1], seed=seed + member)
            for place, scores in zip(places, split(seen.scores[0], seen.table), strict=True):
                found.setdefault(place, []).append(scores)
    expectation, distance = (join(one) for one in zip(*parts, strict=True))
    gaps = np.stack([np.isnan(episode.observations).any(0) for episode in data]).any(0)
    calibrated = _calibrate(list(found.values()), len(held_out), encoding)
    return Monitor(expectation, distance, **calibrated, complete=tuple((~gaps).tolist()))


def _fit_member(
    alone: WorldNetwork, encoding: Encoding, shown: Episodes, left: Episodes, *, seed: int
) -> tuple[Expectation, Distance]:
    """What one member expects, and how its beliefs err, from episodes it was shown; those it left out are a check."""
    looked = []
    for episodes in (shown, left):
        table = tabulate(episodes, encoding)
        looked.append((table, look(alone, encoding, table, seed=seed), _units(episodes, encoding, table)))
    distance = Distance.fit(looked[0][1])
    rows = [Rows(inputs(looks, table)[0], units, distance(looks)[0]) for table, looks, units in looked]
    return fit_expectation(*rows), distance


def _calibrate(
    found: Sequence[Sequence[Float[np.ndarray, "step stream"]]], members: int, encoding: Encoding
) -> dict[str, Any]:
    """All that is measured on held-out scores of single members; some trajectories have those of two."""
    every = np.concatenate([scores for both in found for scores in both])
    ranks = tuple(Ranks.fit(stream) for stream in every.T)
    normal = [[rank(scores[None], ranks)[0] for scores in both] for both in found]
    alone = pad([both[0] for both in normal])
    narrow, pooled = pooling(normal, members)
    habits = Habits.fit(alone)
    centre, width = habits.usual(alone)
    fresh = (alone - centre) / width
    final = tuple(Ranks.fit(fresh[..., index].reshape(-1), light=True) for index in range(fresh.shape[-1]))
    return {
        "ranks": ranks,
        "narrow": narrow,
        "pooled": pooled,
        "habits": habits,
        "final": final,
        "watch": Watch.fit(rank(fresh, final), sides(encoding.schema.observations)),
    }


def sides(variables: Sequence[Variable]) -> Bool[np.ndarray, " stream"]:
    """Which streams may be too low as well as too high: those of numbers."""
    return np.array([*(variable.kind == "continuous" for variable in variables), False])


def rank(scores: Float[np.ndarray, "*row stream"], ranks: Sequence[Ranks]) -> Float[np.ndarray, "*row stream"]:
    """Normal scores, stream by stream."""
    return np.stack([one.normal(scores[..., index]) for index, one in enumerate(ranks)], axis=-1)


def pooling(
    normal: Sequence[Sequence[Float[np.ndarray, "step stream"]]], members: int
) -> tuple[tuple[float, ...], tuple[Ranks, ...]]:
    """How the mean of so many members' normal scores is distributed, from the episodes that two of them left out.

    The variance of a mean of M is (1 + (M - 1) r) / M, where r is the correlation of two. The shape is taken from the
    mean of two: its tails are lighter than those of one, whose own slips do not count for so much. Where no two left
    out the same, members are taken for equal.
    """
    twice = [parts for parts in normal if len(parts) == 2]
    if not twice or members == 1:
        every = np.concatenate([parts[0] for parts in normal])
        return (1.0,) * every.shape[1], tuple(Ranks.fit(stream, light=True) for stream in every.T)
    first, second = (np.concatenate([parts[place] for parts in twice]) for place in (0, 1))
    apart = np.nan_to_num(np.square(first - second), nan=0.0)
    correlation = np.clip(1 - apart.sum(0) / np.maximum(np.isfinite(first).sum(0), 1) / 2, 0, 1)
    narrow = np.sqrt((1 + (members - 1) * correlation) / members / ((1 + correlation) / 2))
    return tuple(narrow.tolist()), tuple(Ranks.fit(stream, light=True) for stream in (first + second).T / 2)


def excerpt(
    data: Episodes, episodes: Int[np.ndarray, " episode"], steps: int, rng: np.random.Generator
) -> tuple[list[int], Episodes]:
    """Episodes in random order until they have so many steps between them; a longer one alone is cut short."""
    chosen, total = [], 0
    for index in rng.permutation(episodes).tolist():
        if total >= steps:
            break
        if data[index].steps:
            chosen.append(index)
            total += data[index].steps
    chosen.sort()
    cut = tuple(data[index].until(min(data[index].steps, steps)) for index in chosen)
    return chosen, Episodes(data.schema, cut)


def join(parts: Sequence[Any]) -> Any:
    """The arrays of single members, in one with a leading axis."""
    return type(parts[0])(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def split(steps: Float[np.ndarray, "step stream"], table: Table) -> list[Float[np.ndarray, "_ stream"]]:
    """The steps of each trajectory."""
    return np.split(steps, np.cumsum(table.lengths - 1)[:-1])


def pad(streams: Sequence[Float[np.ndarray, "_ stream"]]) -> Float[np.ndarray, "episode step stream"]:
    """Streams of different lengths in one array, NaN where there is nothing."""
    out = np.full((len(streams), max(map(len, streams)), streams[0].shape[1]), np.nan)
    for index, stream in enumerate(streams):
        out[index, : len(stream)] = stream
    return out


def _units(data: Episodes, encoding: Encoding, table: Table) -> Float[np.ndarray, "step unit"]:
    """What every step led to."""
    observations = np.concatenate([episode.observations for episode in data])
    return encode_units(observations[leaving(table) + 1], encoding)
