"""Is it that it lasts? A sensor that reads too high all day, an action that is at its limit without pause.

Each of their rows is ordinary; that all of them are so is not. So means are looked up beside rows: of what was seen,
from the first row of a history on, and of what is done, over as many steps as the model looks ahead.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.reasoning.support.neighbours import Neighbours
from foreworld.reasoning.support.readings import known_rows

FLOOR = 1e-2  # Means vary less than rows: the directions in which they hardly do are not blown up.


def fit_level(data: Episodes, encoding: Encoding, rng: np.random.Generator) -> Neighbours:
    """A sample of what the readings of training were on average, from the first row to any later one."""
    return Neighbours.sample([_means(known_rows(episode, encoding), episode.steps + 1) for episode in data], FLOOR, rng)


def level_of(histories: Episodes, encoding: Encoding) -> Float[Tensor, "episode value"]:
    """What readings were on average, over the whole of each history."""
    return torch.from_numpy(np.stack([known_rows(history, encoding).mean(0) for history in histories]))


def fit_load(data: Episodes, encoding: Encoding, span: int, rng: np.random.Generator) -> Neighbours:
    """A sample of what was done on average over so many steps of training."""
    return Neighbours.sample([_means(_scaled(episode.actions, encoding), span) for episode in data], FLOOR, rng)


def load_of(histories: Episodes, plan: Plan, encoding: Encoding, span: int) -> Float[Tensor, "episode step value"]:
    """What has been done on average over the last so many steps, at each step of a plan."""
    courses = [np.concatenate([h.actions[-span:], planned]) for h, planned in zip(histories, plan.actions, strict=True)]
    loads = [_means(_scaled(course, encoding), span)[len(course) - plan.horizon :] for course in courses]
    return torch.from_numpy(np.stack(loads))


def _scaled(actions: Float[np.ndarray, "row action"], encoding: Encoding) -> Float[np.ndarray, "row value"]:
    return encoding(actions, "action")[:, : sum(variable.width for variable in encoding.schema.actions)]


def _means(rows: Float[np.ndarray, "row value"], span: int) -> Float[np.ndarray, "row value"]:
    """Means over the last so many rows at each row; of fewer where there are no more."""
    total = np.cumsum(np.concatenate([np.zeros_like(rows[:1]), rows]), axis=0, dtype=np.float64)
    end = np.arange(1, len(rows) + 1)
    start = np.maximum(end - span, 0)
    return ((total[end] - total[start]) / (end - start)[:, None]).astype(np.float32)
