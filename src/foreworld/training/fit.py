"""From episodes to a trained, calibrated ensemble."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from foreworld.allocator import keep_large_allocations
from foreworld.data.episodes import Episodes
from foreworld.data.scaling import Encoding, fit_scaling
from foreworld.data.tabulate import tabulate
from foreworld.errors import TrainingError
from foreworld.training.checkpoint import Checkpoint, run_key
from foreworld.training.loop import Log, Trainer
from foreworld.training.progress import progress_bar
from foreworld.world.build import Network
from foreworld.world.config import FitConfig


@dataclass(frozen=True)
class Trained:
    """What training gives.

    Attributes:
        config: as used, with context and horizon cut to what the episodes allow.
        network: the averaged weights, of the step at which they did best on the episodes left out.
        encoding: scaling measured on the episodes.
        held_out: for each member, the positions of the episodes that it never saw.
        log: metrics by step.
    """

    config: FitConfig
    network: Network
    encoding: Encoding
    held_out: list[Int[np.ndarray, " _"]]
    log: Log


def train(
    data: Episodes, config: FitConfig, *, seed: int, checkpoint: Path | None = None, progress: bool | None = None
) -> Trained:
    """Train an ensemble in which each member leaves out its own share of the episodes.

    Raises:
        TrainingError: fewer than two episodes with a transition, a diverged loss, or a checkpoint of another run.
    """
    keep_large_allocations()
    lengths = np.array([episode.steps for episode in data])
    if (lengths > 0).sum() < 2:
        raise TrainingError(
            f"training needs at least 2 episodes of 2 rows or more, and {int((lengths > 0).sum())} is here: "
            "one part is held out for calibration"
        )
    config = fitting(config, lengths)
    encoding = Encoding(data.schema, fit_scaling(data), config.memory)
    held_out = folds(lengths, config.members, seed)
    shown_to = [np.setdiff1d(np.arange(len(data)), fold) for fold in held_out]
    trainer = Trainer(config, encoding, tabulate(data, encoding), shown_to, held_out, seed=seed)
    state = None if checkpoint is None else Checkpoint(checkpoint, run_key(config, data, seed))
    with progress_bar("training", config.steps, progress) as report:
        trainer.run(state, report)
    return Trained(config, trainer.best, encoding, held_out, trainer.log)


def fitting(config: FitConfig, lengths: Int[np.ndarray, " episode"]) -> FitConfig:
    """The configuration with horizon and context no longer than what a typical episode holds."""
    typical = int(np.median(lengths[lengths > 0]))
    horizon = max(1, min(config.horizon, (typical + 1) // 2))
    context = max(1, min(config.context, typical + 1 - horizon))
    return config.model_copy(update={"horizon": horizon, "context": context})


def folds(lengths: Int[np.ndarray, " episode"], members: int, seed: int) -> list[Int[np.ndarray, " _"]]:
    """Episodes that each member leaves out; every episode is left out by some member, if there are as many members.

    A member also leaves out a quarter of the next one's share: where two never saw an episode, their disagreement is
    honest, and tells how much better than a member the ensemble is.
    """
    usable = np.random.default_rng([seed, 2]).permutation(np.flatnonzero(lengths > 0))
    parts = np.array_split(usable, min(max(members, 2), len(usable)))
    shared = [part[: len(part) // 4] if members > 1 else part[:0] for part in parts]
    count = len(parts)
    return [np.sort(np.concatenate([parts[m % count], shared[(m + 1) % count]])) for m in range(members)]
