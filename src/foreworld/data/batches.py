"""Training batches: random stretches of the episodes, and random rows in them from which the future is imagined."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foreworld.data.corruption import LEAD, Corruption
from foreworld.data.tabulate import Table


@dataclass(frozen=True)
class Batch:
    """Stretches of `time` rows, and for each of them some anchor rows with the moves that follow.

    Attributes:
        history: encoder inputs of each row, in a share of the stretches with noise and gaps in what is seen.
        recorded: the same without.
        valid: which rows exist; an episode may end before its stretch does.
        targets: scaled targets of each row, NaN where missing.
        anchors: rows from which rollouts start.
        moves, elapsed: predictor inputs of the steps after each anchor.
        reached: which of these steps lead to a row that exists.
    """

    history: Float[Tensor, "member batch time history"]
    recorded: Float[Tensor, "member batch time history"]
    valid: Bool[Tensor, "member batch time"]
    targets: Float[Tensor, "member batch time target"]
    anchors: Int[Tensor, "member batch anchor"]
    moves: Float[Tensor, "member batch anchor step move"]
    elapsed: Float[Tensor, "member batch anchor step"]
    reached: Bool[Tensor, "member batch anchor step"]

    def ahead(self, rows: Float[Tensor, "member batch time value"]) -> Float[Tensor, "member batch anchor step value"]:
        """The values of the rows that each rollout step leads to."""
        steps = torch.arange(1, self.moves.shape[3] + 1)
        index = (self.anchors[..., None] + steps).clamp(max=rows.shape[2] - 1)
        flat = index.flatten(2)[..., None].expand(-1, -1, -1, rows.shape[-1])
        return rows.gather(2, flat).unflatten(2, index.shape[2:])

    def existing(self, rows: Float[Tensor, "member batch time value"]) -> Float[Tensor, "member sample value"]:
        """The values of the rows that exist, in one line a member, all cut to the length of the shortest."""
        flat, valid = rows.flatten(1, 2), self.valid.flatten(1)
        if bool(valid.all()):
            return flat
        count = int(valid.sum(1).min())
        index = torch.stack([present.nonzero()[:count, 0] for present in valid])
        return flat.gather(1, index[..., None].expand(-1, -1, flat.shape[-1]))


@dataclass(frozen=True)
class Stretches:
    """Where the stretches of a batch lie in the table, and their anchors.

    Attributes:
        begin: first row of each, in the table.
        rows: how many there are.
        before: how many rows of the same episode come before.
        anchors: rows from which rollouts start, counted from the first.
    """

    begin: Int[np.ndarray, "member batch"]
    rows: Int[np.ndarray, "member batch"]
    before: Int[np.ndarray, "member batch"]
    anchors: Int[np.ndarray, "member batch anchor"]


class Sampler:
    """Draws batches for all members, each from its own episodes. The batch of a step depends on seed and step alone.

    `jitter` is the standard deviation of noise on the continuous static facts, which are scaled; `corruption` what is
    wrong with some of the histories.
    """

    def __init__(
        self,
        table: Table,
        folds: list[Int[np.ndarray, " _"]],
        *,
        batch: int,
        anchors: int,
        context: int,
        horizon: int,
        seed: int,
        jitter: float = 0.0,
        corruption: Corruption | None = None,
    ):
        self.facts, self.jitter, self.corruption = table.facts, jitter, corruption
        self.size, self.anchors, self.context, self.span = batch, anchors, context, context + horizon
        self.seed = seed
        self.history = torch.from_numpy(table.history)
        self.moves = torch.from_numpy(table.moves)
        self.elapsed = torch.from_numpy(table.elapsed)
        self.targets = torch.from_numpy(table.targets)
        self.starts, self.lengths = table.starts, table.lengths
        self.folds = [fold[table.lengths[fold] > 1] for fold in folds]

    def batch(self, step: int, horizon: int) -> Batch:
        """The batch of a training step, with rollouts of `horizon` steps."""
        rng = np.random.default_rng([self.seed, step])
        stretches = self._draw(horizon, rng)
        drawn = self._gather(stretches, horizon)
        if self.jitter:
            self._jitter(drawn, rng)
        if self.corruption is not None:
            drawn = self._corrupt(drawn, self.corruption, stretches, rng)
        return drawn

    def _draw(self, horizon: int, rng: np.random.Generator) -> Stretches:
        drawn = []
        for fold in self.folds:
            chance = (self.lengths[fold] - 1).astype(float)
            chosen = rng.choice(fold, size=self.size, p=chance / chance.sum())
            slack = np.maximum(self.lengths[chosen] - self.span, 0)
            before = rng.integers(0, slack + 1)
            rows = np.minimum(self.lengths[chosen] - before, self.span)
            # Rising density: most questions come with a long history, some with hardly any.
            latest = np.maximum(rows - 1 - horizon, np.minimum(rows - 2, self.context - 1)).clip(0)
            share = np.sqrt(rng.random((self.size, self.anchors)))
            anchors = np.minimum(share * (latest[:, None] + 1), latest[:, None]).astype(np.int64)
            drawn.append((self.starts[chosen] + before, rows, before, anchors))
        return Stretches(*(np.stack(parts) for parts in zip(*drawn, strict=True)))

    def _jitter(self, batch: Batch, rng: np.random.Generator) -> None:
        """Move the static facts of each stretch a little, lest a few dozen patients are told apart by weight alone."""
        noise = rng.normal(0, self.jitter, (*batch.history.shape[:2], len(self.facts.moves)))
        offset = torch.from_numpy(noise.astype(np.float32))
        batch.history[..., self.facts.history] += offset[:, :, None]
        batch.moves[..., self.facts.moves] += offset[:, :, None, None]

    def _corrupt(self, batch: Batch, corruption: Corruption, stretches: Stretches, rng: np.random.Generator) -> Batch:
        """See some of the stretches as practice would have them; what they are to foretell stays as it was."""
        noisy, gappy = corruption.chosen(stretches.begin.shape, rng)
        which = noisy | gappy
        begin, rows, before = (part[which][:, None] for part in (stretches.begin, stretches.rows, stretches.before))
        time = np.arange(-LEAD, self.span)
        places = torch.from_numpy(begin + np.clip(time, -before, rows - 1))
        seen, changes = corruption(self.history[places], time >= -before, noisy[which], gappy[which], rng)
        history, place = batch.history.clone(), torch.from_numpy(which)
        history[..., : seen.shape[-1]][place] = seen
        history[..., history.shape[-1] - changes.shape[-1] :][place] = changes
        return replace(batch, history=history)

    def _gather(self, stretches: Stretches, horizon: int) -> Batch:
        begin, last = stretches.begin[..., None], stretches.rows[..., None] - 1
        time = np.arange(self.span)
        rows = torch.from_numpy(begin + np.minimum(time, last))
        steps = stretches.anchors[..., None] + np.arange(horizon)
        ahead = torch.from_numpy(begin[..., None] + np.minimum(steps, last[..., None]))
        history = self.history[rows]
        return Batch(
            history=history,
            recorded=history,
            valid=torch.from_numpy(time <= last),
            targets=self.targets[rows],
            anchors=torch.from_numpy(stretches.anchors),
            moves=self.moves[ahead],
            elapsed=self.elapsed[ahead],
            reached=torch.from_numpy(steps < last[..., None]),
        )
