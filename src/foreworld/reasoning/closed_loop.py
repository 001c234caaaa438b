"""What happens under a policy that looks: at every step the belief is read, and the action follows from what is read.

The belief is rolled forward with its own noise, as for a plan; no observation is fed back into it. A policy sees
targets and actions only, since nothing else is read from a belief.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.memory import memories, run_memory
from foreworld.data.scaling import Encoding
from foreworld.data.tabulate import encode_moves
from foreworld.errors import QuestionError
from foreworld.reasoning.forecast import draw_reading, encode_now
from foreworld.world.network import WorldNetwork

Policy = Callable[
    [Float[np.ndarray, "path row target"], Float[np.ndarray, "path step action"]], Float[np.ndarray, "path action"]
]
"""Targets up to now and the actions between them -> what is done now; native units, categories as indices."""


@torch.no_grad()
def follow_policy(
    network: WorldNetwork,
    encoding: Encoding,
    histories: Episodes,
    policy: Policy,
    *,
    steps: int,
    draws: int,
    seed: int = 0,
) -> tuple[Float[np.ndarray, "member draw episode row target"], Float[np.ndarray, "member draw episode step action"]]:
    """Futures of each history under a policy, in steps of the median length, with the history before them.

    Futures are not calibrated: that is done for the marginals of a plan, and a policy answers to whole paths.

    Args:
        network, encoding: of a world model without known-future variables.
        histories: of one length.
        policy: deterministic; it is asked about all paths at once.
        steps: to look ahead.
        draws: futures of each member.
        seed: of the noise; every path has its own, since values are averages over histories.

    Raises:
        QuestionError: histories of different lengths, or a schema with known-future variables.
    """
    schema, members, count = encoding.schema, network.config.members, len(histories)
    if schema.known_future:
        raise QuestionError("a policy cannot be followed where the future of other variables has to be known")
    if len({episode.steps for episode in histories}) != 1:
        raise QuestionError("a policy is followed from histories of one length")
    targets = list(schema.target_indices)
    paths = members * draws * count

    def repeated(values: np.ndarray) -> np.ndarray:
        """One row a history -> one row a path, members first and histories last."""
        return np.tile(values, (members * draws, *[1] * (values.ndim - 1)))

    seen = repeated(np.stack([episode.observations[:, targets] for episode in histories]).astype(float))
    done = repeated(np.stack([episode.actions for episode in histories]).astype(float))
    memory = repeated(memories(histories, encoding))
    static = repeated(np.stack([episode.static for episode in histories]))
    belief = encode_now(network, histories, encoding).repeat(1, draws, 1)
    generator = torch.Generator().manual_seed(seed)
    batch = (members, draws * count, 1)
    centre, scale = encoding.scaling.of(schema.targets)
    one = np.ones((paths, 1))
    for _ in range(steps):
        action = policy(seen, done)[:, None].astype(float)
        memory = run_memory(memory, action, one, encoding)[:, -1]
        moves = encode_moves(static, action, memory[:, None], np.empty((paths, 1, 0)), one, encoding)
        belief = network.rollout(
            belief,
            torch.from_numpy(moves).unflatten(0, batch[:2]),
            torch.ones(batch),
            torch.randn((*batch, network.config.noise), generator=generator),
        )[:, :, 0]
        uniform = torch.rand((*batch, len(targets)), generator=generator).clamp(1e-6, 1 - 1e-6)
        read = draw_reading(network.readout(belief[:, :, None]), uniform)
        values = read.reshape(paths, 1, len(targets)).numpy() * scale + centre
        seen, done = np.concatenate([seen, values], 1), np.concatenate([done, action], 1)
    shape = (members, draws, count)
    return seen.reshape(*shape, *seen.shape[1:]), done.reshape(*shape, *done.shape[1:])
