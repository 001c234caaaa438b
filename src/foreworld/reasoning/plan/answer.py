"""The answer to *what should be done*: actions, what they cost and gain, and how likely each limit is broken."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.episodes import Episodes
from foreworld.data.frames import frame_from_columns, free
from foreworld.data.plan import Plan
from foreworld.data.summary import clock
from foreworld.reasoning.support.verdict import Verdict

_NORMAL_90 = 1.645  # Half of a 90% interval of a normal, in standard deviations.


@dataclass(frozen=True)
class Estimate:
    """A quantity of each episode with a 90% interval over the members of the ensemble, which the data did not settle.

    The interval is NaN for an ensemble of one.
    """

    mean: Float[np.ndarray, " episode"]
    low: Float[np.ndarray, " episode"]
    high: Float[np.ndarray, " episode"]

    @classmethod
    def over_members(
        cls, pooled: Float[np.ndarray, " episode"], members: Float[np.ndarray, "member episode"]
    ) -> "Estimate":
        """The ensemble's value, and the spread of its members' about it."""
        half = np.full(len(pooled), np.nan)
        if len(members) > 1:
            half = _NORMAL_90 * members.std(0, ddof=1)
        return cls(pooled, pooled - half, pooled + half)

    def of(self, episode: int) -> dict[str, float]:
        """The numbers of one episode."""
        return {"mean": float(self.mean[episode]), "low": float(self.low[episode]), "high": float(self.high[episode])}


@dataclass(frozen=True)
class LimitReport:
    """How a plan stands to one limit.

    Attributes:
        text: the limit as it was written.
        bound: what must not be passed.
        value: what is bounded, over the sampled futures: a chance, a CVaR or a mean.
        breaking: chance of going wrong: of the condition at any step of the horizon, or of a future whose average
            passes the bound.
        kept: whether the value stays within the bound.
        conflict: that no plan was found which keeps all limits, and that one was found which keeps all but this one.
        reachable: the smallest value found while all others are kept; NaN where there is no conflict.
    """

    text: str
    bound: float
    value: Float[np.ndarray, " episode"]
    breaking: Float[np.ndarray, " episode"]
    kept: Bool[np.ndarray, " episode"]
    conflict: Bool[np.ndarray, " episode"]
    reachable: Float[np.ndarray, " episode"]


@dataclass(frozen=True)
class PlanAnswer:
    """A plan for each history.

    Attributes:
        plan: every action of every step, in native units; categories are indices.
        chosen: names of the actions that were chosen; the others were given.
        goal, unit: as it was written, and the unit of its cost where it has one.
        cost: expected cost of the goal, mean over futures and steps. For a condition: how far outside.
        limits: how each limit is kept.
        gain: what is saved against doing nothing (what is not decided rests or is held).
        gain_over_logged: what is saved against what was done, where that is given.
        verdict: how far history, actions and horizon lie within what training and calibration saw.
        histories: the question.
    """

    plan: Plan
    chosen: tuple[str, ...]
    goal: str
    unit: str
    cost: Estimate
    limits: tuple[LimitReport, ...]
    gain: Estimate
    gain_over_logged: Estimate | None
    verdict: Verdict
    histories: Episodes

    @property
    def actions(self) -> Float[np.ndarray, "episode step action"]:
        """What to do; `actions[:, 0]` is to be done now."""
        return self.plan.actions

    @property
    def supported(self) -> Bool[np.ndarray, "episode step"]:
        """Whether the support of each step suffices; after the first at which it does not, it never does."""
        return self.verdict.supported

    @property
    def outside(self) -> tuple[str, ...]:
        """Actions of the plan beyond the range of the training data, by name, in any episode."""
        beyond = {reason.variable for found in self.verdict.reasons for reason in found if reason.ground == "range"}
        return tuple(action.name for action in self.histories.schema.actions if action.name in beyond)

    def to_frame(self, backend: str | None = None) -> Any:
        """One row an (id, step) with a column an action, under the user's own column names.

        An action leaves its row: the time of a row is when its actions are to be taken, the first one now.
        """
        schema, (episodes, steps) = self.histories.schema, self.plan.time.shape
        now = np.array([history.time[-1] for history in self.histories])
        leaving = np.concatenate([now[:, None], self.plan.time[:, :-1]], axis=1)
        columns: dict[str, Any] = {
            schema.id: np.repeat(np.array([history.id for history in self.histories]), steps),
            schema.time: clock(leaving.reshape(-1), schema),
        }
        for index, action in enumerate(schema.actions):
            values = self.actions[..., index].reshape(-1)
            labels = np.array(action.categories, dtype=object)
            columns[action.name] = labels[values.astype(int)] if action.categories else values
        ours = {"step": np.tile(np.arange(1, steps + 1), episodes), "supported": self.supported.reshape(-1)}
        columns |= {free(name, columns): values for name, values in ours.items()}
        return frame_from_columns(columns, backend or self.histories.backend)

    def summary(self) -> list[dict[str, Any]]:
        """What the plan promises, one entry an episode; JSON-able."""
        return [self._summary(index, history.id) for index, history in enumerate(self.histories)]

    def _summary(self, episode: int, id: str | int) -> dict[str, Any]:
        logged = None if self.gain_over_logged is None else self.gain_over_logged.of(episode)
        limits = [
            {
                "limit": limit.text,
                "bound": limit.bound,
                "value": float(limit.value[episode]),
                "chance_of_breaking": float(limit.breaking[episode]),
                "kept": bool(limit.kept[episode]),
                "in_conflict": bool(limit.conflict[episode]),
                "smallest_reachable": float(limit.reachable[episode]),
            }
            for limit in self.limits
        ]
        return {
            "id": id,
            "goal": self.goal,
            "unit": self.unit,
            "horizon": self.plan.horizon,
            "cost": self.cost.of(episode),
            "gain_over_doing_nothing": self.gain.of(episode),
            "gain_over_logged": logged,
            "limits": limits,
            "outside_training_range": list(self.outside),
            **self.verdict.summary(episode),
        }
