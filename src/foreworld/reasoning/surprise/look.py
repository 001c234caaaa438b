"""One look at whole trajectories: what was expected of every row from the rows before, and the belief it led to.

A trajectory is encoded once, in overlapping stretches as long as those of training, so that every belief comes from at
least `context` rows where there are as many. From the belief after each row the predictor makes one step, for all
members, draws and rows at once.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.cores import on_each_core
from foreworld.data.scaling import Encoding
from foreworld.data.tabulate import Table
from foreworld.reasoning.forecast import CHUNK_ROWS
from foreworld.world.draws import stratified
from foreworld.world.network import WorldNetwork
from foreworld.world.readout import Reading, binary_logits, deviation

DRAWS = 24  # Of each member and row: a mean and a spread need fewer than a quantile does.
STRETCHES = 64  # Encoded at a time.


@dataclass(frozen=True)
class Looks:
    """Every step of some trajectories, end to end in their order; a step leads from one row to the next.

    Attributes:
        before, after: the encoded belief of the row that a step leaves and of the one that it leads to.
        mean, spread: of the predicted beliefs of the latter, over draws.
        read: what the predicted beliefs say of the targets, as `units` of `foreworld.reasoning.surprise.expect`: scaled
            means, and probabilities of categories.
        width: predicted deviation of each target, scaled; 1 for binaries and categories.
    """

    before: Float[Tensor, "member step latent"]
    after: Float[Tensor, "member step latent"]
    mean: Float[Tensor, "member step latent"]
    spread: Float[Tensor, "member step latent"]
    read: Float[Tensor, "member step unit"]
    width: Float[Tensor, "member step target"]


def leaving(table: Table) -> Int[np.ndarray, " step"]:
    """The rows of a table that a step leaves: all but the last of each episode."""
    last = table.starts + table.lengths - 1
    return np.setdiff1d(np.arange(len(table.elapsed)), last)


@torch.no_grad()
def look(network: WorldNetwork, encoding: Encoding, table: Table) -> Looks:
    """Look at every step of every episode of a table.

    The draws are the same for every member and on every call: expectations are fitted to what these draws give, and
    with others their mean would be off by more than a sharp forecast's width.
    """
    rows = torch.from_numpy(leaving(table))
    before, after = _beliefs(network, table)
    moves, elapsed = torch.from_numpy(table.moves)[rows], torch.from_numpy(table.elapsed)[rows]
    generator = torch.Generator().manual_seed(0)
    members, width = network.config.members, network.config.noise
    noise = torch.special.ndtri(stratified((1, DRAWS, 1, width), generator)).expand(members, -1, -1, -1)

    def expect(pick: Tensor) -> tuple[Tensor, ...]:
        count = len(pick)
        rolled = network.rollout(
            before[:, pick],
            moves[pick][None, :, None].expand(members, -1, -1, -1),
            elapsed[pick][None, :, None].expand(members, -1, -1),
            noise.repeat_interleave(count, 1),
        )
        beliefs = rolled[:, :, 0].unflatten(1, (DRAWS, count))
        return beliefs.mean(1), beliefs.std(1), *_read(network.readout(beliefs))

    parts = on_each_core(expect, torch.arange(len(rows)).split(max(1, CHUNK_ROWS // (members * DRAWS))))
    empty = [torch.zeros(members, 0, before.shape[-1])] * 2 + [torch.zeros(members, 0, 0)] * 2
    mean, spread, read, wide = (torch.cat(part, 1) for part in zip(*parts, strict=True)) if parts else empty
    return Looks(before, after, mean, spread, read, wide)


def _read(reading: Reading) -> tuple[Float[Tensor, "member step unit"], Float[Tensor, "member step target"]]:
    """Mean and deviation of each target over draws: of a mixture of normals, or of the probabilities of categories."""
    units, widths = [], []
    for variable, part in zip(reading.variables, reading.parts(), strict=True):
        if variable.kind == "continuous":
            centre, own = part[..., 0], deviation(part[..., 1])
            units.append(centre.mean(1)[..., None])
            widths.append((own.square().mean(1) + centre.var(1)).sqrt())
        else:
            logits = binary_logits(part) if variable.kind == "binary" else part
            chance = torch.softmax(logits, -1).mean(1)
            units.append(chance[..., 1:] if variable.kind == "binary" else chance)
            widths.append(torch.ones_like(chance[..., 0]))
    return torch.cat(units, -1), torch.stack(widths, -1)


def _beliefs(
    network: WorldNetwork, table: Table
) -> tuple[Float[Tensor, "member step latent"], Float[Tensor, "member step latent"]]:
    """Encoded beliefs of the two rows of every step, both from the same stretch."""
    config = network.config
    span, stride = config.context + config.horizon, config.horizon
    history = torch.from_numpy(table.history)
    begin, end, taken = [], [], []
    for start, length in zip(table.starts.tolist(), table.lengths.tolist(), strict=True):
        row = np.arange(length - 1)
        place = np.maximum(0, -(-(row + 2 - span) // stride)) * stride
        for first in np.unique(place):
            chosen = row[place == first] - first
            begin.append(start + first)
            end.append(min(length - first, span))
            taken.append((chosen[0], chosen[-1] + 1))

    def encode(chunk: int) -> list[tuple[Tensor, Tensor]]:
        pick = slice(chunk, chunk + STRETCHES)
        longest = max(end[pick])
        index = np.array(begin[pick])[:, None] + np.minimum(np.arange(longest), np.array(end[pick])[:, None] - 1)
        rows = history[torch.from_numpy(index)]
        beliefs = network.encoder(rows.expand(config.members, *rows.shape))
        places = enumerate(taken[pick])
        return [(beliefs[:, place, low:high], beliefs[:, place, low + 1 : high + 1]) for place, (low, high) in places]

    found = [pair for pairs in on_each_core(encode, range(0, len(begin), STRETCHES)) for pair in pairs]
    if not found:
        nothing = network.encoder(history[None, :1].expand(config.members, -1, -1, -1))[:, 0, :0]
        return nothing, nothing
    before, after = zip(*found, strict=True)
    return torch.cat(before, 1), torch.cat(after, 1)
