"""The belief encoder: s_t = encode(o_<=t, a_<t, known, static)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foreworld.nets.ensemble import MLP, Linear
from foreworld.nets.gru import GRU
from foreworld.nets.transformer import Transformer
from foreworld.world.config import FitConfig


class BeliefEncoder(nn.Module):
    """Reads the rows of a history and forms a belief after each one.

    The belief after a row depends on that row and the ones before it alone. Gaps in time and missing values are part of
    the row: elapsed time, and a presence flag for each variable.
    """

    def __init__(self, config: FitConfig, inputs: int, *, generator: torch.Generator):
        super().__init__()
        members, hidden = config.members, config.hidden
        self.embed = Linear(members, inputs, hidden, generator=generator)
        sequence = GRU if config.encoder == "gru" else Transformer
        self.memory = sequence(members, hidden, hidden, generator=generator)
        self.skip = Linear(members, inputs, config.latent, generator=generator)
        self.head = MLP(members, [2 * hidden, hidden, config.latent], generator=generator)

    def forward(self, history: Float[Tensor, "member batch time inputs"]) -> Float[Tensor, "member batch time latent"]:
        row = self.embed(history)
        return self.head(torch.cat([self.memory(row), row], dim=-1)) + self.skip(history)
