"""The causal transformer of `foreworld.nets.transformer`, element by element, with keys and values of the past kept.

Many sequences may share one beginning, as the sampled futures of a history do: it is read once, and every continuation
attends to it and to itself.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from foreworld.nets.transformer import Block

FAR = -1e9  # in place of minus infinity: a row of padding that sees nothing stays finite
NOWHERE = -1e30  # the place of padding: too far to be seen however small the penalty on distance


@dataclass
class Past:
    """Keys and values of one block: of the shared beginning, and of what each sequence went on with.

    Attributes:
        keys, values: of the beginning; keys are wider by their place (`_placed`).
        own_keys, own_values: of the continuations, filled up to where they have come.
    """

    keys: Float[Tensor, "member case head begun wider"]
    values: Float[Tensor, "member case head begun width"]
    own_keys: Float[Tensor, "member case head draw room wider"]
    own_values: Float[Tensor, "member case head draw room width"]


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
        places = torch.where(exists, torch.arange(begun, dtype=beginning.dtype), NOWHERE)
        self.begun, self.pasts = begun, []
        x = beginning
        for block in self.blocks:
            query, key, value = _heads(block, x)
            key = _placed(key, places[:, None])
            size = (*key.shape[:3], draws, room)
            own = (part.new_zeros(*size, part.shape[4]) for part in (key, value))
            self.pasts.append(Past(key, value, *own))
            x = _finish(block, x, _mixed(_leaning(block, query), key, value, _window(0, begun, reach)))
        self.hidden = x

    def extend(self, x: Float[Tensor, "member case draw new hidden"]) -> Float[Tensor, "member case draw new hidden"]:
        """Go on with some elements in every sequence; what the last block makes of them."""
        draws, new, begun = x.shape[2], x.shape[3], self.begun
        start, stop = self.length, self.length + new
        places = torch.arange(begun + start, begun + stop, dtype=x.dtype)
        # What nobody reaches any more is left out: of the beginning up to `old`, of the continuations up to `first`.
        old, first = min(begun, max(0, begun + start - self.reach + 1)), max(0, start - self.reach + 1)
        hidden = None if new == 1 else ~_window(begun + start, begun + stop, self.reach)
        for block, past in zip(self.blocks, self.pasts, strict=True):
            query, key, value = _heads(block, x)
            # [member, case, head, draw, element, width], so that all continuations of a case ask its beginning at once.
            query, key, value = (part.transpose(2, 3) for part in (_leaning(block, query), _placed(key, places), value))
            past.own_keys[..., start:stop, :], past.own_values[..., start:stop, :] = key, value
            scores = query @ past.own_keys[..., first:stop, :].mT
            if old < begun:
                together = query.flatten(3, 4) @ past.keys[..., old:, :].mT
                scores = torch.cat([together.unflatten(3, (draws, new)), scores], dim=-1)
            if hidden is not None:
                scores.masked_fill_(torch.cat([hidden[:, old:begun], hidden[:, begun + first :]], dim=-1), FAR)
            weights = torch.softmax(scores, dim=-1)
            mixed = weights[..., begun - old :] @ past.own_values[..., first:stop, :]
            if old < begun:
                shared = weights[..., : begun - old].flatten(3, 4) @ past.values[..., old:, :]
                mixed = mixed + shared.unflatten(3, (draws, new))
            x = _finish(block, x, mixed.transpose(2, 3))
        self.length = stop
        return x


def attend(
    blocks: nn.ModuleList, x: Float[Tensor, "member batch time hidden"], reach: int
) -> Float[Tensor, "member batch time hidden"]:
    """The blocks over whole sequences, none of which attends further back than `reach` elements."""
    places, mask = torch.arange(x.shape[2], dtype=x.dtype), _window(0, x.shape[2], reach)
    for block in blocks:
        assert isinstance(block, Block)
        query, key, value = _heads(block, x)
        x = _finish(block, x, _mixed(_leaning(block, query), _placed(key, places), value, mask))
    return x


def _heads(block: Block, x: Float[Tensor, "member *batch time hidden"]) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, [member, *batch, head, time, width] each."""
    normed = nn.functional.layer_norm(x, x.shape[-1:])
    parts = block.queries(normed).unflatten(-1, (3, block.heads, -1)).movedim(-3, 0).transpose(-3, -2)
    query, key, value = parts.unbind(0)
    return query, key, value


def _leaning(
    block: Block, query: Float[Tensor, "member *batch head time width"]
) -> Float[Tensor, "member *batch head time wider"]:
    """Scaled queries with one component more, that meets the place of each key: ALiBi's penalty on distance.

    A penalty of slope times (i - j) on the key at j is, but for what all keys of a query share, a gain of slope times
    j: so it is part of the product, and costs no matrix of its own.
    """
    slope = nn.functional.softplus(block.slope).reshape(len(query), *[1] * (query.dim() - 4), block.heads, 1, 1)
    query = query / math.sqrt(query.shape[-1])
    return torch.cat([query, slope.expand(*query.shape[:-1], 1)], dim=-1)


def _placed(
    key: Float[Tensor, "member *batch head time width"], places: Float[Tensor, "*around time"]
) -> Float[Tensor, "member *batch head time wider"]:
    """Keys with their places, which `_leaning` queries look for."""
    return torch.cat([key, places[..., None].expand(*key.shape[:-1], 1)], dim=-1)


def _mixed(
    query: Float[Tensor, "member batch head time wider"],
    key: Float[Tensor, "member batch head time wider"],
    value: Float[Tensor, "member batch head time width"],
    mask: Bool[Tensor, "time time"],
) -> Float[Tensor, "member batch head time width"]:
    """Attention of whole sequences in one fused kernel, which wants all three equally wide."""
    parts = (part.flatten(0, 1) for part in (query, key, nn.functional.pad(value, (0, 1))))
    mixed = nn.functional.scaled_dot_product_attention(*parts, attn_mask=mask, scale=1.0)
    return mixed[..., :-1].unflatten(0, query.shape[:2])


def _window(start: int, stop: int, reach: int) -> Bool[Tensor, "query key"]:
    """Which of the elements up to `stop` those from `start` on attend to."""
    behind = torch.arange(start, stop)[:, None] - torch.arange(stop)
    return (behind >= 0) & (behind < reach)


def _finish(
    block: Block,
    x: Float[Tensor, "member *batch time hidden"],
    mixed: Float[Tensor, "member *batch head time width"],
) -> Float[Tensor, "member *batch time hidden"]:
    x = x + block.out(mixed.transpose(-3, -2).flatten(-2))
    return x + block.mix(nn.functional.layer_norm(x, x.shape[-1:]))
