"""The belief encoder: s_t = encode(o_<=t, a_<t, known, static)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foreworld.nets.ensemble import MLP, Linear
from foreworld.nets.gru import GRU
from foreworld.nets.transformer import Transformer
from foreworld.world.config import FitConfig
from foreworld.world.levels import Levels


class BeliefEncoder(nn.Module):
    """Reads the rows of a history and forms a belief after each one.

    The belief after a row depends on that row and the ones before it alone. Gaps in time and missing values are part of
    the row: elapsed time, and a presence flag for each variable. The levels of a belief begin as what is observed.
    """

    def __init__(self, config: FitConfig, inputs: int, levels: Levels, *, generator: torch.Generator):
        super().__init__()
        members, hidden = config.members, config.hidden
        self.levels = levels
        width = levels.count + config.latent
        self.embed = Linear(members, inputs, hidden, generator=generator)
        sequence = GRU if config.encoder == "gru" else Transformer
        self.memory = sequence(members, hidden, hidden, generator=generator)
        self.skip = Linear(members, inputs, width, generator=generator)
        self.head = MLP(members, [2 * hidden, hidden, width], generator=generator)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.startswith(("skip.", f"head.layers.{len(self.head.layers) - 1}.")):
                    parameter[..., : levels.count] = 0.0

    def forward(self, history: Float[Tensor, "member batch time inputs"]) -> Float[Tensor, "member batch time latent"]:
        row = self.embed(history)
        belief = self.head(torch.cat([self.memory(row), row], dim=-1)) + self.skip(history)
        seen = history[..., self.levels.columns]
        return belief + nn.functional.pad(seen, (0, belief.shape[-1] - self.levels.count))
