"""What modellers of HIV forecast with: the equations of the source with its one set of constants, for everybody."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan, cut
from foreworld.domains import hiv_model as model

CASES = 400  # training questions that the size of its errors is measured on


@dataclass(frozen=True)
class SourcePatient:
    """Begins at what was measured last; `bias` and `spread` are mean and deviation of its errors in training, log10."""

    step_time: float
    bias: Float[np.ndarray, "step 3"]
    spread: Float[np.ndarray, "step 3"]

    @classmethod
    def fit(cls, episodes: Episodes, horizon: int) -> "SourcePatient":
        """Measure its errors on recorded episodes of the domain `hiv`."""
        step_time = float(np.median(np.diff(episodes[0].time)))
        places = [
            (index, row) for index, episode in enumerate(episodes) for row in range(1, episode.steps - horizon + 1)
        ]
        cases = cut(episodes, places[:: max(1, len(places) // CASES)], horizon)
        errors = cases.truth - cls(step_time, np.zeros((0, 3)), np.zeros((0, 3))).path(cases.histories, cases.plan)
        return cls(step_time, errors.mean(0), errors.std(0))

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """CD4 cells, virus and immune response (log10 1/mL): the path, and normal errors of the size in training."""
        mean = self.path(histories, plan) + self.bias[: plan.horizon]
        draws = np.random.default_rng(seed).standard_normal((members, len(mean), 1, 3))
        return mean + draws * self.spread[: plan.horizon]

    def path(self, histories: Episodes, plan: Plan) -> Float[np.ndarray, "episode step target"]:
        """The solution from the last row on."""
        targets = list(histories.schema.target_indices)
        state = np.stack([episode.observations[-1] for episode in histories]).astype(float) * np.log(10.0)
        rows = []
        for taken in np.moveaxis(plan.actions.astype(float), 1, 0):
            state = model.advance(state, model.Patients(), taken, self.step_time)
            rows.append(state[:, targets] / np.log(10.0))
        return np.stack(rows, axis=1)
