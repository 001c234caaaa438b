"""The JEPA objective with a slowly moving copy of the encoder as its target, as in BYOL (Grill et al. 2020)."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor

from foreworld.data.scaling import Encoding
from foreworld.world.config import FitConfig
from foreworld.world.network import WorldNetwork

MOMENTUM = 0.99


class TeacherNetwork(WorldNetwork):
    """The world model, with a copy of its encoder that no gradient reaches and that follows at every training step."""

    def __init__(self, config: FitConfig, encoding: Encoding, *, seed: int):
        super().__init__(config, encoding, seed=seed)
        self.teacher = copy.deepcopy(self.encoder).requires_grad_(False)

    @torch.no_grad()
    def goals(
        self, history: Float[Tensor, "member batch time inputs"], beliefs: Float[Tensor, "member batch time latent"]
    ) -> Float[Tensor, "member batch time latent"]:
        """The teacher's beliefs."""
        # Where beliefs carry a gradient this is a training step, and not one of validation.
        if beliefs.requires_grad:
            for slow, fast in zip(self.teacher.parameters(), self.encoder.parameters(), strict=True):
                slow.lerp_(fast, 1 - MOMENTUM)
        return self.teacher(history)
