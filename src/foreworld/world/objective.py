"""The JEPA objective: predict the next belief, keep beliefs from collapsing, ground them in the targets."""

import torch
from jaxtyping import Float
from torch import Tensor

from foreworld.data.batches import Batch
from foreworld.data.layout import read_values
from foreworld.world.config import FitConfig
from foreworld.world.network import WorldNetwork
from foreworld.world.readout import Reading, Readout, reading_score
from foreworld.world.regulariser import REGULARISERS
from foreworld.world.scores import LATENT_SCORES

DRAWS = 2  # An energy score needs two independent draws.
LEAST = 1e-6  # of a loss that others are measured by


def jepa(
    network: WorldNetwork, batch: Batch, config: FitConfig, generator: torch.Generator
) -> dict[str, Float[Tensor, " member"]]:
    """The terms of the loss, one value a member.

    loss: what is asked (`grounding` and `encoding`), and as much of what is hidden (`prediction` and `regulariser`) and
        of all that is seen (`observed`), each times its weight. Scores of the targets are as small as the world is easy
        to foretell (0.03 and less, where beliefs have unit variance): those of beliefs would drown them.
    prediction: energy score of predicted beliefs against the encoded ones, over all steps of the rollouts, near steps
        weighted up (`step_weights`).
    grounding: score of the targets read from predicted beliefs, weighted likewise; encoding: the same from encoded
        beliefs. forecast: the first without weights, no part of the loss.
    observed: the sum of both for every observation, targets or not.
    regulariser: penalty on the cloud of encoded beliefs; levels, which cannot collapse, are left out.
    """
    beliefs = network.encoder(batch.history)
    imagined = imagine(network, beliefs, batch, generator)
    goal = batch.ahead(network.goals(batch.history, beliefs))
    if config.stop_gradient:
        goal = goal.detach()
    seen, foreseen = (beliefs, imagined) if config.grounding else (beliefs.detach(), imagined.detach())
    reached, free = batch.reached.to(beliefs), beliefs[..., network.levels.count :]
    one, other = imagined.unbind()
    latent = LATENT_SCORES[config.score](one, other, goal)
    ahead, now = observed_scores(network, batch, foreseen, seen)
    asked, weights = slice(len(network.readout.targets)), network.weights[: latent.shape[-1]]
    near, valid = ahead * weights, batch.valid.to(beliefs)
    terms = {
        "forecast": weighted_mean(ahead[..., asked].mean(-1), reached).detach(),
        "prediction": weighted_mean(latent * weights[:, asked].mean(-1), reached),
        "grounding": weighted_mean(near[..., asked].mean(-1), reached),
        "encoding": weighted_mean(now[..., asked].mean(-1), valid),
        "observed": weighted_mean(near.mean(-1), reached) + weighted_mean(now.mean(-1), valid),
        "regulariser": REGULARISERS[config.regulariser](batch.existing(free), generator),
    }
    goals = terms["grounding"] + terms["encoding"]
    hidden = terms["prediction"] + config.regulariser_weight * terms["regulariser"]
    terms["loss"] = (
        goals
        + config.latent_weight * as_large_as(goals, hidden)
        + config.observed_weight * as_large_as(goals, terms["observed"])
    )
    return terms


def as_large_as(size: Float[Tensor, " member"], term: Float[Tensor, " member"]) -> Float[Tensor, " member"]:
    """A term of a loss, scaled to the size of another by a factor that no gradient reaches."""
    return (size / term.clamp(min=LEAST)).detach() * term


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


def observed_scores(
    network: WorldNetwork,
    batch: Batch,
    imagined: Float[Tensor, "draw member batch anchor step latent"],
    beliefs: Float[Tensor, "member batch time latent"],
) -> tuple[
    Float[Tensor, "member batch anchor step observation"],
    Float[Tensor, "member batch time observation"],
]:
    """Score of every observation as it was recorded, targets first, read from predicted and from encoded beliefs."""
    # What lies beyond the end of an episode did not come true.
    truth = torch.where(batch.valid[..., None], read_values(batch.recorded, network.observed), torch.nan)
    ahead = read_score(network.readout, imagined, batch.ahead(truth))
    return ahead, read_score(network.readout, beliefs[None], truth)


def read_score(
    readout: Readout,
    beliefs: Float[Tensor, "draw member *batch latent"],
    truth: Float[Tensor, "member *batch observation"],
) -> Float[Tensor, "member *batch observation"]:
    """Score of every observation read from beliefs, targets first."""
    reading = readout.everything(beliefs.movedim(0, 1))
    return reading_score(Reading(reading.outputs.movedim(1, 0), reading.variables), truth)


def weighted_mean(
    values: Float[Tensor, "member *batch"], weights: Float[Tensor, "member *batch"]
) -> Float[Tensor, " member"]:
    """By member, over what has any weight."""
    return (values * weights).flatten(1).sum(1) / weights.flatten(1).sum(1).clamp(min=1)
