"""What a planner may choose is what comes out, whatever was searched for."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foreworld.data.episodes import Episodes
from foreworld.data.scaling import Scaling, fit_scaling
from foreworld.errors import QuestionError
from foreworld.reasoning.plan.choose import final_actions
from foreworld.reasoning.plan.problem import Problem, Task, build_problem
from foreworld.reasoning.question import build_plan
from foreworld.testing.linear import Linear, problem

from ...simulated import episodes, pushed

DATA = episodes([30, 20])
SCALING = fit_scaling(DATA)


def undecided(data: Episodes) -> Episodes:
    """Histories with no action in their last row."""
    return Episodes(data.schema, tuple(replace(e, pending=np.full_like(e.pending, np.nan)) for e in data))


def build(task: Task, histories: Episodes | None = None, horizon: int = 6, scaling: Scaling = SCALING) -> Problem:
    histories = undecided(DATA) if histories is None else histories
    known = tuple(
        replace(
            episode,
            time=episode.time[-1] + 5.0 * np.arange(horizon + 1),
            observations=np.full((horizon + 1, len(DATA.schema.observations)), np.nan),
            actions=np.full((horizon, len(DATA.schema.actions)), np.nan),
            known_future=np.zeros((horizon + 1, 1)),
        )
        for episode in histories
    )
    plan = build_plan(histories, scaling, do=None, horizon=horizon, future=Episodes(DATA.schema, known))
    return build_problem(task, histories, plan, scaling, set())


@given(
    seed=st.integers(0, 10**6),
    size=st.floats(0, 1e6),
    every=st.integers(1, 4),
    low=st.floats(0, 20),
    width=st.floats(0, 30),
    integer=st.booleans(),
)
def test_no_action_is_outside_its_bounds(
    seed: int, size: float, every: int, low: float, width: float, integer: bool
) -> None:
    high = min(low + width, 99.0)
    bounds = {"dose": (low, high + 1), "rate": (-3.1, 7.7), "pump": (None, None)}
    asked = build(Task("level", bounds=bounds, integers=["dose"] if integer else [], every=every))
    wild = size * torch.randn((2, 5, asked.knots, 3), generator=torch.Generator().manual_seed(seed))
    for candidate in (0, 4):
        actions = final_actions(asked, asked.project(wild[:, [candidate]]))
        dose, rate, pump = np.moveaxis(actions, -1, 0)
        at_knots = dose[:, ::every]
        assert (at_knots >= low).all() and (at_knots <= high + 1).all()
        assert (rate >= -3.1).all() and (rate <= 7.7).all() and set(np.unique(pump)) <= {0.0, 1.0}
        if integer:
            assert (at_knots == np.round(at_knots)).all()
        between = np.arange(6) % every > 0
        assert (dose[:, between] == SCALING.variables["dose"].centre).all()  # A dose is given once, a rate is held.
        assert (rate == np.repeat(rate[:, ::every], every, axis=1)[:, :6]).all()


@given(
    seed=st.integers(0, 10**6),
    rate=st.floats(0.01, 3),
    last=st.floats(-5, 5),
    integer=st.booleans(),
    every=st.integers(1, 3),
)
def test_rates_hold_from_the_last_action_on(seed: int, rate: float, last: float, integer: bool, every: int) -> None:
    if integer:
        rate, last = float(np.ceil(rate)), float(np.round(last))
    task = Task("x0", rates={"u0": rate}, integers=["u0"] if integer else [], every=every)
    asked = problem(Linear.random(0), np.zeros((2, 3)), 8, task, last)
    wild = 5 * torch.randn((2, 1, asked.knots, 2), generator=torch.Generator().manual_seed(seed))
    actions = final_actions(asked, asked.project(wild))[..., 0]
    steps = np.diff(actions, axis=1, prepend=last)
    assert (np.abs(steps) <= rate + 1e-9).all() and (np.abs(actions) <= 5).all()
    assert not integer or (actions == np.round(actions)).all()


def test_projecting_twice_changes_nothing_and_a_plan_survives_being_read_back() -> None:
    asked = build(Task("level", bounds={"dose": (0, 9), "rate": (0, 60)}, rates={"rate": 4}, every=2))
    knots = asked.project(50 * torch.rand((2, 4, 3, 2)))
    torch.testing.assert_close(asked.project(knots), knots)
    for candidate in range(4):
        one = knots[:, [candidate]]
        torch.testing.assert_close(asked.gather(asked.expand(one)[:, 0].numpy()), one)


def test_an_action_in_the_last_row_is_taken() -> None:
    histories = tuple(replace(e, pending=np.array([3.0, np.nan, 1.0])) for e in DATA)
    asked = build(Task("level", bounds={"dose": (0, 9), "pump": (None, None)}), Episodes(DATA.schema, histories))
    actions = asked.expand(asked.project(torch.full((2, 1, 6, 2), 7.0)))
    assert (actions[:, 0, 0, 0] == 3).all() and (actions[:, 0, 1:, 0] == 7).all() and (actions[:, 0, 0, 2] == 1).all()
    with pytest.raises(QuestionError, match="dose = 3 in the last row is taken already, outside its bounds"):
        build(Task("level", bounds={"dose": (4, 9)}), Episodes(DATA.schema, histories))


def test_without_bounds_the_range_of_the_training_data_is_kept() -> None:
    asked = build(Task("level"))
    assert [variable.name for variable in asked.chosen] == ["dose", "rate", "pump"]
    for index, name in enumerate(["dose", "rate"]):
        assert asked.low[index] == SCALING.variables[name].low and asked.high[index] == SCALING.variables[name].high


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ({"bounds": {"doze": (0, 1)}}, "bounds: there is no action 'doze'; did you mean 'dose'"),
        ({"rates": {"level": 1}}, "rates: there is no action 'level'"),
        ({"integers": ["x"]}, "integers: there is no action 'x'"),
        ({"bounds": {"dose": (-1, 5)}}, "dose = -1 is outside what is possible"),
        ({"bounds": {"rate": (5, 4)}}, "no value of rate lies within"),
        ({"bounds": {"rate": (4.2, 4.8)}, "integers": ["rate"]}, "no value of rate lies within"),
        ({"rates": {"rate": 0}}, "is not above zero"),
        ({"rates": {"pump": 1}}, "pump is categorical"),
        ({"rates": {"dose": 1}, "every": 2}, "rests between doses"),
        ({"every": 0}, "every 0 steps"),
        ({"goal": "levle"}, "did you mean 'level'"),
        ({"goal": {"hum": 3}}, "no continuous target"),
        ({"limits": ["P(level) < 1"]}, "a condition is needed"),
    ],
)
def test_tasks_that_make_no_sense(task: dict[str, Any], says: str) -> None:
    settings: dict[str, Any] = {"goal": "level"} | task
    with pytest.raises(QuestionError, match=says):
        build(Task(**settings))


def test_nothing_left_to_choose_and_no_way_within_the_rate() -> None:
    histories = undecided(pushed(2, 9, 0))
    scaling = fit_scaling(pushed(4, 9, 1))
    plan = build_plan(histories, scaling, do=None, horizon=3)
    with pytest.raises(QuestionError, match="no action left to choose"):
        build_problem(Task("level"), histories, plan, scaling, {"push"})
    with pytest.raises(QuestionError, match="leaves no value within its rate and bounds"):
        build_problem(Task("level", bounds={"push": (8, 9)}, rates={"push": 0.1}), histories, plan, scaling, set())
