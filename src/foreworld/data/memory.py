"""What is still at work of the actions taken so far: leaky sums of each action over several time constants.

z_t = exp(-dt / tau) z_t-1 + a_t. A dose acts long after it was given; with its decaying sums at hand, the predictor
need not rediscover that a belief has to carry it. Linear compartments, as in pharmacokinetics, are combinations of such
sums.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding

TOGETHER = 64  # Episodes that are added up at once.


def memory_width(encoding: Encoding) -> int:
    """Numbers that the memory of one row takes."""
    return len(encoding.memory) * sum(variable.width for variable in encoding.schema.actions)


def doses(values: Float[np.ndarray, "*row action"], encoding: Encoding) -> Float[np.ndarray, "*row sum"]:
    """What one action adds to each of its sums.

    Impulses add themselves; of the others a sum is an average over the time constant, so that both stay of order one.
    """
    variables = encoding.schema.actions
    encoded = encoding.values(values, "action")
    impulse = np.concatenate(
        [np.full(variable.width, encoding.scaling.variables[variable.name].impulse) for variable in variables]
        or [np.zeros(0, bool)]
    )
    shares = [np.where(impulse, 1.0, 1 - np.exp(-1 / tau)) for tau in encoding.memory]
    return np.concatenate([encoded[..., :0]] + [encoded * share for share in shares], axis=-1, dtype=np.float32)


def decay(elapsed: Float[np.ndarray, "*row"], encoding: Encoding) -> Float[np.ndarray, "*row sum"]:
    """Share of each sum that is left after some time, in median steps."""
    width = sum(variable.width for variable in encoding.schema.actions)
    left = np.exp(-elapsed[..., None] / np.array(encoding.memory))
    return np.repeat(left, width, axis=-1).astype(np.float32)


def run_memory(
    start: Float[np.ndarray, "episode sum"],
    actions: Float[np.ndarray, "episode step action"],
    elapsed: Float[np.ndarray, "episode step"],
    encoding: Encoding,
) -> Float[np.ndarray, "episode step sum"]:
    """The memory right after each action.

    Args:
        start: the memory right after the action before the first.
        actions: in native units.
        elapsed: time since the action before, in median steps.
    """
    added, left = doses(actions, encoding), decay(elapsed, encoding)
    memory = np.empty_like(added)
    for step in range(actions.shape[1]):
        start = left[:, step] * start + added[:, step]
        memory[:, step] = start
    return memory


def since_action(histories: Episodes, plan: Plan, encoding: Encoding) -> Float[np.ndarray, "episode step"]:
    """Time from the action before to each action of a plan, in median steps; one where there was none before."""
    step = encoding.scaling.step
    now = np.array([episode.time[-1] for episode in histories])
    last = np.array([episode.time[-2] if episode.steps else episode.time[-1] - step for episode in histories])
    return np.diff(np.concatenate([last[:, None], now[:, None], plan.time[:, :-1]], axis=1), axis=1) / step


def memories(
    episodes: Iterable[Episode], encoding: Encoding, rows: Sequence[int] | None = None
) -> Float[np.ndarray, "episode sum"]:
    """The memory right after the first `rows` actions of each episode, all by default: weighted sums with no loop."""
    episodes = tuple(episodes)
    rows = [episode.steps for episode in episodes] if rows is None else rows
    parts = [np.zeros((0, memory_width(encoding)), np.float32)]
    for start in range(0, len(episodes), TOGETHER):
        some = list(zip(episodes[start : start + TOGETHER], rows[start : start + TOGETHER], strict=True))
        actions = stack_padded([episode.actions[:count] for episode, count in some])
        since = [episode.time[max(count - 1, 0)] - episode.time[:count] for episode, count in some]
        age = stack_padded([passed[:, None] for passed in since])[..., 0] / encoding.scaling.step
        taken = np.arange(actions.shape[1]) < np.array([count for _, count in some])[:, None]
        added = np.where(taken[..., None], decay(age, encoding) * doses(actions, encoding), 0.0)
        parts.append(added.sum(1, dtype=np.float32))
    return np.concatenate(parts)


def run_plan(
    histories: Episodes, plan: Plan, encoding: Encoding
) -> tuple[Float[np.ndarray, "episode sum"], Float[np.ndarray, "episode step sum"]]:
    """The memory at the end of each history, and right after each action of a plan."""
    now = memories(histories, encoding)
    return now, run_memory(now, plan.actions, since_action(histories, plan, encoding), encoding)


def stack_padded(arrays: Sequence[Float[np.ndarray, "_ value"]]) -> Float[np.ndarray, "episode step value"]:
    """Arrays of different lengths in one, with zeros at the end of the short ones."""
    longest = max(len(array) for array in arrays)
    out = np.zeros((len(arrays), longest, arrays[0].shape[1]), arrays[0].dtype)
    for index, array in enumerate(arrays):
        out[index, : len(array)] = array
    return out
