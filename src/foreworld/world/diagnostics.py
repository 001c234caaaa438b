"""Is the model collapsed, and does it listen to its actions? Measured on every run and shown always.

A collapsed encoder maps every history to the same belief: its prediction loss is perfect and it knows nothing. Rank and
spread show that; probe R2 shows whether the beliefs still tell the targets, action sensitivity whether a plan matters.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from foreworld.data.batches import Batch
from foreworld.world.network import WorldNetwork


@torch.no_grad()
def diagnose(network: WorldNetwork, batch: Batch) -> dict[str, float]:
    """Collapse diagnostics on a batch, averaged over members; those that the batch cannot tell are left out.

    rank: effective rank of the beliefs without their levels, which cannot collapse: exp of the entropy of the
        normalised spectrum (Roy and Vetterli 2007).
    std_min, std_mean: spread of the least and of the average of the same dimensions.
    probe_r2: share of a target's variance that a linear probe reads from encoded beliefs, in sample, mean over targets.
    action_sensitivity: how far beliefs move after the rollout when the moves of another episode are taken instead, in
        units of their spread over all episodes.
    """
    beliefs = network.encoder(batch.history)
    cloud = batch.existing(beliefs)
    free = cloud[..., network.levels.count :]
    spread = free.std(1)
    measured = {
        "rank": float(_effective_rank(free - free.mean(1, keepdim=True)).mean()),
        "std_min": float(spread.min(-1).values.mean()),
        "std_mean": float(spread.mean()),
        "probe_r2": _probe(cloud, batch.existing(batch.targets)),
        "action_sensitivity": _action_sensitivity(network, beliefs, batch),
    }
    return {name: value for name, value in measured.items() if value is not None}


def _effective_rank(centred: Float[Tensor, "member sample latent"]) -> Float[Tensor, " member"]:
    spectrum = torch.linalg.svdvals(centred)
    share = spectrum / spectrum.sum(-1, keepdim=True).clamp(min=1e-12)
    return torch.exp(-(share * torch.log(share.clamp(min=1e-12))).sum(-1))


def _probe(cloud: Float[Tensor, "member sample latent"], truth: Float[Tensor, "member sample target"]) -> float | None:
    scores = []
    for beliefs, targets in zip(cloud, truth, strict=True):
        for target in targets.unbind(-1):
            seen = torch.isfinite(target)
            x, y = beliefs[seen], target[seen]
            if len(y) < 2 or y.min() == y.max():
                continue
            x, y = x - x.mean(0), y - y.mean(0)
            ridge = 1e-4 * torch.eye(x.shape[1]) * len(x)
            weights = torch.linalg.solve(x.T @ x + ridge, x.T @ y)
            scores.append(1 - (y - x @ weights).square().sum() / y.square().sum())
    return float(torch.stack(scores).mean()) if scores else None


def _action_sensitivity(
    network: WorldNetwork, beliefs: Float[Tensor, "member batch time latent"], batch: Batch
) -> float | None:
    if beliefs.shape[1] < 2:
        return None
    start = beliefs.gather(2, batch.anchors[..., None].expand(-1, -1, -1, beliefs.shape[-1])).flatten(1, 2)
    moves, elapsed = batch.moves.flatten(1, 2), batch.elapsed.flatten(1, 2)
    swapped = batch.moves.roll(1, dims=1).flatten(1, 2)
    noise = torch.zeros(*moves.shape[:3], network.config.noise)
    own = network.rollout(start, moves, elapsed, noise)[:, :, -1]
    other = network.rollout(start, swapped, elapsed, noise)[:, :, -1]
    scale = own.std(1).norm(dim=-1).clamp(min=1e-6)
    return float(((own - other).norm(dim=-1).mean(1) / scale).mean())
