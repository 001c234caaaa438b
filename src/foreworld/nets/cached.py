"""The causal transformer of `foreworld.nets.transformer`, element by element, with keys and values of the past kept.

Many sequences may share one beginning, as the sampled futures of a history do: it is read once, and every continuation
attends to it and to itself.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from foreworld.nets.transformer import Block

FAR = -1e9  # in place of minus infinity: a row of padding that sees nothing stays finite


@dataclass
class Past:
    """Keys and values of one block: of the shared beginning, and of what each sequence went on with.

    Attributes:
        keys, values: of the beginning.
        own_keys, own_values: of the continuations, filled up to where they have come.
    """

    keys: Float[Tensor, "member case head begun width"]
    values: Float[Tensor, "member case head begun width"]
    own_keys: Float[Tensor, "member case draw head room width"]
    own_values: Float[Tensor, "member case draw head room width"]


class Continuation:
    """Blocks over a shared beginning, and any number of continuations of it.

    Args:
        blocks: of the transformer.
        beginning: embedded elements, aligned at their end.
        exists: which of them exist.
        draws: continuations of each case.
        room: elements that each continuation will have.
        reach: elements back that are attended to, itself included.
    """

    def __init__(
        self,
        blocks: nn.ModuleList,
        beginning: Float[Tensor, "member case begun hidden"],
        exists: Bool[Tensor, "case begun"],
        *,
        draws: int,
        room: int,
        reach: int,
    ):
        self.blocks, self.reach, self.length = [b for b in blocks if isinstance(b, Block)], reach, 0
        begun = beginning.shape[2]
        behind = torch.arange(begun)[:, None] - torch.arange(begun)
        visible = (behind >= 0) & (behind < reach) & exists[:, None, :]
        self.exists, self.pasts = exists, []
        x = beginning
        for block in self.blocks:
            query, key, value = _heads(block, x)
            bias = _bias(block, behind, visible[:, None])
            weights = torch.softmax(query @ key.mT / math.sqrt(query.shape[-1]) + bias, dim=-1)
            x = _finish(block, x, weights @ value)
            size = (*key.shape[:2], draws, key.shape[2], room, key.shape[4])
            self.pasts.append(Past(key, value, key.new_zeros(size), key.new_zeros(size)))
        self.hidden = x

    def extend(self, x: Float[Tensor, "member case draw new hidden"]) -> Float[Tensor, "member case draw new hidden"]:
        """Go on with some elements in every sequence; what the last block makes of them."""
        draws, new, begun = x.shape[2], x.shape[3], self.exists.shape[1]
        start, stop = self.length, self.length + new
        place = torch.arange(start, stop)[:, None]
        # What nobody reaches any more is left out: of the beginning up to `old`, of the continuations up to `first`.
        old, first = min(begun, max(0, begun + start - self.reach + 1)), max(0, start - self.reach + 1)
        before, after = place + begun - torch.arange(old, begun), place - torch.arange(first, stop)
        seen = ((before < self.reach) & self.exists[:, None, old:])[:, None]
        own = ((after >= 0) & (after < self.reach))[None, None]
        for block, past in zip(self.blocks, self.pasts, strict=True):
            query, key, value = _heads(block, x)
            past.own_keys[..., start:stop, :], past.own_values[..., start:stop, :] = key, value
            scale = 1 / math.sqrt(query.shape[-1])
            # [member, case, head, draw * new, width]: all continuations of a case ask its beginning at once.
            together = query.transpose(2, 3).flatten(3, 4) @ past.keys[..., old:, :].mT
            scores = [
                together.unflatten(3, (draws, new)).transpose(2, 3) * scale + _bias(block, before, seen)[:, :, None],
                query @ past.own_keys[..., first:stop, :].mT * scale + _bias(block, after, own)[:, :, None],
            ]
            shared, alone = torch.softmax(torch.cat(scores, dim=-1), dim=-1).split([begun - old, stop - first], dim=-1)
            mixed = shared.transpose(2, 3).flatten(3, 4) @ past.values[..., old:, :]
            mixed = mixed.unflatten(3, (draws, new)).transpose(2, 3) + alone @ past.own_values[..., first:stop, :]
            x = _finish(block, x, mixed)
        self.length = stop
        return x


def attend(
    blocks: nn.ModuleList, x: Float[Tensor, "member batch time hidden"], reach: int
) -> Float[Tensor, "member batch time hidden"]:
    """The blocks over whole sequences, none of which attends further back than `reach` elements."""
    behind = torch.arange(x.shape[2])[:, None] - torch.arange(x.shape[2])
    visible = ((behind >= 0) & (behind < reach))[None, None]
    for block in blocks:
        assert isinstance(block, Block)
        query, key, value = _heads(block, x)
        weights = torch.softmax(query @ key.mT / math.sqrt(query.shape[-1]) + _bias(block, behind, visible), dim=-1)
        x = _finish(block, x, weights @ value)
    return x


def _heads(block: Block, x: Float[Tensor, "member *batch time hidden"]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, [member, *batch, head, time, width] each."""
    normed = nn.functional.layer_norm(x, x.shape[-1:])
    parts = block.queries(normed).unflatten(-1, (3, block.heads, -1)).movedim(-3, 0).transpose(-3, -2)
    query, key, value = parts.unbind(0)
    return query, key, value


def _bias(
    block: Block, behind: Int[Tensor, "query key"], visible: Bool[Tensor, "case one query key"]
) -> Float[Tensor, "member case head query key"]:
    """ALiBi's penalty on distance, and no sight of what is not visible."""
    slope = nn.functional.softplus(block.slope)[:, None, :, None, None]
    return torch.where(visible, -behind * slope, FAR)


def _finish(
    block: Block,
    x: Float[Tensor, "member *batch time hidden"],
    mixed: Float[Tensor, "member *batch head time width"],
) -> Float[Tensor, "member *batch time hidden"]:
    x = x + block.out(mixed.transpose(-3, -2).flatten(-2))
    return x + block.mix(nn.functional.layer_norm(x, x.shape[-1:]))
