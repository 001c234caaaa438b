"""The rows of training that questions are held against: beliefs, readings and actions, and what lasted of these."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.reasoning.support.lasting import fit_level, fit_load, level_of, load_of
from foreworld.reasoning.support.neighbours import Near, Neighbours
from foreworld.reasoning.support.overlap import fit_overlap, planned
from foreworld.reasoning.support.readings import distances, fit_readings


@dataclass(frozen=True)
class Familiar:
    """What is looked up, each in rows of its own.

    Attributes:
        beliefs: of each member.
        readings, level: observations, and what they were on average (`foreworld.reasoning.support.lasting`).
        steps, load: actions with those before them, and what was done on average.
    """

    beliefs: Neighbours
    readings: Neighbours
    level: Neighbours
    steps: Neighbours
    load: Neighbours

    @classmethod
    def fit(cls, data: Episodes, encoding: Encoding, beliefs: Neighbours, horizon: int, seed: int) -> "Familiar":
        """Samples of the rows of all episodes, beside beliefs that are there."""
        rng = [np.random.default_rng([seed, stream]) for stream in (4, 6, 7, 8)]
        return cls(
            beliefs=beliefs,
            readings=fit_readings(data, encoding, rng[0]),
            level=fit_level(data, encoding, rng[1]),
            steps=fit_overlap(data, encoding, rng[2]),
            load=fit_load(data, encoding, horizon, rng[3]),
        )

    def past(
        self,
        beliefs: Float[Tensor, "member episode latent"],
        histories: Episodes,
        encoding: Encoding,
        but: Int[Tensor, " episode"] | None = None,
    ) -> tuple[Near, Float[np.ndarray, " episode"], Float[np.ndarray, " episode"]]:
        """How near histories come in beliefs, in their latest rows and on average.

        Args:
            beliefs: of the histories, as `encode_now` gives them.
            histories, encoding: of the questions, and of the model.
            but: an episode that does not count, for each history.
        """
        level = self.level.of(level_of(histories, encoding)[None], but=but).distance[0].numpy()
        return self.beliefs.of(beliefs, but=but), distances(self.readings, histories, encoding, but=but), level

    def course(
        self,
        histories: Episodes,
        plan: Plan,
        encoding: Encoding,
        span: int,
        but: Int[Tensor, " episode"] | None = None,
    ) -> tuple[Near, Near]:
        """How near the steps of plans come, and what is done on average over so many; rows are steps of episodes."""
        each = None if but is None else but.repeat_interleave(plan.horizon)
        steps = self.steps.of(planned(histories, plan, encoding).flatten(0, 1)[None], but=each)
        return steps, self.load.of(load_of(histories, plan, encoding, span).flatten(0, 1)[None], but=each)

    def state(self) -> dict[str, np.ndarray]:
        """Everything, by name."""
        return {
            f"{part.name}.{row}": value.numpy()
            for part in fields(self)
            for row, value in vars(getattr(self, part.name)).items()
        }

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray]) -> "Familiar":
        """The inverse of `state`; arrays of other names are left alone."""
        return cls(
            *(
                Neighbours(*(torch.from_numpy(arrays[f"{part.name}.{row.name}"]) for row in fields(Neighbours)))
                for part in fields(cls)
            )
        )
