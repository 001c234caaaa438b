"""The predictor: s_t+1 = predict(s_t, a_t, dt, eps_t), the structural equation of the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad, silu, softplus

from foreworld.nets.ensemble import Linear
from foreworld.world.config import FitConfig
from foreworld.world.levels import Levels


@dataclass(frozen=True)
class Drive:
    """All that moves a belief besides itself, step by step; what belongs to a plan is there once for all its draws.

    Attributes:
        entry: what belief and noise are multiplied by on entering.
        moved: what moves add to that.
        noise: of each draw.
        keep, share: what belief and drift are multiplied by.
    """

    entry: Float[Tensor, "member entering entry"]
    moved: Sequence[Float[Tensor, "member batch entry"]]
    noise: Sequence[Float[Tensor, "member drawn noise"]]
    keep: Sequence[Float[Tensor, "member batch latent"]]
    share: Sequence[Float[Tensor, "member batch latent"]]


class Predictor(nn.Module):
    """One transition between beliefs, driven by a move and by exogenous noise eps ~ N(0, I).

    s' = keep s + (1 - exp(-k dt)) size f(s, move, eps), where f is a perceptron with two hidden layers and a linear
    path beside them. Without a leak, keep is one and this is the exact solution of a relaxation at constant rate k: a
    step of any length stays bounded, and a step of length zero stays put. Levels leak, so that they may return to their
    mean, and their size is that of their usual change.
    """

    def __init__(self, config: FitConfig, inputs: int, levels: Levels, *, generator: torch.Generator):
        super().__init__()
        members, self.hidden = config.members, config.hidden
        self.width = levels.count + config.latent
        self.parts = [self.width, inputs, config.noise]
        self.entry = Linear(members, sum(self.parts), self.hidden, generator=generator)
        self.linear = Linear(members, sum(self.parts), self.width, generator=generator, gain=0.0)
        self.inner = Linear(members, self.hidden, self.hidden, generator=generator)
        self.exit = Linear(members, self.hidden, self.width, generator=generator, gain=0.3)
        self.rate = nn.Parameter(torch.zeros(members, 1, self.width))
        leak = torch.log(torch.expm1(-torch.log(torch.tensor(levels.kept))))
        self.leak = nn.Parameter(leak.expand(members, 1, -1).clone())
        self.size = torch.cat([2 * torch.tensor(levels.change), torch.ones(config.latent)])

    def forward(
        self, belief: Float[Tensor, "member drawn latent"], drive: Drive, step: int
    ) -> Float[Tensor, "member drawn latent"]:
        """The belief after one step of a drive; with k times as many beliefs as moves, k draws of each in turn."""
        moved, noise = drive.moved[step], drive.noise[step]
        draws = belief.shape[1] // moved.shape[1]
        entered = torch.baddbmm(moved.repeat(1, draws, 1), torch.cat([belief, noise], dim=-1), drive.entry)
        hidden, linear = entered.split([self.hidden, self.width], dim=-1)
        hidden = silu(self.inner(silu(hidden)))
        drift = torch.baddbmm(linear, hidden, self.exit.weight).unflatten(1, (draws, -1))
        kept = belief.unflatten(1, (draws, -1)) * drive.keep[step][:, None]
        return torch.addcmul(kept, drive.share[step][:, None], drift).flatten(1, 2)

    def drive(
        self,
        moves: Float[Tensor, "member batch step move"],
        elapsed: Float[Tensor, "member batch step"],
        noise: Float[Tensor, "member drawn step noise"],
    ) -> Drive:
        """What moves a belief along a plan."""
        # The first layer and the linear path read the same, so they are one product.
        weight = torch.cat([self.entry.weight, self.linear.weight], dim=2)
        bias = torch.cat([self.entry.bias, self.linear.bias + self.exit.bias], dim=2)
        from_belief, from_move, from_noise = weight.split(self.parts, dim=1)
        moved = torch.baddbmm(bias, moves.flatten(1, 2), from_move).unflatten(1, moves.shape[1:3])
        return Drive(
            torch.cat([from_belief, from_noise], dim=1),
            moved.unbind(2),
            noise.unbind(2),
            self.keep(elapsed).unbind(2),
            self.share(elapsed).unbind(2),
        )

    def keep(self, elapsed: Float[Tensor, "member batch step"]) -> Float[Tensor, "member batch step latent"]:
        """How much of a belief is left by itself after some time: all, but for levels that return to their mean."""
        leak = pad(softplus(self.leak), (0, self.width - self.leak.shape[-1]))
        return torch.exp(-leak[:, :, None] * elapsed[..., None])

    def share(self, elapsed: Float[Tensor, "member batch step"]) -> Float[Tensor, "member batch step latent"]:
        """How much of the drift comes about in some time."""
        return -torch.expm1(-softplus(self.rate)[:, :, None] * elapsed[..., None]) * self.size
