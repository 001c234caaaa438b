"""Closed-loop control: a policy that plans anew at every step, for many episodes at once, and begins where it was."""

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episode, Episodes
from foreworld.reasoning.plan.answer import PlanAnswer
from foreworld.reasoning.plan.icem import ICEM
from foreworld.reasoning.plan.make import DRAWS, Model, make_plan
from foreworld.reasoning.plan.problem import Task
from foreworld.reasoning.plan.search import Planner
from foreworld.reasoning.question import Do


class Agent:
    """A policy in the manner of Gymnasium: histories in, the actions to take now out.

    Args:
        model: a world model.
        planner: how to search; iCEM by default.
        task: goal, limits, bounds.
        horizon: steps to look ahead; those that are calibrated by default.
        draws: of the noise, a member: while searching, and to choose among the finalists.
        seed: of the search.
    """

    def __init__(
        self,
        model: Model,
        planner: Planner | None = None,
        *,
        task: Task,
        horizon: int | None = None,
        draws: tuple[int, int] = DRAWS,
        seed: int = 0,
    ):
        self.model, self.planner, self.task, self.draws, self.seed = model, planner or ICEM(), task, draws, seed
        self.horizon = model.calibration.horizon if horizon is None else horizon
        self._plans: dict[str | int, tuple[float, Float[np.ndarray, "step action"]]] = {}

    def act(
        self, histories: Episodes, *, do: Do | None = None, future: Episodes | None = None
    ) -> Float[np.ndarray, "episode action"]:
        """What to do now after each history, in native units."""
        return self.plan(histories, do=do, future=future).actions[:, 0]

    def plan(self, histories: Episodes, *, do: Do | None = None, future: Episodes | None = None) -> PlanAnswer:
        """The whole plan, of which `act` takes the first step. It is where the next search begins."""
        known = [self._shifted(history) for history in histories if history.id in self._plans]
        start = np.stack(known) if len(known) == len(histories) else None
        answer = make_plan(
            self.model,
            histories,
            self.task,
            horizon=self.horizon,
            planner=self.planner,
            do=do,
            future=future,
            start=start,
            draws=self.draws,
            seed=self.seed,
        )
        for history, actions in zip(histories, answer.actions, strict=True):
            self._plans[history.id] = (float(history.time[-1]), actions)
        return answer

    def forget(self) -> None:
        """Begin new episodes: no plan is carried over."""
        self._plans.clear()

    def _shifted(self, history: Episode) -> Float[np.ndarray, "step action"]:
        """The plan before, from now on; its last action is held to the end."""
        then, actions = self._plans[history.id]
        passed = max(round((float(history.time[-1]) - then) / self.model.encoding.scaling.step), 0)
        rows = np.minimum(np.arange(self.horizon) + passed, self.horizon - 1)
        return actions[rows]
