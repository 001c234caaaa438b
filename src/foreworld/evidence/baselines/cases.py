"""Training cases for the baselines, and the folds that keep what belongs together on one side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, cut
from foreworld.errors import TrainingError
from foreworld.evidence.baselines.codes import encode
from foreworld.evidence.baselines.past import anchors
from foreworld.evidence.evaluate import origins, subset

FOLDS = 5
FEWEST = 10  # observations of a target at a step ahead


@dataclass(frozen=True)
class Rows:
    """Cases with their answers in numbers that a linear model can weigh: a code a number, or one a category.

    Attributes:
        cases: histories and plans.
        anchor: the last value seen of every target; where none was, the mean over the training cases.
        mean: that mean.
        truth: what happened; NaN where not observed.
        fold: from 0 up; dependent cases share one.
    """

    cases: Cases
    anchor: Float[np.ndarray, "case code"]
    mean: Float[np.ndarray, " code"]
    truth: Float[np.ndarray, "case step code"]
    fold: Int[np.ndarray, " case"]

    def some(self, limit: int) -> "Rows":
        """At most so many cases, evenly spread."""
        if limit >= len(self.fold):
            return self
        index = evenly(len(self.fold), limit)
        cases = subset(self.cases, index.tolist())
        return Rows(cases, self.anchor[index], self.mean, self.truth[index], self.fold[index])


def training_rows(train: Episodes, horizon: int, *, limit: int, seed: int) -> Rows:
    """Cut evenly spread cases out of the training episodes, at most `limit`.

    Raises:
        TrainingError: the episodes are too few or too short, or a target is never observed at some step ahead.
    """
    spread = origins(train, context=1, horizon=horizon, limit=limit, seed=seed)
    block = _blocks(train, spread, horizon)
    spread, block = [origin for origin, b in zip(spread, block, strict=True) if b >= 0], block[block >= 0]
    if len(np.unique(block)) < 2:
        raise TrainingError(
            f"a baseline with a horizon of {horizon} steps needs two episodes of more than {horizon} rows, "
            f"or one of more than {4 * horizon}"
        )
    cases = cut(train, spread, horizon)
    truth = encode(cases.truth, train.schema.targets)
    seen = np.isfinite(truth)
    check_observed(seen, [variable.name for variable in train.schema.targets for _ in range(variable.width)])
    mean = np.where(seen, truth, 0.0).sum(axis=(0, 1)) / seen.sum(axis=(0, 1))
    anchor = anchors(cases.histories)
    return Rows(cases, np.where(np.isnan(anchor), mean, anchor), mean, truth, _folds(block, seed))


def check_observed(seen: Bool[np.ndarray, "case step code"], names: Sequence[str]) -> None:
    """Refuse a target that is hardly ever observed at some step ahead."""
    count = seen.sum(axis=0)
    if (count < FEWEST).any():
        step, code = np.argwhere(count < FEWEST)[0]
        raise TrainingError(
            f"'{names[code]}' is observed {count[step, code]} times {step + 1} steps after another row of the training "
            f"data, and a baseline needs at least {FEWEST} such pairs"
        )


def evenly(rows: int, limit: int) -> Int[np.ndarray, " row"]:
    """At most so many of the rows, evenly spread."""
    return np.linspace(0, rows - 1, min(rows, limit)).round().astype(int)


def hot_deck(paths: Float[np.ndarray, "case *shape"], seed: int) -> Float[np.ndarray, "case *shape"]:
    """Fill each missing entry with one drawn from its column: paths are whole wherever they were observed."""
    rng = np.random.default_rng(seed)
    filled = paths.copy()
    flat = filled.reshape(len(paths), -1)
    for index in np.flatnonzero(np.isnan(flat).any(axis=0)):
        missing = np.isnan(flat[:, index])
        flat[missing, index] = rng.choice(flat[~missing, index], missing.sum())
    return filled


def _blocks(train: Episodes, spread: list[tuple[int, int]], horizon: int) -> Int[np.ndarray, " case"]:
    """What each case belongs to: its episode, or, where episodes are few, a stretch of one.

    A stretch is separated from the next by dropping (-1) the cases that look beyond its end.
    """
    parts = -(-FOLDS // len(train))
    episode, row = np.array(spread, dtype=int).reshape(-1, 2).T
    rows = np.array([member.steps + 1 for member in train])
    stretches = np.clip(rows // (2 * horizon), 1, parts)
    size = (rows / stretches)[episode]
    block = (row // size).astype(int)
    return np.where(block == (row + horizon) // size, episode * parts + block, -1)


def _folds(block: Int[np.ndarray, " case"], seed: int) -> Int[np.ndarray, " case"]:
    names, index = np.unique(block, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return order[index] % min(FOLDS, len(names))
