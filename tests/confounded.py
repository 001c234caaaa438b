"""A confounded world with known effects: a seen cause drives both what is done and what comes of it."""

import numpy as np

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.schema import Schema, Variable
from foreworld.world.config import FitConfig

SCHEMA = Schema(
    id="unit",
    time="t",
    variables=(
        Variable(name="y", role="observation", unit="mg", target=True),
        Variable(name="cause", role="observation"),
        Variable(name="dose", role="action", unit="ml"),
    ),
)
SETTINGS = FitConfig.model_validate(
    {"members": 2, "latent": 8, "hidden": 16, "noise": 2, "context": 6, "horizon": 3, "steps": 60, "draws": 20}
)


def confounded(units: int, steps: int, seed: int, *, effect: float, cause: float = 2.0, late: float = 0.0) -> Episodes:
    """y' = y / 2 + effect dose + cause c + noise; dose = c + 0.3 y + late (y five rows before) + noise."""
    rng = np.random.default_rng(seed)
    y, c = rng.normal(size=(2, units))
    seen, doses = [[y, c]], []
    for _ in range(steps):
        before = seen[-6][0] if len(seen) > 5 else 0.0
        doses.append(c + 0.3 * y + late * before + rng.normal(size=units))
        y = 0.5 * y + effect * doses[-1] + cause * c + rng.normal(size=units)
        c = 0.6 * c + 0.8 * rng.normal(size=units)
        seen.append([y, c])
    observations, actions = np.moveaxis(np.array(seen), 2, 0), np.array(doses).T[..., None]
    return Episodes(
        SCHEMA,
        tuple(
            Episode(
                id=unit,
                time=np.arange(steps + 1.0),
                observations=observations[unit],
                actions=actions[unit],
                static=np.zeros(0),
                known_future=np.zeros((steps + 1, 0)),
                pending=np.full(1, np.nan),
            )
            for unit in range(units)
        ),
    )
