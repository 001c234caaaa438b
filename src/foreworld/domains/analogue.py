"""Forecasting by analogues: what followed the past states that were most like the present one, under a like plan.

E. N. Lorenz, "Atmospheric predictability as revealed by naturally occurring analogues", J. Atmos. Sci. 26, 1969.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from jaxtyping import Float, Float32, Int

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan, cut
from foreworld.data.schema import Schema
from foreworld.errors import QuestionError, TrainingError

LIBRARY, JUDGES = 12_000, 300  # past states, and questions that searches are judged by
EDGES = (0, 2, 4, 8, 16, 32)  # steps: leads between two of these share their analogues
RECENT, TAIL = 48, 4  # rows of the past, and steps of the plan before a lead, that are averaged
NEIGHBOURS, WEIGHTS = (10, 20, 50, 120, 300), (0.0, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Search:
    """How the analogues of one block of leads are found.

    Attributes:
        stop: the lead after the last of the block.
        neighbours: how many analogues.
        past, plan: weights of what went before and of what will be done, against the present observations.
    """

    stop: int
    neighbours: int
    past: float
    plan: float


@dataclass(frozen=True)
class Analogue:
    """An ensemble of analogues: continuations of the nearest past states, with a search of its own for each lead.

    Three blocks of standardised numbers are compared: the present observations; the row before and the means of
    observations and actions over the last rows; the plan's mean up to a lead and over the last steps before it. A
    missing value counts as the mean. The weights and the number of neighbours are those with the least CRPS on a fifth
    of the training episodes, searched for in the others.

    Attributes:
        schema: of the training data.
        horizon: longest that it can look ahead.
        present, past: features of the library.
        actions: what was done over the horizon.
        future: the targets that followed.
        searches: one for each block of leads.
    """

    schema: Schema
    horizon: int
    present: Float[np.ndarray, "case column"]
    past: Float[np.ndarray, "case feature"]
    actions: Float[np.ndarray, "case step action"]
    future: Float[np.ndarray, "case step target"]
    searches: tuple[Search, ...]

    @classmethod
    def fit(cls, episodes: Episodes, horizon: int) -> "Analogue":
        """Keep evenly spread past states, and choose how to search them.

        Raises:
            TrainingError: fewer than two episodes are longer than the horizon.
        """
        from foreworld.evidence.evaluate import origins

        long = [place for place, episode in enumerate(episodes) if episode.steps > horizon]
        if len(long) < 2:
            raise TrainingError(f"analogues need two episodes of more than {horizon} steps, and there are {len(long)}")
        judging = long[:: max(min(5, len(long)), 2)]
        parts = []
        for places, limit in (([p for p in long if p not in judging], LIBRARY), (judging, JUDGES), (long, LIBRARY)):
            some = episodes.take(places)
            parts.append(cut(some, origins(some, context=2, horizon=horizon, limit=limit), horizon))
        rest, judges, everything = parts
        edges = [edge for edge in EDGES if edge < horizon] + [horizon]
        scout = cls(episodes.schema, horizon, *_gather(rest.histories), rest.plan.actions, rest.truth, ())
        searches = tuple(
            scout._choose(judges.histories, judges.plan, judges.truth, *block) for block in pairwise(edges)
        )
        features = _gather(everything.histories)
        return cls(episodes.schema, horizon, *features, everything.plan.actions, everything.truth, searches)

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """Sampled futures of the targets in native units: continuations of analogues drawn at random.

        Raises:
            QuestionError: the plan is longer than the horizon.
        """
        if plan.horizon > self.horizon:
            raise QuestionError(f"the plan has {plan.horizon} steps, but this baseline was fitted for {self.horizon}")
        ranks = np.random.default_rng(seed).random((members, len(histories)))
        samples = np.empty((members, *plan.time.shape, self.future.shape[2]))
        start = 0
        for search in self.searches:
            leads = slice(start, min(search.stop, plan.horizon))
            if leads.start < leads.stop:
                nearest = self._nearest(self._distances(histories, plan, leads.stop), search)
                chosen = np.take_along_axis(nearest.T, (ranks * nearest.shape[1]).astype(np.int64), axis=0)
                samples[:, :, leads] = self.future[chosen, leads]
            start = search.stop
        return samples

    def _choose(
        self, histories: Episodes, plan: Plan, truth: Float[np.ndarray, "case step target"], start: int, stop: int
    ) -> Search:
        from foreworld.evidence.metrics import crps

        spread = np.nanstd(self.future[:, start:stop], axis=(0, 1))
        distances = self._distances(histories, plan, stop)
        scores = {}
        for past, weight in product(WEIGHTS, WEIGHTS):
            widest = self._nearest(distances, Search(stop, max(NEIGHBOURS), past, weight))
            for neighbours in NEIGHBOURS:
                found = self.future[widest[:, :neighbours].T, start:stop]
                score = np.nanmean(crps(found, truth[:, start:stop]) / np.where(spread > 0, spread, 1.0))
                scores[Search(stop, neighbours, past, weight)] = score
        return min(scores, key=lambda search: scores[search])

    def _distances(self, histories: Episodes, plan: Plan, lead: int) -> tuple[Float32[np.ndarray, "case library"], ...]:
        """Mean squared differences of the present, of the past and of the plan."""
        present, past = _gather(histories)
        library = _planned(self.actions, lead)
        pairs = ((present, self.present), (past, self.past), (_planned(plan.actions, lead), library))
        return tuple(_squares(asked, kept) for asked, kept in pairs)

    def _nearest(
        self, distances: Sequence[Float32[np.ndarray, "case library"]], search: Search
    ) -> Int[np.ndarray, "case neighbour"]:
        """Positions in the library, nearest first."""
        present, past, plan = distances
        total = present + np.float32(search.past**2) * past + np.float32(search.plan**2) * plan
        count = min(search.neighbours, total.shape[1])
        nearest = np.argpartition(total, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(total, nearest, axis=1), axis=1, kind="stable")
        return np.take_along_axis(nearest, order, axis=1)


def _gather(histories: Episodes) -> tuple[Float[np.ndarray, "case column"], Float[np.ndarray, "case feature"]]:
    """The present observations, and what went before: in native units, missing values as NaN."""
    rows = [_features(episode) for episode in histories]
    return np.stack([present for present, _ in rows]), np.stack([past for _, past in rows])


def _features(episode: Episode) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " feature"]]:
    last, before = episode.observations[-1], episode.observations[max(len(episode.observations) - 2, 0)]
    parts = [before]
    for rows, recent in ((episode.observations, RECENT), (episode.actions, RECENT), (episode.actions, TAIL)):
        seen = np.isfinite(rows[-recent:])
        total = np.where(seen, rows[-recent:], 0.0).sum(axis=0)
        parts.append(np.where(seen.any(axis=0), total / np.maximum(seen.sum(axis=0), 1), np.nan))
    return last, np.concatenate(parts)


def _planned(actions: Float[np.ndarray, "case step action"], lead: int) -> Float[np.ndarray, "case feature"]:
    return np.concatenate([actions[:, :lead].mean(axis=1), actions[:, max(lead - TAIL, 0) : lead].mean(axis=1)], axis=1)


def _squares(
    asked: Float[np.ndarray, "case column"], kept: Float[np.ndarray, "library column"]
) -> Float32[np.ndarray, "case library"]:
    """Mean squared differences, in units of the library's standard deviations."""
    seen = np.isfinite(kept)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, kept, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(seen, (kept - mean) ** 2, 0.0).sum(axis=0) / count)
    scale = np.where(spread > 0, spread, np.inf) * np.sqrt(max(kept.shape[1], 1))
    a, b = (np.nan_to_num((values - mean) / scale).astype(np.float32) for values in (asked, kept))
    return np.maximum(np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * (a @ b.T), 0)
