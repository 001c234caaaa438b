"""A causal transformer (Vaswani et al. 2017; pre-norm) for an ensemble, over a window of recent elements."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foreworld.nets.ensemble import MLP, Linear


class Transformer(nn.Module):
    """Blocks of causal self-attention and MLPs; positions are a learned penalty on distance (ALiBi, Press 2022)."""

    def __init__(
        self, members: int, inputs: int, hidden: int, *, depth: int = 2, heads: int = 4, generator: torch.Generator
    ):
        super().__init__()
        self.read = Linear(members, inputs, hidden, generator=generator)
        self.blocks = nn.ModuleList(Block(members, hidden, heads, generator=generator) for _ in range(depth))

    def forward(self, x: Float[Tensor, "member batch time inputs"]) -> Float[Tensor, "member batch time hidden"]:
        x = self.read(x)
        for block in self.blocks:
            x = block(x)
        return x


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, members: int, hidden: int, heads: int, *, generator: torch.Generator):
        super().__init__()
        if hidden % heads:
            raise ValueError(f"hidden ({hidden}) is not a multiple of heads ({heads})")
        self.heads = heads
        self.queries = Linear(members, hidden, 3 * hidden, generator=generator)
        self.out = Linear(members, hidden, hidden, generator=generator)
        self.mix = MLP(members, [hidden, 2 * hidden, hidden], generator=generator)
        self.slope = nn.Parameter(torch.linspace(-1, -5, heads).expand(members, heads).clone())

    def forward(self, x: Float[Tensor, "member batch time hidden"]) -> Float[Tensor, "member batch time hidden"]:
        x = x + self.out(self._attend(_norm(x)))
        return x + self.mix(_norm(x))

    def _attend(self, x: Float[Tensor, "member batch time hidden"]) -> Float[Tensor, "member batch time hidden"]:
        members, _, time, hidden = x.shape
        width = hidden // self.heads
        # [member, batch, head, time, width] each
        query, key, value = self.queries(x).unflatten(-1, (3, self.heads, width)).movedim(-3, 0).transpose(-3, -2)
        behind = torch.arange(time)[:, None] - torch.arange(time)
        penalty = behind * nn.functional.softplus(self.slope).reshape(members, 1, self.heads, 1, 1)
        bias = torch.where(behind >= 0, -penalty, -math.inf)
        weights = torch.softmax(query @ key.mT / math.sqrt(width) + bias, dim=-1)
        return (weights @ value).transpose(-3, -2).flatten(-2)


def _norm(x: Tensor) -> Tensor:
    """Layer norm without weights of its own: the layer that follows has them."""
    return nn.functional.layer_norm(x, x.shape[-1:])
