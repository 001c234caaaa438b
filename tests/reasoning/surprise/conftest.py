"""A noisy linear system whose forecasts are known to be simple, and a small model of it."""

import numpy as np
import pytest

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.schema import Schema, Variable
from foreworld.model import WorldModel
from foreworld.world.config import FitConfig

SMALL = {"members": 2, "latent": 8, "hidden": 24, "noise": 2, "context": 16, "horizon": 4, "steps": 150, "batch": 8}
NAMES = ("level", "flow", "spare")
SCHEMA = Schema(
    id="tank",
    time="minute",
    time_unit="min",
    variables=(
        Variable(name="level", role="observation", unit="cm", target=True),
        Variable(name="flow", role="observation", unit="l/min", target=True),
        Variable(name="spare", role="observation", unit="cm"),
        Variable(name="valve", role="action"),
    ),
)


def tanks(count: int, rows: int, seed: int, *, gain: float = 2.0, from_row: int = 0) -> Episodes:
    """Level and flow of a linear system with a valve that is turned at random, and a spare sensor of the level.

    From `from_row` on the valve has this gain; before, it is 2.
    """
    rng = np.random.default_rng(seed)
    valve = np.repeat(rng.choice([-1.0, 0.0, 1.0], (count, -(-rows // 4))), 4, axis=1)[:, :rows]
    level, flow = rng.normal(0, 2, (2, count))
    seen = []
    for row in range(rows):
        spare = level + rng.normal(0, 0.5, count)
        seen.append(np.stack([level + 50, flow, spare + 50], axis=-1))
        push = (gain if row >= from_row else 2.0) * valve[:, row]
        level, flow = (
            0.8 * level + 0.2 * flow + push + rng.normal(0, 0.4, count),
            0.7 * flow - 0.2 * level + rng.normal(0, 0.4, count),
        )
    observations = np.stack(seen, axis=1)
    return Episodes(
        SCHEMA,
        tuple(
            Episode(
                id=f"tank {index:03d}",
                time=np.arange(rows) * 5.0,
                observations=observations[index],
                actions=valve[index, :-1, None],
                static=np.zeros(0),
                known_future=np.zeros((rows, 0)),
                pending=valve[index, -1:],
            )
            for index in range(count)
        ),
    )


@pytest.fixture(scope="package")
def model() -> WorldModel:
    """A small model of forty tanks."""
    return WorldModel.fit(tanks(40, 120, seed=0), config=FitConfig.model_validate(SMALL), progress=False)
