"""Were these actions taken together in training? Two drugs, each of which was seen, may never have been seen at once.

A step is described by its action and by the leaky sums of the actions up to it (`foreworld.data.memory`), so doses that
pile up count as well as doses on one day. Positivity, the condition under which an effect can be learnt at all, asks
for such rows nearby (Hernan and Robins, *What If*, 2020, chapter 3).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.memory import memory_of, memory_width, run_memory
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.reasoning.support.neighbours import nearest

REFERENCES = 4096  # Training rows kept.


@dataclass(frozen=True)
class Overlap:
    """Actions of training, with what was still at work of the ones before.

    Attributes:
        scale: standard deviation of each value over training.
        references, episode: scaled rows, and the episode of each, by position.
    """

    scale: Float[Tensor, " value"]
    references: Float[Tensor, "reference value"]
    episode: Int[Tensor, " reference"]

    @classmethod
    def fit(cls, data: Episodes, encoding: Encoding, rng: np.random.Generator) -> "Overlap":
        """Keep a sample of the training rows."""
        rows = [torch.from_numpy(_of_episode(data[index], encoding)) for index in range(len(data))]
        episode = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(part) for part in rows]))
        every = torch.cat(rows)
        scale = every.std(0, correction=0).clamp_min(1e-6) if len(every) else torch.ones(every.shape[1])
        # A rare action has a tiny deviation over all rows; in units of it, any dose is far from any other.
        scale = scale.clamp_min(0.1)
        kept = np.sort(rng.permutation(len(every))[:REFERENCES])
        return cls(scale, every[kept] / scale, episode[kept])

    def measure(
        self,
        histories: Episodes,
        plan: Plan,
        encoding: Encoding,
        but: Int[Tensor, " episode"] | None = None,
    ) -> tuple[Float[Tensor, "episode step"], Int[Tensor, "episode step neighbour"]]:
        """Distance of each step to the nearest training rows, and their episodes.

        Args:
            histories, plan: the question.
            encoding: of the model.
            but: an episode that does not count, for each question.
        """
        asked = torch.from_numpy(describe(histories, plan, encoding)) / self.scale
        shape = asked.shape[:2]
        if but is not None:
            but = but.repeat_interleave(shape[1])
        if not asked.shape[-1]:
            return torch.zeros(shape), torch.zeros((*shape, 0), dtype=torch.long)
        distance, episodes = nearest(asked.flatten(0, 1), self.references, self.episode, but)
        return distance.unflatten(0, shape), episodes.unflatten(0, shape)


def describe(histories: Episodes, plan: Plan, encoding: Encoding) -> Float[np.ndarray, "episode step value"]:
    """Scaled actions and sums of each step of a plan; actions that are not known count as the usual ones."""
    step = encoding.scaling.step
    now = np.array([episode.time[-1] for episode in histories])
    last = np.array([episode.time[-2] if episode.steps else episode.time[-1] - step for episode in histories])
    since = np.diff(np.concatenate([last[:, None], now[:, None], plan.time[:, :-1]], axis=1), axis=1) / step
    start = np.stack([memory_of(episode, episode.steps, encoding) for episode in histories])
    return _join(plan.actions, run_memory(start, plan.actions, since, encoding), encoding)


def _of_episode(episode, encoding: Encoding) -> Float[np.ndarray, "row value"]:
    since = np.concatenate([[1.0], np.diff(episode.time)[:-1] / encoding.scaling.step])[: episode.steps]
    start = np.zeros((1, memory_width(encoding)), np.float32)
    return _join(episode.actions, run_memory(start, episode.actions[None], since[None], encoding)[0], encoding)


def _join(
    actions: Float[np.ndarray, "*row action"], memory: Float[np.ndarray, "*row sum"], encoding: Encoding
) -> Float[np.ndarray, "*row value"]:
    width = sum(variable.width for variable in encoding.schema.actions)
    return np.concatenate([encoding(actions, "action")[..., :width], memory], axis=-1, dtype=np.float32)
