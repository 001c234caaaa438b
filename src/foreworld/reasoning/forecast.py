"""The one batched rollout behind every answer: ensemble members x noise draws x questions, with no loop over any."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.allocator import keep_large_allocations
from foreworld.cores import on_each_core
from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.data.tabulate import Table, encode_histories, encode_plan
from foreworld.world.autoregressive import Autoregressive, Futures
from foreworld.world.build import Network
from foreworld.world.draws import decorrelated, persistent, stratified
from foreworld.world.network import WorldNetwork
from foreworld.world.readout import Reading, binary_logits, deviation

# Rows of one rollout chunk: small enough to stay in the cache, whatever the number of questions.
CHUNK_ROWS = 4_000


def encode_now(network: Network, histories: Episodes, encoding: Encoding) -> Float[Tensor, "member episode latent"]:
    """The belief after the last row of each history, from at most `context` rows."""
    once, place = histories.distinct()
    return encode_rows(network, *encode_tails(network, once, encoding))[:, place]


@torch.no_grad()
def encode_rows(
    network: Network, rows: Float[Tensor, "episode row input"], last: Int[Tensor, " episode"]
) -> Float[Tensor, "member episode latent"]:
    """The belief after the row `last` of each history."""

    def encode(chunk: Tensor, end: Tensor) -> Tensor:
        all_rows = network.encoder(chunk.expand(network.config.members, *chunk.shape))
        return all_rows[:, torch.arange(len(end)), end]

    return torch.cat(on_each_core(encode, rows.split(256), last.split(256)), dim=1)


def encode_tails(
    network: Network, histories: Episodes, encoding: Encoding
) -> tuple[Float[Tensor, "episode row input"], Int[Tensor, " episode"]]:
    """The rows that a network reads of each history, padded at the end, and the place of the last one."""
    context = reach(network)
    rows = torch.from_numpy(encode_histories(tuple(histories), encoding, context))
    return rows, torch.tensor([min(len(episode.time), context) - 1 for episode in histories])


def reach(network: Network) -> int:
    """Rows of history that a network reads, at most."""
    return network.config.context if isinstance(network, WorldNetwork) else network.reach


def draw(
    network: Network,
    histories: Episodes,
    plan: Plan,
    encoding: Encoding,
    *,
    draws: int,
    seed: int,
    persistence: Sequence[float] = (),
) -> Float[np.ndarray, "member draw episode step target"]:
    """As `sample`, from any network: by beliefs, or, where none are rolled out, by observations that it invents."""
    if isinstance(network, WorldNetwork):
        beliefs = encode_now(network, histories, encoding)
        return sample(network, beliefs, histories, plan, encoding, draws=draws, seed=seed, persistence=persistence)
    return invent(network, histories, plan, encoding, draws=draws, seed=seed).values.numpy()


@torch.no_grad()
def draw_at(
    network: Network, table: Table, rows: Int[np.ndarray, " row"], encoding: Encoding, *, draws: int, seed: int
) -> Float[np.ndarray, "member draw row step target"]:
    """As `draw`, ahead from some rows of a table along what was then done. Each needs the whole horizon after it."""
    keep_large_allocations()
    history, last = (torch.from_numpy(part) for part in table.tails(rows, reach(network)))
    moves, elapsed = (torch.from_numpy(part) for part in table.ahead(rows, network.config.horizon))
    if isinstance(network, WorldNetwork):
        return roll(network, encode_rows(network, history, last), moves, elapsed, encoding, draws=draws, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return network.futures(history, last, moves, draws=draws, generator=generator).values.numpy()


@torch.no_grad()
def invent(
    network: Autoregressive, histories: Episodes, plan: Plan, encoding: Encoding, *, draws: int, seed: int
) -> Futures:
    """Futures of a network that goes on observation by observation."""
    keep_large_allocations()
    rows, last = encode_tails(network, histories, encoding)
    moves = torch.from_numpy(encode_plan(histories, plan, encoding)[0])
    return network.futures(rows, last, moves, draws=draws, generator=torch.Generator().manual_seed(seed))


def sample(
    network: WorldNetwork,
    beliefs: Float[Tensor, "member episode latent"],
    histories: Episodes,
    plan: Plan,
    encoding: Encoding,
    *,
    draws: int,
    seed: int,
    persistence: Sequence[float] = (),
) -> Float[np.ndarray, "member draw episode step target"]:
    """Sampled futures of the targets, before calibration, in scaled units; categories as indices.

    Every draw has its own noise, the same for every question: futures of two plans differ by the plans alone. What
    readings add to a target persists from step to step as `foreworld.reasoning.persistence` found.
    """
    moves, elapsed = (torch.from_numpy(array) for array in encode_plan(histories, plan, encoding))
    return roll(network, beliefs, moves, elapsed, encoding, draws=draws, seed=seed, persistence=persistence)


@torch.no_grad()
def roll(
    network: WorldNetwork,
    beliefs: Float[Tensor, "member episode latent"],
    moves: Float[Tensor, "episode step move"],
    elapsed: Float[Tensor, "episode step"],
    encoding: Encoding,
    *,
    draws: int,
    seed: int,
    persistence: Sequence[float] = (),
) -> Float[np.ndarray, "member draw episode step target"]:
    """`sample`, of a plan that is already encoded."""
    keep_large_allocations()
    members, horizon = network.config.members, moves.shape[1]
    generator = torch.Generator().manual_seed(seed)
    noise = decorrelated(torch.special.ndtri(stratified((members, draws, horizon, network.config.noise), generator)))
    uniform = persistent(stratified((members, draws, horizon, len(encoding.schema.targets)), generator), persistence)
    size = max(1, CHUNK_ROWS // (members * draws))

    def drawn(start: int) -> Tensor:
        pick = slice(start, start + size)
        count = beliefs[:, pick].shape[1]
        rolled = network.rollout(
            beliefs[:, pick],
            moves[pick].expand(members, -1, -1, -1),
            elapsed[pick].expand(members, -1, -1),
            noise.repeat_interleave(count, 1),
        )
        return draw_reading(network.readout(rolled), uniform.repeat_interleave(count, 1)).unflatten(1, (draws, count))

    return torch.cat(on_each_core(drawn, range(0, len(moves), size)), dim=2).numpy()


def draw_reading(
    reading: Reading, uniform: Float[Tensor, "member batch step target"]
) -> Float[Tensor, "member batch step target"]:
    """One value of each target from its distribution, by inverting its distribution function."""
    values = []
    for index, (variable, part) in enumerate(zip(reading.variables, reading.parts(), strict=True)):
        chance = uniform[..., index]
        if variable.kind == "continuous":
            normal = torch.special.ndtri(chance)
            values.append(part[..., 0] + deviation(part[..., 1]) * normal)
        else:
            logits = binary_logits(part) if variable.kind == "binary" else part
            below = torch.softmax(logits, dim=-1).cumsum(-1)[..., :-1]
            values.append((chance[..., None] > below).sum(-1).to(chance.dtype))
    return torch.stack(values, dim=-1)
