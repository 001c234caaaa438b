"""Made-up trajectories with every role and kind of column, and settings for models trained on them in a second."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.scaling import Encoding, fit_scaling
from foreworld.data.schema import Role, Schema, Variable
from foreworld.reasoning.support.verdict import GROUNDS, Verdict
from foreworld.world.config import FitConfig

MODES = ("idle", "on", "safe")
SCHEMA = Schema(
    id="device",
    time="minute",
    time_unit="min",
    variables=(
        Variable(name="level", role="observation", unit="cm", low=0, target=True),
        Variable(name="alarm", role="observation", kind="binary", target=True),
        Variable(name="mode", role="observation", kind="categorical", categories=MODES, target=True),
        Variable(name="hum", role="observation"),
        Variable(name="dose", role="action", unit="g", low=0, high=100),
        Variable(name="rate", role="action"),
        Variable(name="pump", role="action", kind="categorical", categories=("a", "b")),
        Variable(name="size", role="static"),
        Variable(name="hour", role="known_future"),
    ),
)


def tiny(**changes: Any) -> FitConfig:
    """Settings of a model that is trained in a second and has no merit."""
    small = {"members": 2, "latent": 8, "hidden": 16, "noise": 2, "context": 8, "horizon": 4}
    return FitConfig.model_validate(small | {"steps": 20, "batch": 4, "anchors": 2} | changes)


def values(rng: np.random.Generator, variables: Sequence[Variable], rows: int, missing: float) -> np.ndarray:
    """Random values of some variables: a dose is mostly zero, a share of all is missing."""
    columns = []
    for variable in variables:
        count = {"continuous": 0, "binary": 2, "categorical": variable.width}[variable.kind]
        column = rng.integers(0, count, rows).astype(float) if count else rng.normal(50, 10, rows).clip(0, 100)
        columns.append(np.where(rng.random(rows) < 0.8, 0.0, column) if variable.name == "dose" else column)
    table = np.stack(columns, axis=1) if columns else np.zeros((rows, 0))
    return np.where(rng.random(table.shape) < missing, np.nan, table)


def episode(id: str | int, rows: int, seed: int, *, schema: Schema = SCHEMA, missing: float = 0.1) -> Episode:
    """A random episode with irregular time steps."""
    rng = np.random.default_rng([seed, rows])

    def draw(role: Role, count: int) -> np.ndarray:
        return values(rng, schema.of(role), count, missing)

    return Episode(
        id=id,
        time=100.0 + np.cumsum(rng.choice([5.0, 5.0, 5.0, 2.5, 20.0], rows)),
        observations=draw("observation", rows),
        actions=draw("action", rows - 1),
        static=draw("static", 1)[0],
        known_future=draw("known_future", rows),
        pending=draw("action", 1)[0],
    )


def episodes(lengths: Sequence[int], seed: int = 0, *, schema: Schema = SCHEMA, missing: float = 0.1) -> Episodes:
    """Random episodes of these numbers of rows."""
    made = [episode(f"unit {i:02d}", rows, seed + i, schema=schema, missing=missing) for i, rows in enumerate(lengths)]
    return Episodes(schema, tuple(made))


def verdict(supported: np.ndarray) -> Verdict:
    """What a model would say that vouches for these steps alone."""
    episodes = len(supported)
    return Verdict(
        support=np.where(supported, 0.5, 0.0),
        supported=supported,
        times=np.zeros((len(GROUNDS), *supported.shape)),
        growth=np.ones(supported.shape),
        usual_error=np.zeros((supported.shape[1], len(SCHEMA.targets))),
        neighbours=(("unit 00",),) * episodes,
        reasons=((),) * episodes,
    )


def encoding_of(data: Episodes, memory: tuple[float, ...] = (3.0, 9.0)) -> Encoding:
    """Scaling measured on these episodes."""
    return Encoding(data.schema, fit_scaling(data), memory)


def pushed_strength(runs: int, seed: int, *, apart: float) -> np.ndarray:
    """By how much a push raises the level of each run."""
    return 2 + apart * np.random.default_rng([seed, 1]).normal(size=runs)


def pushed(runs: int, rows: int, seed: int, *, apart: float = 0.0) -> Episodes:
    """A leaky level that a push raises: x' = 0.8 x + 2 push + noise; the push is drawn anew every third row.

    Where runs are apart, each has a number of its own in the place of the 2.
    """
    rng = np.random.default_rng(seed)
    push = np.repeat(rng.choice([0.0, 0.5, 1.0], (runs, -(-rows // 3))), 3, axis=1)[:, :rows]
    level, strength = np.zeros((runs, rows)), pushed_strength(runs, seed, apart=apart)
    level[:, 0] = rng.normal(5, 2, runs)
    for row in range(1, rows):
        level[:, row] = 0.8 * level[:, row - 1] + strength * push[:, row - 1] + rng.normal(0, 0.2, runs)
    schema = Schema(
        id="run",
        time="t",
        variables=(Variable(name="level", role="observation", target=True), Variable(name="push", role="action")),
    )
    made = [
        Episode(
            id=run,
            time=np.arange(rows, dtype=float),
            observations=level[run, :, None],
            actions=push[run, :-1, None],
            static=np.zeros(0),
            known_future=np.zeros((rows, 0)),
            pending=push[run, -1:],
        )
        for run in range(runs)
    ]
    return Episodes(schema, tuple(made))
