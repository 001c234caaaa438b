"""A direct forecaster of boosted trees: what a careful data scientist would try first on a table like this."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan, cut
from foreworld.errors import MissingExtraError
from foreworld.evidence.baselines.past import Past
from foreworld.evidence.evaluate import origins

LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
LAGS = (0, 1, 2, 3, 6, 12, 24)
CASES, ROWS = 2000, 24_000  # origins, and pairs of an origin and a step ahead that are learnt from
TREES = {"n_estimators": 150, "num_leaves": 15, "learning_rate": 0.07, "min_child_samples": 40, "verbosity": -1}


@dataclass(frozen=True)
class Boosted:
    """Quantiles of the change of each target since now, one model a target and level; the step ahead is a feature.

    Features: lagged observations and actions, their recent means, static facts, how far ahead, and of the plan up to
    there the sum, the sums over the last 3 and 12 steps, and the last action. Its futures are comonotone paths: each
    goes through the same level of the quantiles at every step.

    Attributes:
        models: [target][level], of LightGBM.
        targets: their positions among the observations.
    """

    models: list[list[Any]]
    targets: tuple[int, ...]

    @classmethod
    def fit(cls, train: Episodes, horizon: int, *, seed: int = 0) -> "Boosted":
        """Learn from evenly spread origins.

        Raises:
            MissingExtraError: LightGBM is not installed.
        """
        if find_spec("lightgbm") is None:
            raise MissingExtraError("the boosted forecaster", "bench")
        import lightgbm

        cases = cut(train, origins(train, context=1, horizon=horizon, limit=CASES, seed=seed), horizon)
        x, last = features(cases.histories, cases.plan, cases.truth.shape[2])
        rng = np.random.default_rng(seed)
        pairs = rng.permutation(x.shape[0] * x.shape[1])[:ROWS]
        flat = x.reshape(-1, x.shape[2])[pairs]
        models = []
        for target in range(cases.truth.shape[2]):
            change = (cases.truth[..., target] - last[:, None, target]).reshape(-1)[pairs]
            seen = np.isfinite(change)
            settings = {"objective": "quantile", "seed": seed, "num_threads": 1, "deterministic": True} | TREES
            models.append(
                [
                    lightgbm.train(
                        {key: value for key, value in settings.items() if key != "n_estimators"} | {"alpha": level},
                        lightgbm.Dataset(flat[seen], change[seen], free_raw_data=False, params={"verbosity": -1}),
                        num_boost_round=TREES["n_estimators"],
                    )
                    for level in LEVELS
                ]
            )
        return cls(models, train.schema.target_indices)

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """Futures at evenly spread levels, the same for every question."""
        x, last = features(histories, plan, len(self.targets))
        flat = x.reshape(-1, x.shape[2])
        found = [[model.predict(flat, num_threads=1) for model in each] for each in self.models]
        # [level, episode, step, target]; crossing quantiles are put in order.
        knots = np.sort(np.array(found).reshape(len(self.models), len(LEVELS), *x.shape[:2]), axis=1)
        knots = np.moveaxis(knots, 0, -1) + last[None, :, None]
        chance = (np.random.default_rng(seed).permutation(members) + 0.5) / members
        place = np.clip(np.searchsorted(LEVELS, chance) - 1, 0, len(LEVELS) - 2)
        levels = np.array(LEVELS)
        # Beyond the outer levels the outer stretch goes on, on the scale of normal quantiles.
        share = (_normal(chance) - _normal(levels[place])) / (_normal(levels[place + 1]) - _normal(levels[place]))
        return knots[place] + share[:, None, None, None] * (knots[place + 1] - knots[place])


def features(
    histories: Episodes, plan: Plan, targets: int
) -> tuple[Float[np.ndarray, "episode step feature"], Float[np.ndarray, "episode target"]]:
    """What is known of each origin and of the plan up to each step, and the last value seen of each target."""
    past = Past.of(histories, max(LAGS) + 1)
    lagged = [part[:, list(LAGS)].reshape(len(histories), -1) for part in (past.observations, past.actions)]
    fixed = [*lagged, past.means, past.static, past.ages]
    steps = plan.horizon
    total = np.concatenate([np.zeros_like(plan.actions[:, :1]), np.cumsum(plan.actions, axis=1)], axis=1)

    def recent(span: int) -> np.ndarray:
        start = np.maximum(np.arange(1, steps + 1) - span, 0)
        return total[:, 1:] - total[:, start]

    ahead = np.broadcast_to(plan.time[..., None] - past.now[:, None, None], (*plan.time.shape, 1))
    moving = [ahead, total[:, 1:], recent(3), recent(12), plan.actions, plan.known_future]
    static = np.repeat(np.concatenate(fixed, axis=1)[:, None], steps, axis=1)
    last = past.observations[:, 0, list(histories.schema.target_indices)]
    return np.concatenate([static, *moving], axis=2), np.nan_to_num(last)


def _normal(level: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri

    return ndtri(level)
