"""A model that was trained on clean and complete readings answers about noisy and patchy ones."""

from dataclasses import replace

import numpy as np
import pytest

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Cases, cut
from foreworld.data.schema import Schema, Variable
from foreworld.model import WorldModel

from ..simulated import tiny

NOISE, TURN, NOW, HORIZON = 0.3, 0.3, 40, 8
SCHEMA = Schema(
    id="id",
    time="t",
    variables=(
        Variable(name="x", role="observation", target=True),
        Variable(name="y", role="observation", target=True),
        Variable(name="push", role="action"),
    ),
)
STEP = np.array([[np.cos(TURN), np.sin(TURN)], [-np.sin(TURN), np.cos(TURN)]])


def swing(seed: int, rows: int = 60) -> Episode:
    """A point that goes round in a circle, without noise, and is pushed a little."""
    rng = np.random.default_rng(seed)
    states, push = [rng.normal(size=2)], 0.1 * rng.normal(size=(rows, 1))
    for force in push[:, 0]:
        states.append(STEP @ states[-1] + [0.0, force])
    nothing = np.zeros((rows + 1, 0))
    return Episode(seed, np.arange(rows + 1.0), np.array(states), push, nothing[0], nothing, pending=np.full(1, np.nan))


@pytest.fixture(scope="module")
def model() -> WorldModel:
    data = Episodes(SCHEMA, tuple(swing(seed) for seed in range(30)))
    config = tiny(hidden=32, context=24, horizon=HORIZON, batch=16, anchors=4, steps=150, cases=200)
    return WorldModel.fit(data, config=config, baselines={}, progress=False)


def asked(noise: float, missing: float) -> Cases:
    """Questions about new points, whose histories alone are corrupted."""
    cases = cut(
        Episodes(SCHEMA, tuple(swing(seed) for seed in range(100, 130))), [(k, NOW) for k in range(30)], HORIZON
    )
    rng, histories = np.random.default_rng(0), []
    for history in cases.histories:
        seen = history.observations + noise * rng.normal(size=history.observations.shape)
        seen = np.where(rng.random(seen.shape) < missing, np.nan, seen)
        histories.append(replace(history, observations=seen))
    return replace(cases, histories=Episodes(SCHEMA, tuple(histories)))


def error(model: WorldModel, cases: Cases) -> float:
    forecast = np.median(model.forecast(cases.histories, cases.plan), axis=0)
    return float(np.abs(forecast - cases.truth).mean())


def test_noise_is_filtered_better_than_by_the_exact_equations_from_the_last_reading(model: WorldModel) -> None:
    cases, exact = asked(NOISE, 0.0), []
    for index, history in enumerate(cases.histories):
        state = history.observations[-1]
        for force in cases.plan.actions[index, :, 0]:
            state = STEP @ state + [0.0, force]
            exact.append(state)
    naive = np.abs(np.reshape(exact, cases.truth.shape) - cases.truth).mean()
    assert naive == pytest.approx(NOISE * np.sqrt(2 / np.pi), rel=0.2)  # A turn keeps the error as large as it was.
    assert error(model, cases) < 0.7 * naive


def test_gaps_cost_little_of_what_is_known(model: WorldModel) -> None:
    cases = asked(0.0, 0.3)
    assert error(model, asked(0.0, 0.0)) < 0.03
    assert error(model, cases) < 0.2 * np.std(cases.truth)
