"""The rows of training that questions are held against: beliefs, readings and actions, and what lasted of these."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.reasoning.support.lasting import Means, fit_level, fit_load, near_level, near_load
from foreworld.reasoning.support.neighbours import Near, Neighbours
from foreworld.reasoning.support.overlap import planned
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
    level: Means
    steps: Neighbours
    load: Means

    @classmethod
    def fit(
        cls, data: Episodes, encoding: Encoding, horizon: int, seed: int, *, beliefs: Neighbours, steps: Neighbours
    ) -> "Familiar":
        """Samples of the readings, and of what lasted, of all episodes, beside beliefs and steps that are there."""
        rng = [np.random.default_rng([seed, stream]) for stream in (4, 6, 7)]
        return cls(
            beliefs=beliefs,
            readings=fit_readings(data, encoding, rng[0]),
            level=fit_level(data, encoding, rng[1]),
            steps=steps,
            load=fit_load(data, encoding, horizon, rng[2]),
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
        level = near_level(self.level, histories, encoding, but).distance[0].numpy()
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
        return steps, near_load(self.load, histories, plan, encoding, span, each)

    def state(self) -> dict[str, np.ndarray]:
        """Everything, by name."""
        parts = (getattr(self, part.name).state(part.name) for part in fields(self))
        return {name: value for part in parts for name, value in part.items()}

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray]) -> "Familiar":
        """The inverse of `state`; arrays of other names are left alone."""
        beliefs, readings, steps = (Neighbours.from_state(arrays, name) for name in ("beliefs", "readings", "steps"))
        level, load = (Means.from_state(arrays, name) for name in ("level", "load"))
        return cls(beliefs, readings, level, steps, load)
