"""Rank: what acts more, and later when effects fade, comes first; what does nothing comes last."""

from dataclasses import replace

import numpy as np
import pytest

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.schema import Schema, Variable
from foreworld.errors import QuestionError
from foreworld.model import WorldModel
from foreworld.reasoning.question import build_plan
from foreworld.reasoning.rank import list_cases, set_case
from foreworld.world.config import FitConfig

from ..simulated import SCHEMA, episodes, tiny

WORLD = Schema(
    id="run",
    time="t",
    variables=(
        Variable(name="level", role="observation", unit="cm", target=True),
        Variable(name="strong", role="action"),
        Variable(name="idle", role="action"),
    ),
)
SETTINGS = {"members": 2, "horizon": 4, "steps": 250, "context": 8, "latent": 8, "hidden": 32, "noise": 2, "draws": 20}


def world(runs: int, rows: int, seed: int) -> Episodes:
    """level' = 0.5 level + 2 strong + noise; `idle` does nothing."""
    rng = np.random.default_rng(seed)
    level, acts = np.zeros((runs, rows)), rng.normal(size=(runs, rows, 2))
    for row in range(1, rows):
        level[:, row] = 0.5 * level[:, row - 1] + 2 * acts[:, row - 1, 0] + rng.normal(0, 0.3, runs)
    return Episodes(
        WORLD,
        tuple(
            Episode(
                id=run,
                time=np.arange(float(rows)),
                observations=level[run, :, None],
                actions=acts[run, :-1],
                static=np.zeros(0),
                known_future=np.zeros((rows, 0)),
                pending=np.full(2, np.nan),
            )
            for run in range(runs)
        ),
    )


def test_the_strongest_and_latest_comes_first() -> None:
    data = world(16, 40, seed=0)
    model = WorldModel.fit(data, config=FitConfig.model_validate(SETTINGS), progress=False)
    now = data.take(range(6))
    found = model.rank(now, "level", data=data)
    assert [(case["action"], case["last_step"]) for case in found.cases[:3]] == [
        ("strong", 4),
        ("strong", 3),
        ("strong", 2),
    ]
    low, high = found.cases[0]["low"], found.cases[0]["high"]
    assert (low, high) == pytest.approx((-1.64, 1.64), abs=0.25)
    assert found.swing[0] == pytest.approx(2 * (high - low), rel=0.25)
    assert found.swing[1] == pytest.approx(found.swing[0] / 2, rel=0.4)
    assert (found.swing_levels[0] <= found.swing).all() and (found.swing <= found.swing_levels[1]).all()
    idle = [abs(swing) for case, swing in zip(found.cases, found.swing, strict=True) if case["action"] == "idle"]
    assert max(idle) < 0.2 * abs(found.swing[0])
    assert found.summary()["nearest"].keys() == {str(episode.id) for episode in now}
    assert all(near and set(near) <= set(range(16)) for near in found.nearest)
    early = model.rank(now, "level", at=2)
    assert {case["last_step"] for case in early.cases} == {1, 2}
    one = model.rank(data.take([3]), "level", data=data)
    np.testing.assert_allclose(one.swing[0], (found.high - found.low)[0, 3], atol=1e-4)


def test_categories_are_told_by_label_and_what_is_unknown_is_said() -> None:
    timeless = SCHEMA.model_copy(update={"variables": tuple(v for v in SCHEMA.variables if v.role != "known_future")})
    data = episodes([14] * 8, missing=0.05, schema=timeless)
    model = WorldModel.fit(data, config=tiny(), progress=False)
    rows = model.rank(data, "mode=on").to_frame().to_pylist()
    pump = next(row for row in rows if row["action"] == "pump" and row["device"] == "all")
    assert (pump["low"], pump["high"], pump["unit"]) == ("a", "b", "probability")
    with pytest.raises(QuestionError, match="there is no 'mode'; there are level, alarm=1, mode=idle"):
        model.rank(data, "mode")
    assert model.rank(data, "alarm").outcome == "alarm=1"


def test_an_impulse_is_given_once_in_a_block_and_at_its_usual_size() -> None:
    data, rng = world(16, 40, seed=1), np.random.default_rng(2)
    rare = tuple(
        replace(episode, actions=episode.actions * [1, 0] + 3.0 * (rng.random((39, 1)) < 0.1) * [0, 1])
        for episode in data
    )
    model = WorldModel.fit(
        Episodes(WORLD, rare), config=FitConfig.model_validate(SETTINGS | {"steps": 5}), progress=False
    )
    history = Episodes(WORLD, rare[:1])
    found = model.rank(history, "level", horizon=4)
    cases = list_cases(model, history, 12)
    case = next(case for case in cases if case["action"] == "idle" and case["first_step"] == 3)
    assert (case["low"], case["high"], case["last_step"]) == (0.0, 3.0, 4)
    plan = build_plan(history, model.encoding.scaling, do={}, horizon=4)
    assert set_case(plan, case, 3.0).actions[0, :, 1].tolist() == [0, 0, 3, 0]
    assert all(set(case) == {"action", "first_step", "last_step", "low", "high"} for case in found.cases)
