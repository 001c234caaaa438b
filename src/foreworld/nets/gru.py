"""A gated recurrent unit (Cho et al. 2014) for an ensemble, with the sequence loop over one batched product a step."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foreworld.nets.ensemble import Linear


class GRU(nn.Module):
    """Reads a sequence and returns the hidden state after each element."""

    def __init__(self, members: int, inputs: int, hidden: int, *, generator: torch.Generator):
        super().__init__()
        self.hidden = hidden
        self.read = Linear(members, inputs, 3 * hidden, generator=generator)
        self.recur = Linear(members, hidden, 3 * hidden, generator=generator)

    def forward(self, x: Float[Tensor, "member batch time inputs"]) -> Float[Tensor, "member batch time hidden"]:
        # Split, not sliced: the gradient of a slice is a padded copy.
        parts = [2 * self.hidden, self.hidden]
        gates, candidates = (part.unbind(dim=2) for part in self.read(x).split(parts, dim=-1))
        state = x.new_zeros(x.shape[0], x.shape[1], self.hidden)
        states = []
        for gate, candidate in zip(gates, candidates, strict=True):
            recalled, offered = torch.baddbmm(self.recur.bias, state, self.recur.weight).split(parts, dim=-1)
            update, reset = torch.sigmoid(gate + recalled).chunk(2, dim=-1)
            candidate = torch.tanh(torch.addcmul(candidate, reset, offered))
            state = torch.lerp(candidate, state, update)
            states.append(state)
        return torch.stack(states, dim=2)
