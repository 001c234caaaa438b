"""Were these actions taken together in training? Two drugs, each of which was seen, may never have been seen at once.

A step is described by its action and by the leaky sums of the actions up to it (`foreworld.data.memory`), so doses that
pile up count as well as doses on one day. Positivity, the condition under which an effect can be learnt at all, asks
for such rows nearby (Hernan and Robins, *What If*, 2020, chapter 3).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.memory import memory_width, run_memory, run_plan
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding, Scaling
from foreworld.data.schema import Variable
from foreworld.reasoning.support.neighbours import Neighbours

FLOOR = 0.1  # Sums over similar spans are nearly the same: how they differ is no world of its own.
SLACK = 0.05  # Of the range of an action, beyond it.


def fit_overlap(data: Episodes, encoding: Encoding, rng: np.random.Generator) -> Neighbours:
    """A sample of the steps of training."""
    return Neighbours.sample([_taken(episode, encoding) for episode in data], FLOOR, rng)


def planned(histories: Episodes, plan: Plan, encoding: Encoding) -> Float[Tensor, "episode step value"]:
    """The steps of a plan; actions that are not known count as the usual ones."""
    return torch.from_numpy(_join(plan.actions, run_plan(histories, plan, encoding)[1], encoding))


def _taken(episode: Episode, encoding: Encoding) -> Float[np.ndarray, "row value"]:
    since = np.concatenate([[1.0], np.diff(episode.time)[:-1] / encoding.scaling.step])[: episode.steps]
    start = np.zeros((1, memory_width(encoding)), np.float32)
    return _join(episode.actions, run_memory(start, episode.actions[None], since[None], encoding)[0], encoding)


def _join(
    actions: Float[np.ndarray, "*row action"], memory: Float[np.ndarray, "*row sum"], encoding: Encoding
) -> Float[np.ndarray, "*row value"]:
    return np.concatenate([encoding.values(actions, "action"), memory], axis=-1, dtype=np.float32)


def allowed(
    variables: tuple[Variable, ...], scaling: Scaling
) -> tuple[Float[np.ndarray, " action"], Float[np.ndarray, " action"]]:
    """The range of each action in training, with some slack."""
    scales = [scaling.variables[variable.name] for variable in variables]
    low, high = np.array([s.low for s in scales], float), np.array([s.high for s in scales], float)
    slack = SLACK * (high - low) + 1e-9 * np.maximum(np.abs(low), np.abs(high))
    return low - slack, high + slack


def actions_in_range(histories: Episodes, plan: Plan, scaling: Scaling) -> Bool[np.ndarray, "episode step"]:
    """Whether every action of a step lies in the range of training; one that is not known is no offence."""
    low, high = allowed(histories.schema.actions, scaling)
    return np.all(~((plan.actions < low) | (plan.actions > high)), axis=-1)
