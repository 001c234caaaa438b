"""A direct multi-step linear forecast with exogenous inputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.schema import Schema
from foreworld.errors import QuestionError
from foreworld.evidence.baselines.cases import training_rows
from foreworld.evidence.baselines.codes import decode, root
from foreworld.evidence.baselines.design import Design, needed
from foreworld.evidence.baselines.fitting import Parameters, choose_lags, learn, relearn
from foreworld.evidence.baselines.past import Past, anchors

CASES, TUNED, SCOUTS = 30_000, 10_000, 4_000
MOST_NUMBERS = 20_000_000  # in a design matrix


@dataclass(frozen=True)
class RidgeARX:
    """Ridge regression of each target at each step ahead on the past and on the plan up to that step.

    Uncertainty is drawn from whole paths of errors that cross-validation over episodes made on training cases. What a
    careful analyst would try is tried, and chosen by cross-validation: how many lags, the penalty of each response,
    another penalty for interactions, levels or changes, square roots of non-negative targets, errors whose size
    depends on the features.

    Attributes:
        schema: of the training data.
        horizon: longest that it can look ahead.
        design: its features.
        parameters: what was fitted to them.
        tuning: what was chosen, as JSON takes it.
    """

    schema: Schema
    horizon: int
    design: Design
    parameters: Parameters
    tuning: dict[str, Any]

    @classmethod
    def fit(cls, train: Episodes, horizon: int, seed: int = 0) -> "RidgeARX":
        """Tune on at most TUNED evenly spread origins, and fit to at most CASES.

        Args:
            train: at least two episodes longer than the horizon, or one that can be cut in two.
            horizon: steps to look ahead, from 1.
            seed: of the folds.

        Raises:
            TrainingError: too little data, or a target that is never observed at some step ahead.
        """
        rows = training_rows(train, horizon, limit=CASES, seed=seed)
        lags, scores = choose_lags(rows.some(SCOUTS))
        tuned = rows.some(TUNED)
        back = Past.of(tuned.cases.histories, needed(lags))
        design, x = Design.fit(back, train.schema, tuned.cases.plan, lags)
        parameters, choice, record = learn(x, tuned, design, train.schema, seed)
        most = rows.some(max(MOST_NUMBERS // x.shape[1], len(x)))
        if len(most.fold) > len(x):
            parameters = relearn(most, design, parameters, choice)
        tuning = {
            "cases": len(most.fold),
            "columns": x.shape[1],
            "lags": lags,
            "rmse_by_lags": {str(tried): score for tried, score in scores.items()},
            "targets": record,
        }
        return cls(train.schema, horizon, design, parameters, tuning)

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """Sampled futures of the targets in native units.

        The same seed draws the same errors, whatever the plan: differences between plans are free of sampling noise.

        Raises:
            QuestionError: the plan is longer than the horizon.
        """
        if plan.horizon > self.horizon:
            raise QuestionError(f"the plan has {plan.horizon} steps, but this baseline was fitted for {self.horizon}")
        steps, own = slice(plan.horizon), self.parameters
        x = self.design.matrix(histories, plan)
        last = anchors(histories)
        last = root(np.where(np.isnan(last), own.mean, last), own.rooted)[:, None]
        centre = _apply(x, own.weights[:, steps]) + own.differenced[steps] * last
        size = np.clip(_apply(x, own.spread[:, steps]), *own.limits[:, steps])
        rng = np.random.default_rng(seed)
        path = rng.integers(len(own.residuals), size=(members, len(histories)))
        samples = centre + size * own.residuals[:, steps][path]
        return decode(samples, centre, own.rooted, self.schema, rng)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything fitted: arrays, and a dictionary that JSON takes."""
        features = {
            f"design.{name}": value for name, value in vars(self.design).items() if isinstance(value, np.ndarray)
        }
        config = {
            "schema": self.schema.model_dump(mode="json"),
            "horizon": self.horizon,
            "lags": self.design.lags,
            "pool": self.design.pool,
            "tuning": self.tuning,
        }
        return features | vars(self.parameters), config

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], config: dict[str, Any]) -> "RidgeARX":
        """The inverse of `state`."""
        features = {name.removeprefix("design."): value for name, value in arrays.items() if name.startswith("design.")}
        return cls(
            schema=Schema.model_validate(config["schema"]),
            horizon=config["horizon"],
            design=Design(lags=config["lags"], pool=config["pool"], **features),
            parameters=Parameters(**{name: array for name, array in arrays.items() if not name.startswith("design.")}),
            tuning=config["tuning"],
        )


def _apply(
    x: Float[np.ndarray, "case column"], weights: Float[np.ndarray, "all step code"]
) -> Float[np.ndarray, "case step code"]:
    """Linear predictions from the leading columns."""
    return np.tensordot(x, weights[: x.shape[1]], axes=1)
