"""The forecast that nothing changes, with the changes that training episodes showed as its uncertainty."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.last_seen import last_seen
from foreworld.data.plan import Plan, cut
from foreworld.data.schema import Schema
from foreworld.errors import QuestionError, TrainingError
from foreworld.evidence.baselines.cases import check_observed, hot_deck
from foreworld.evidence.evaluate import origins

PATHS = 2000


def _last(histories: Episodes) -> Float[np.ndarray, "episode target"]:
    """The last value seen of every target, NaN where none was."""
    targets = list(histories.schema.target_indices)
    return np.stack([last_seen(episode.observations[:, targets])[0][-1] for episode in histories]).astype(np.float64)


@dataclass(frozen=True)
class Persistence:
    """The last value seen, plus how a value moved on from there in training episodes; the plan is not looked at.

    Continuous targets move by whole paths of changes. Binary and categorical ones follow whole paths that began with
    the same value. Where nothing was ever seen, both follow any path of the training data.

    Attributes:
        schema: of the training data.
        horizon: longest that it can look ahead.
        start: the last value seen before each path.
        paths: changes since then of continuous targets, values of others.
    """

    schema: Schema
    horizon: int
    start: Float[np.ndarray, "path target"]
    paths: Float[np.ndarray, "path step target"]

    @classmethod
    def fit(cls, train: Episodes, horizon: int, seed: int = 0) -> "Persistence":
        """Collect paths from evenly spread origins.

        Raises:
            TrainingError: no episode is long enough, or a target is never observed.
        """
        spread = origins(train, context=1, horizon=horizon, limit=PATHS, seed=seed)
        if not spread:
            raise TrainingError(f"no training episode has more than {horizon} rows, which a horizon of {horizon} needs")
        cases = cut(train, spread, horizon)
        start = _last(cases.histories)
        moves = np.array([target.kind == "continuous" for target in train.schema.targets])
        paths = np.where(moves, cases.truth - start[:, None], cases.truth)
        check_observed(np.isfinite(paths), [target.name for target in train.schema.targets])
        return cls(train.schema, horizon, hot_deck(start, seed), hot_deck(paths, seed))

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """Sampled futures of the targets in native units; the same, with the same seed, for every plan.

        Raises:
            QuestionError: the plan is longer than the horizon.
        """
        if plan.horizon > self.horizon:
            raise QuestionError(f"the plan has {plan.horizon} steps, but this baseline was fitted for {self.horizon}")
        last = _last(histories)
        rng = np.random.default_rng(seed)
        path = rng.integers(len(self.paths), size=(members, len(histories)))
        parts = []
        for index, target in enumerate(self.schema.targets):
            known = np.isfinite(last[:, index])
            if target.kind == "continuous":
                begin = np.where(known, last[:, index], self.start[path, index])
                value = begin[..., None] + self.paths[path, : plan.horizon, index]
                parts.append(np.clip(value, target.low, target.high))
                continue
            place = path.copy()
            for value in np.unique(last[known, index]):
                same = np.flatnonzero(self.start[:, index] == value)
                if len(same):
                    cases = last[:, index] == value
                    place[:, cases] = same[path[:, cases] * len(same) // len(self.paths)]
            parts.append(self.paths[place, : plan.horizon, index])
        return np.stack(parts, axis=-1)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything fitted: arrays, and a dictionary that JSON takes."""
        config = {"schema": self.schema.model_dump(mode="json"), "horizon": self.horizon}
        return {"start": self.start, "paths": self.paths}, config

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], config: dict[str, Any]) -> "Persistence":
        """The inverse of `state`."""
        return cls(Schema.model_validate(config["schema"]), config["horizon"], arrays["start"], arrays["paths"])
