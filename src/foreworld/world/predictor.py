"""The predictor: s_t+1 = predict(s_t, a_t, dt, eps_t), the structural equation of the model."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foreworld.nets.ensemble import MLP
from foreworld.world.config import FitConfig


class Predictor(nn.Module):
    """One transition between beliefs, driven by a move and by exogenous noise eps ~ N(0, I).

    s' = s + (1 - exp(-k dt)) f(s, move, eps): the exact solution of a relaxation at constant rate k, so that a step of
    any length stays bounded and a step of length zero stays put.
    """

    def __init__(self, config: FitConfig, inputs: int, *, generator: torch.Generator):
        super().__init__()
        members, hidden = config.members, config.hidden
        widths = [config.latent + inputs + config.noise, hidden, hidden, config.latent]
        self.drift = MLP(members, widths, generator=generator, gain=0.3)
        self.rate = nn.Parameter(torch.zeros(members, 1, config.latent))

    def forward(
        self,
        belief: Float[Tensor, "member batch latent"],
        move: Float[Tensor, "member batch move"],
        elapsed: Float[Tensor, "member batch"],
        noise: Float[Tensor, "member batch noise"],
    ) -> Float[Tensor, "member batch latent"]:
        drift = self.drift(torch.cat([belief, move, noise], dim=-1))
        share = -torch.expm1(-nn.functional.softplus(self.rate) * elapsed[..., None])
        return torch.addcmul(belief, share, drift)
