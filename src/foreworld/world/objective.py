"""The JEPA objective: predict the next belief, keep beliefs from collapsing, ground them in the targets."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foreworld.data.batches import Batch
from foreworld.world.config import FitConfig
from foreworld.world.network import WorldNetwork
from foreworld.world.readout import Reading, reading_score
from foreworld.world.regulariser import REGULARISERS
from foreworld.world.scores import LATENT_SCORES

DRAWS = 2  # An energy score needs two independent draws.
LEAST = 1e-6  # of a loss that others are measured by


def jepa(
    network: WorldNetwork, batch: Batch, config: FitConfig, generator: torch.Generator
) -> dict[str, Float[Tensor, " member"]]:
    """The terms of the loss, one value a member.

    loss: what is asked, and as much of what is not, times `latent_weight`. Scores of the targets are as small as the
        world is easy to foretell (0.03 and less, where beliefs have unit variance): those of beliefs would drown them.
    prediction: energy score of predicted beliefs against the encoded ones, over all steps of the rollouts, near steps
        weighted up (`step_weights`).
    grounding: score of the targets read from predicted beliefs, weighted likewise; encoding: the same from encoded
        beliefs. forecast: the first without weights, no part of the loss.
    regulariser: penalty on the cloud of encoded beliefs; levels, which cannot collapse, are left out.
    """
    beliefs = network.encoder(batch.history)
    imagined = imagine(network, beliefs, batch, generator)
    goal = batch.ahead(network.goals(batch.history, beliefs))
    if config.stop_gradient:
        goal = goal.detach()
    truth = batch.ahead(batch.targets)
    seen, foreseen = (beliefs, imagined) if config.grounding else (beliefs.detach(), imagined.detach())
    reached, free = batch.reached.to(beliefs), beliefs[..., network.levels.count :]
    latent = LATENT_SCORES[config.score](imagined[0], imagined[1], goal)
    read, weights = read_score(network.readout, foreseen, truth), network.weights[: latent.shape[-1]]
    terms = {
        "forecast": weighted_mean(read.mean(-1), reached).detach(),
        "prediction": weighted_mean(latent * weights.mean(-1), reached),
        "grounding": weighted_mean((read * weights).mean(-1), reached),
        "encoding": weighted_mean(
            read_score(network.readout, seen[None], batch.targets).mean(-1), batch.valid.to(beliefs)
        ),
        "regulariser": REGULARISERS[config.regulariser](batch.existing(free), generator),
    }
    asked = terms["grounding"] + terms["encoding"]
    hidden = terms["prediction"] + config.regulariser_weight * terms["regulariser"]
    share = config.latent_weight * (asked / hidden.clamp(min=LEAST)).detach()
    terms["loss"] = asked + share * hidden
    return terms


def imagine(
    network: WorldNetwork,
    beliefs: Float[Tensor, "member batch time latent"],
    batch: Batch,
    generator: torch.Generator,
) -> Float[Tensor, "draw member batch anchor step latent"]:
    """Roll out from every anchor with independent noise draws."""
    members, size, _, latent = beliefs.shape
    anchors, steps = batch.moves.shape[2:4]
    start = beliefs.gather(2, batch.anchors[..., None].expand(-1, -1, -1, latent)).flatten(1, 2)
    noise = torch.randn(members, DRAWS * size * anchors, steps, network.config.noise, generator=generator)
    rolled = network.rollout(
        start,
        batch.moves.flatten(1, 2),
        batch.elapsed.flatten(1, 2),
        noise.to(beliefs),
    )
    return rolled.unflatten(1, (DRAWS, size, anchors)).movedim(1, 0)


def read_score(
    readout: nn.Module,
    beliefs: Float[Tensor, "draw member *batch latent"],
    truth: Float[Tensor, "member *batch target"],
) -> Float[Tensor, "member *batch target"]:
    """Score of the targets read from beliefs."""
    reading = readout(beliefs.movedim(0, 1))
    return reading_score(Reading(reading.outputs.movedim(1, 0), reading.variables), truth)


def weighted_mean(
    values: Float[Tensor, "member *batch"], weights: Float[Tensor, "member *batch"]
) -> Float[Tensor, " member"]:
    """By member, over what has any weight."""
    return (values * weights).flatten(1).sum(1) / weights.flatten(1).sum(1).clamp(min=1)
