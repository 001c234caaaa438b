"""A direct multi-step linear forecast with exogenous inputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.schema import Schema
from foreworld.errors import QuestionError
from foreworld.evidence.baselines import fitting
from foreworld.evidence.baselines.codes import decode, root
from foreworld.evidence.baselines.design import Design
from foreworld.evidence.baselines.past import anchors


@dataclass(frozen=True)
class RidgeARX:
    """Ridge regression of each target at each step ahead on the past and on the plan up to that step.

    Uncertainty is drawn from whole paths of errors that cross-validation over episodes made on training cases. What a
    careful analyst would try is tried, and chosen by cross-validation: how many lags, the penalty of each response,
    another penalty for interactions, levels or changes, square roots of non-negative targets, errors that grow with
    the features. `tuning` records the choices.

    Attributes:
        schema: of the training data.
        horizon: longest that it can look ahead.
        design: its features.
        weights: of the features, for each code of a target (one, or one a category).
        differenced: whether a response is the change since the last value seen.
        rooted: whether a code is the square root of its target.
        mean: of the codes; stands for the last value where none was seen.
        spread: weights of the features in the size of the errors.
        spread_limits: lowest and highest size; 1 and 1 where errors do not depend on the features.
        residuals: paths of errors, in units of their size.
        tuning: what was chosen.
    """

    schema: Schema
    horizon: int
    design: Design
    weights: Float[np.ndarray, "column step code"]
    differenced: Bool[np.ndarray, "step code"]
    rooted: Bool[np.ndarray, " code"]
    mean: Float[np.ndarray, " code"]
    spread: Float[np.ndarray, "column step code"]
    spread_limits: Float[np.ndarray, "2 step code"]
    residuals: Float[np.ndarray, "path step code"]
    tuning: dict[str, Any]

    @classmethod
    def fit(cls, train: Episodes, horizon: int, seed: int = 0) -> "RidgeARX":
        """Tune and fit.

        Args:
            train: training episodes; at least two, or one that can be cut in two.
            horizon: steps to look ahead, at least 1.
            seed: of the folds.

        Raises:
            TrainingError: too little data, or a target that is never observed at some step ahead.
        """
        return cls(**vars(fitting.fit(train, horizon, seed)))

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
        steps = slice(plan.horizon)
        x = self.design.matrix(histories, plan)
        last = anchors(histories)
        last = root(np.where(np.isnan(last), self.mean, last), self.rooted)[:, None]
        centre = _apply(x, self.weights[:, steps]) + self.differenced[steps] * last
        size = np.clip(_apply(x, self.spread[:, steps]), *self.spread_limits[:, steps])
        rng = np.random.default_rng(seed)
        path = rng.integers(len(self.residuals), size=(members, len(histories)))
        samples = centre + size * self.residuals[path][:, :, steps]
        return decode(samples, centre, self.rooted, self.schema, rng)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything fitted, as arrays and as a dictionary for JSON."""
        own = ("weights", "differenced", "rooted", "mean", "spread", "spread_limits", "residuals")
        arrays = {name: getattr(self, name) for name in own}
        features = {f"design.{name}": value for name, value in vars(self.design).items() if isinstance(value, np.ndarray)}
        config = {
            "schema": self.schema.model_dump(mode="json"),
            "horizon": self.horizon,
            "lags": self.design.lags,
            "pool": self.design.pool,
            "tuning": self.tuning,
        }
        return arrays | features, config

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], config: dict[str, Any]) -> "RidgeARX":
        """The inverse of `state`."""
        features = {name.removeprefix("design."): value for name, value in arrays.items() if name.startswith("design.")}
        return cls(
            schema=Schema.model_validate(config["schema"]),
            horizon=config["horizon"],
            design=Design(lags=config["lags"], pool=config["pool"], **features),
            tuning=config["tuning"],
            **{name: value for name, value in arrays.items() if not name.startswith("design.")},
        )


def _apply(
    x: Float[np.ndarray, "case column"], weights: Float[np.ndarray, "all step code"]
) -> Float[np.ndarray, "case step code"]:
    """Linear predictions from the leading columns."""
    return np.tensordot(x, weights[: x.shape[1]], axes=1)
