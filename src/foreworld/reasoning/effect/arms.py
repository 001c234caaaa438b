"""What is compared: outcomes under several plans, all rolled out at once under the same chance."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.data.schema import Schema
from foreworld.reasoning.calibrate import Calibration
from foreworld.reasoning.forecast import encode_now, sample
from foreworld.reasoning.imagination import Imagination, spread
from foreworld.reasoning.pool import bounded
from foreworld.reasoning.support.verdict import Verdict
from foreworld.world.build import Network, belief_network
from foreworld.world.config import FitConfig

FUTURES = 20_000  # Of each network and plan, shared out over the questions: a mean under common noise needs few.


@runtime_checkable
class Model(Protocol):
    """What comparing plans needs of a world model."""

    @property
    def config(self) -> FitConfig: ...
    @property
    def encoding(self) -> Encoding: ...
    @property
    def network(self) -> Network: ...
    @property
    def calibration(self) -> Calibration: ...
    @property
    def about(self) -> dict[str, Any]: ...
    def follow(self, histories: Episodes, plan: Plan, *, members: int, seed: int) -> Imagination: ...
    def judge(self, histories: Episodes, plan: Plan) -> Verdict: ...
    def of_individuals(
        self, drawn: Float[np.ndarray, "network draw episode step target"], histories: Episodes, plan: Plan
    ) -> Float[np.ndarray, "network draw episode step target"]: ...
    def neighbours(self, histories: Episodes, plan: Plan, *, seed: int) -> tuple[tuple[str | int, ...], ...]: ...


def roll_arms(
    model: Model, histories: Episodes, plans: Sequence[Plan], *, seed: int
) -> Float[np.ndarray, "arm network episode step unit"]:
    """Expected outcome of each plan by network: calibrated, native units; of a category, its probability.

    Plans are candidates in one rollout, and all share the noise: a difference between them is due to the plans alone.
    """
    network = belief_network(model.network)
    count = len(plans)
    beliefs = encode_now(network, histories, model.encoding).repeat(1, count, 1)
    asked, joined = join(histories, plans)
    draws = max(8, min(model.config.draws, FUTURES // len(asked)))
    drawn = sample(network, beliefs, asked, joined, model.encoding, draws=draws, seed=seed)
    drawn = model.of_individuals(drawn, asked, joined)
    targets = histories.schema.targets
    centre, scale = model.encoding.scaling.of(targets)
    means = []
    for futures in drawn:
        calibrated = bounded(model.calibration.apply(futures * scale + centre), targets)
        means.append(spread(calibrated, targets)[2].mean(0, dtype=np.float64))
    out = np.stack(means)
    return np.stack(np.split(out, count, axis=1))


def join(histories: Episodes, plans: Sequence[Plan]) -> tuple[Episodes, Plan]:
    """The histories once for each plan, and all plans as one."""
    parts = ([plan.time for plan in plans], [plan.actions for plan in plans], [plan.known_future for plan in plans])
    return Episodes(histories.schema, tuple(histories) * len(plans), histories.backend), Plan(
        *map(np.concatenate, parts)
    )


def action_columns(actions: Float[np.ndarray, "*row action"], encoding: Encoding) -> Float[np.ndarray, "*row column"]:
    """Actions as regressors: scaled numbers, and for categories an indicator of each but the first; NaN if unknown."""
    columns = []
    for index, variable in enumerate(encoding.schema.actions):
        value = actions[..., index].astype(np.float64)
        if variable.kind == "categorical":
            for code in range(1, variable.width):
                columns.append(np.where(np.isfinite(value), value == code, np.nan))
        else:
            scale = encoding.scaling.variables[variable.name]
            columns.append((value - scale.centre) / scale.scale if variable.kind == "continuous" else value)
    return np.stack(columns, axis=-1)


def column_owners(schema: Schema) -> list[int]:
    """The action that each of `action_columns` belongs to."""
    return [
        index
        for index, variable in enumerate(schema.actions)
        for _ in range(variable.width - 1 if variable.kind == "categorical" else 1)
    ]
