"""What of training questions are held against: rows of beliefs, readings and actions, and what lasted of these."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.reasoning.support.lasting import Means, fit_level, fit_load, level_of, load_of
from foreworld.reasoning.support.neighbours import Near, Neighbours
from foreworld.reasoning.support.overlap import planned
from foreworld.reasoning.support.readings import distances, fit_readings, known_rows


@dataclass(frozen=True)
class Familiar:
    """Training as questions see it.

    Attributes:
        beliefs: of each member.
        readings, level: observations, and what they were on average.
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
        """Readings, and what lasted, of all episodes, beside beliefs and steps that are there."""
        rows = [known_rows(episode, encoding) for episode in data]
        return cls(
            beliefs=beliefs,
            readings=fit_readings(rows, np.random.default_rng([seed, 4])),
            level=fit_level(rows),
            steps=steps,
            load=fit_load(data, encoding, horizon),
        )

    def past(
        self,
        beliefs: Float[Tensor, "member episode latent"],
        histories: Episodes,
        encoding: Encoding,
        but: Int[Tensor, " episode"] | None = None,
    ) -> tuple[Near, Float[np.ndarray, " episode"], Float[np.ndarray, "episode reading"]]:
        """How near histories come in beliefs and in their latest rows, and how unusual they are on average.

        Args:
            beliefs: of the histories, as `encode_now` gives them.
            histories, encoding: of the questions, and of the model.
            but: an episode whose rows do not count, for each history.
        """
        rows = [known_rows(history, encoding) for history in histories]
        return self.beliefs.of(beliefs, but=but), distances(self.readings, rows, but), level_of(self.level, rows)

    def course(
        self,
        histories: Episodes,
        plan: Plan,
        encoding: Encoding,
        span: int,
        but: Int[Tensor, " episode"] | None = None,
    ) -> tuple[Near, Float[np.ndarray, "episode step dose"]]:
        """How near the steps of plans come, in rows of one episode after the other, and what they are on average."""
        each = None if but is None else but.repeat_interleave(plan.horizon)
        steps = self.steps.of(planned(histories, plan, encoding).flatten(0, 1)[None], but=each)
        return steps, load_of(self.load, histories, plan, encoding, span)

    def state(self) -> dict[str, np.ndarray]:
        """Everything, by name."""
        parts = (part.state(name) for name, part in vars(self).items())
        return {name: value for part in parts for name, value in part.items()}

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray]) -> "Familiar":
        """The inverse of `state`; arrays of other names are left alone."""
        beliefs, readings, steps = (Neighbours.from_state(arrays, name) for name in ("beliefs", "readings", "steps"))
        level, load = (Means.from_state(arrays, name) for name in ("level", "load"))
        return cls(beliefs, readings, level, steps, load)
