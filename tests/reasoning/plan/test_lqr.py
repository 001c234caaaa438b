"""Known answers: on linear systems every planner comes within 5% of the optimal control."""

import numpy as np
import pytest
import torch

from foreworld.reasoning.plan.cem import CEM
from foreworld.reasoning.plan.choose import choose, final_actions
from foreworld.reasoning.plan.gradient import Gradient
from foreworld.reasoning.plan.icem import ICEM, coloured
from foreworld.reasoning.plan.mppi import MPPI
from foreworld.reasoning.plan.problem import Task
from foreworld.reasoning.plan.search import Planner
from foreworld.testing.linear import ExactRollout, Linear, problem

HORIZON = 8
PLANNERS = {
    "cem": CEM(iterations=25),
    "icem": ICEM(iterations=25, decay=1.0),
    "mppi": MPPI(iterations=25),
    "gradient": Gradient(starts=8, steps=120),
}


def inputs_of(system: Linear, starts: np.ndarray, planner: Planner, seed: int = 0, draws: int = 0) -> np.ndarray:
    asked = problem(system, starts, HORIZON, Task(system.goal))
    rollout = ExactRollout(system, starts, HORIZON, draws, seed)
    with torch.no_grad():
        start = asked.gather(asked.plan.actions)
        return final_actions(asked, choose(asked, rollout, planner, start, seed)[0])


@pytest.mark.parametrize("name", PLANNERS)
@pytest.mark.parametrize("seed", range(3))
def test_the_plan_costs_at_most_five_percent_more_than_lqr(name: str, seed: int) -> None:
    system = Linear.random(seed)
    starts = np.random.default_rng(seed).normal(0, 1, (2, 3))
    for start, inputs in zip(starts, inputs_of(system, starts, PLANNERS[name], seed), strict=True):
        best, least = system.lqr(start, HORIZON)
        assert least == pytest.approx(system.cost(start, best))
        assert system.cost(start, inputs) <= 1.05 * least


@pytest.mark.parametrize("name", PLANNERS)
def test_under_noise_the_plan_is_that_without(name: str) -> None:
    """Certainty equivalence: of an open-loop plan, noise that nothing can be done about only adds to the cost."""
    system = Linear.random(7, noise=0.2)
    start = np.array([[1.0, -1.0, 0.5]])
    inputs = inputs_of(system, start, PLANNERS[name], draws=4)[0]
    assert system.cost(start[0], inputs) <= 1.05 * system.lqr(start[0], HORIZON)[1]


@pytest.mark.parametrize("knots", [1, 2, 7, 8, 24])
def test_coloured_noise_has_unit_variance_and_its_colour(knots: int) -> None:
    noise = coloured((1, 5_000, knots, 1), 1.5, torch.Generator().manual_seed(0))[0, ..., 0]
    assert noise.shape == (5_000, knots)
    torch.testing.assert_close(noise.var(0), torch.ones(knots), rtol=0.06, atol=0)
    if knots >= 7:  # Neighbours move together, more so than under white noise.
        assert torch.corrcoef(noise.T)[0, 1] > 0.3
