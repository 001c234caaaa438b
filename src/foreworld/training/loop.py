"""The training loop: plain PyTorch, one deterministic step after another, resumable to the same bits."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int

from foreworld.data.batches import Sampler
from foreworld.data.corruption import Corruption
from foreworld.data.scaling import Encoding
from foreworld.data.tabulate import Table
from foreworld.errors import TrainingError
from foreworld.training.checkpoint import Checkpoint
from foreworld.training.muon import Muon
from foreworld.world.build import OBJECTIVES, build_network
from foreworld.world.config import FitConfig
from foreworld.world.diagnostics import diagnose
from foreworld.world.network import WorldNetwork

LOG_EVERY = 20
SELECT_EVERY = 25
SELECTIONS = 4  # Validation batches that a selection rests on.
TOLERANCE = 0.05  # A later step is preferred unless it is worse by a larger share: it is better annealed.
PATIENCE = 0.3  # Of all steps, without an improvement, after which training ends.
MUON_RATE = 3.0  # Learning rate of matrices, in units of that of all other parameters.
DIAGNOSE_EVERY = 100
Log = list[dict[str, float]]


class Trainer:
    """Trains an ensemble; member k never sees the episodes of its held-out fold.

    All randomness of a step comes from (seed, step), so the state that a checkpoint must keep is weights, optimiser,
    averaged weights, the best of these, step and log, and nothing else.
    """

    def __init__(
        self,
        config: FitConfig,
        encoding: Encoding,
        table: Table,
        train: list[Int[np.ndarray, " _"]],
        held_out: list[Int[np.ndarray, " _"]],
        *,
        seed: int,
    ):
        self.config, self.seed = config, seed
        self.network, self.average, self.best = (
            build_network(config, encoding, seed=seed, table=table) for _ in range(3)
        )
        self.average.requires_grad_(False)
        self.best.requires_grad_(False)
        self.best_score, self.best_step = float("inf"), 0
        matrices = [p for name, p in self.network.named_parameters() if name.endswith("weight")]
        others = [p for name, p in self.network.named_parameters() if not name.endswith("weight")]
        self.optimisers = (
            Muon(matrices, lr=config.learning_rate, weight_decay=config.weight_decay / MUON_RATE),
            torch.optim.AdamW(others, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, foreach=True),
        )
        size = config.model_dump(include={"batch", "anchors", "context", "horizon"})
        corruption = Corruption(encoding, noisy=config.noisy, gappy=config.gappy)
        self.sampler = Sampler(table, train, **size, seed=seed, jitter=config.jitter, corruption=corruption)
        self.validation = Sampler(table, held_out, **size, seed=seed + 1)
        self.step = 0
        self.log: Log = []

    def run(
        self, checkpoint: Checkpoint | None = None, report: Callable[[int, dict[str, float]], None] | None = None
    ) -> None:
        """Train to the last step, resuming from the checkpoint if it holds one.

        Raises:
            TrainingError: the loss is not finite, or the checkpoint belongs to another run.
        """
        if checkpoint is not None:
            checkpoint.restore(self)
        sums: dict[str, float] = {}
        while not self.finished:
            terms = self._update()
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
            self.step += 1
            if self.step % SELECT_EVERY == 0 or self.step == self.config.steps:
                self._select()
            if self.step % LOG_EVERY == 0 or self.finished:
                count = (self.step - 1) % LOG_EVERY + 1
                row = {"step": float(self.step), **{name: total / count for name, total in sums.items()}}
                sums = {}
                if self.step % DIAGNOSE_EVERY == 0 or self.finished:
                    row |= self._validate()
                self.log.append(row)
                if checkpoint is not None:
                    checkpoint.save(self)
            if report is not None:
                report(self.step, self.log[-1] if self.log else {})

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or the episodes left out have gained nothing for long."""
        patience = max(PATIENCE * self.config.steps, SELECT_EVERY)
        return self.step == self.config.steps or self.step - self.best_step > patience

    @torch.enable_grad()  # Whoever calls may have switched gradients off.
    def _update(self) -> dict[str, float]:
        rng = np.random.default_rng([self.seed, self.step, 1])
        # Short rollouts are cheap and cover the first steps; long ones are what is asked of the model.
        longest = self.config.horizon
        horizon = longest if rng.random() < 0.3 else int(rng.integers(1, longest + 1))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        for optimiser, rate in zip(self.optimisers, (MUON_RATE, 1.0), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * self._learning_rate()
        terms = OBJECTIVES[self.config.objective].loss(
            self.network, self.sampler.batch(self.step, horizon), self.config, generator
        )
        self.network.zero_grad(set_to_none=True)
        loss = terms["loss"].sum()
        if not bool(torch.isfinite(loss)):
            raise TrainingError(f"the loss is not finite at step {self.step}: try a lower learning rate")
        loss.backward()
        self._clip()
        for optimiser in self.optimisers:
            optimiser.step()
        keep = min(self.config.averaging, (1 + self.step) / (10 + self.step))
        for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
            kept.lerp_(new.detach(), 1 - keep)
        return {name: float(value.detach().mean()) for name, value in terms.items()}

    def _learning_rate(self) -> float:
        """Linear warm-up over 3% of the steps, then a cosine to zero."""
        warm = max(1, round(0.03 * self.config.steps))
        if self.step < warm:
            return self.config.learning_rate * (self.step + 1) / warm
        progress = (self.step - warm) / max(1, self.config.steps - warm)
        return self.config.learning_rate * 0.5 * (1 + float(np.cos(np.pi * progress)))

    def _clip(self, limit: float = 1.0) -> None:
        """Clip the gradient norm of each member on its own, so that members stay independent."""
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
        factor = (limit / norm.clamp(min=1e-12)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor.reshape(-1, *[1] * (gradient.dim() - 1)))

    @torch.no_grad()
    def _select(self) -> None:
        """Keep the averaged weights if they do about as well as ever on the episodes that each member leaves out."""
        scores = []
        for index in range(SELECTIONS):
            batch, generator = self.validation.batch(index, self.config.horizon), torch.Generator().manual_seed(index)
            terms = OBJECTIVES[self.config.objective].loss(self.average, batch, self.config, generator)
            scores.append(float(terms["forecast"].mean()))
        score = float(np.mean(scores))
        if score <= self.best_score + TOLERANCE * abs(self.best_score):
            self.best_score, self.best_step = min(score, self.best_score), self.step
            self.best.load_state_dict(self.average.state_dict())

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Score of the averaged weights on held-out episodes, and the collapse diagnostics."""
        batch = self.validation.batch(0, self.config.horizon)
        generator = torch.Generator().manual_seed(0)
        terms = OBJECTIVES[self.config.objective].loss(self.average, batch, self.config, generator)
        measured = diagnose(self.average, batch) if isinstance(self.average, WorldNetwork) else {}
        return {"validation": float(terms["forecast"].mean())} | measured
