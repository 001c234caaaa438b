"""The JEPA objective with an encoder that sees one row of observations and nothing else: the setting of theorems.

Linear identifiability (Klindt, LeCun and Balestriero, arXiv 2605.26379) is proved for encoders of single observations.
An encoder with a memory may find features that are predicted more easily than the true latents, being slower.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foreworld.data.scaling import Encoding
from foreworld.world.config import FitConfig
from foreworld.world.network import WorldNetwork


class Memoryless(nn.Module):
    """An encoder that begins anew at each row, and to which all but the observations is zero."""

    def __init__(self, encoder: nn.Module, observed: int):
        super().__init__()
        self.whole, self.observed = encoder, observed

    def forward(self, history: Float[Tensor, "member batch time inputs"]) -> Float[Tensor, "member batch time latent"]:
        seen = torch.zeros_like(history)
        seen[..., : self.observed] = history[..., : self.observed]
        alone = self.whole(seen.flatten(1, 2)[:, :, None])
        return alone[:, :, 0].unflatten(1, history.shape[1:3])


class MemorylessNetwork(WorldNetwork):
    """The world model with such an encoder."""

    def __init__(self, config: FitConfig, encoding: Encoding, *, seed: int):
        super().__init__(config, encoding, seed=seed)
        self.encoder = Memoryless(self.encoder, encoding.width("observation"))
