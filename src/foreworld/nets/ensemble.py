"""Layers that hold several independent networks and run them as one batched matrix product.

Every tensor has a leading `member` axis. Members share no weights, so a gradient step on the stack is the same as one
on each member alone; the stack is several times faster, because small matrix products are bound by their overhead.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

NARROW = 8  # Outputs of a map that is computed with its rows as columns.


class Linear(nn.Module):
    """An affine map for each member, initialised as `torch.nn.Linear`."""

    def __init__(self, members: int, inputs: int, outputs: int, *, generator: torch.Generator, gain: float = 1.0):
        super().__init__()
        bound = gain / math.sqrt(max(inputs, 1))
        uniform = torch.rand(members, inputs + 1, outputs, generator=generator) * 2 - 1
        self.weight = nn.Parameter(uniform[:, :-1] * bound)
        self.bias = nn.Parameter(uniform[:, -1:] * bound)

    def forward(self, x: Float[Tensor, "member *batch inputs"]) -> Float[Tensor, "member *batch outputs"]:
        flat = x.reshape(x.shape[0], -1, x.shape[-1])
        out = affine(flat, self.weight, self.bias)
        return out.reshape(*x.shape[:-1], out.shape[-1])


def affine(
    x: Float[Tensor, "member batch inputs"],
    weight: Float[Tensor, "member inputs outputs"],
    bias: Float[Tensor, "member 1 outputs"],
) -> Float[Tensor, "member batch outputs"]:
    """The affine map of each member."""
    outputs = weight.shape[-1]
    if outputs > NARROW:
        return torch.baddbmm(bias, x, weight)
    # A product with few columns takes up to four times as long as one with as few rows, four at a time.
    across = torch.bmm(nn.functional.pad(weight, (0, -outputs % 4)).mT, x.mT)
    return across[:, :outputs].mT + bias


class MLP(nn.Module):
    """Affine maps with SiLU between them; `gain` scales the last layer's initial weights."""

    def __init__(self, members: int, widths: Sequence[int], *, generator: torch.Generator, gain: float = 1.0):
        super().__init__()
        last = len(widths) - 2
        self.layers = nn.ModuleList(
            Linear(members, inputs, outputs, generator=generator, gain=gain if index == last else 1.0)
            for index, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True))
        )

    def forward(self, x: Float[Tensor, "member *batch inputs"]) -> Float[Tensor, "member *batch outputs"]:
        for layer in self.layers[:-1]:
            x = nn.functional.silu(layer(x))
        return self.layers[-1](x)
