"""Which real episodes an imagined one is like: those whose beliefs lie nearest to the imagined beliefs."""

import torch

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.data.tabulate import encode_plan
from foreworld.reasoning.forecast import encode_now
from foreworld.reasoning.support.judge import Support
from foreworld.reasoning.support.reasons import nearest_names
from foreworld.world.draws import stratified
from foreworld.world.network import WorldNetwork

DRAWS = 8  # Futures that each member imagines of a question.


@torch.no_grad()
def imagined_neighbours(
    network: WorldNetwork, encoding: Encoding, support: Support, histories: Episodes, plan: Plan, *, seed: int = 0
) -> tuple[tuple[str | int, ...], ...]:
    """Names of the training episodes that come nearest, over all steps and futures, to what is imagined.

    Args:
        network, encoding, support: of the model.
        histories, plan: the questions.
        seed: of the futures.
    """
    moves, elapsed = (torch.from_numpy(array) for array in encode_plan(histories, plan, encoding))
    beliefs, members = encode_now(network, histories, encoding), network.config.members
    shape = (members, DRAWS, plan.horizon, network.config.noise)
    noise = torch.special.ndtri(stratified(shape, torch.Generator().manual_seed(seed)))
    rolled = network.rollout(
        beliefs,
        moves.expand(members, -1, -1, -1),
        elapsed.expand(members, -1, -1),
        noise.repeat_interleave(len(histories), 1),
    )
    # [member, draw x episode, step, latent]; every step of every draw is a vote about its episode.
    votes = rolled.unflatten(1, (DRAWS, len(histories))).movedim(2, 1)
    near = support.familiar.beliefs.of(votes.flatten(1, 3)).episodes.unflatten(1, votes.shape[1:4])
    return nearest_names(near.movedim(1, 0).flatten(1, 3).movedim(1, 0), support.names)
