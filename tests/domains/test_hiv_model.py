import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from foreworld.domains import hiv_model as model

SOURCE = model.Patients()


def test_both_untreated_steady_states_of_the_source_stay_and_attract():
    steady = np.log([model.HEALTHY, model.UNHEALTHY])
    assert np.abs(model.slopes(steady, SOURCE, np.zeros((2, 2)))).max() < 0.07  # digits of the published figures
    away = steady + np.random.default_rng(0).normal(0, 0.05, (2, 6))
    np.testing.assert_allclose(model.advance(away, SOURCE, np.zeros((2, 2)), 3000.0), steady, atol=0.02)


def test_the_slopes_are_those_of_the_published_equations():
    t1, t2, i1, i2, v, e = y = np.array([2e5, 30.0, 8e3, 60.0, 4e4, 90.0])
    e1, e2, f = 0.7, 0.3, 0.34
    gain = 0.3 * (i1 + i2) / (i1 + i2 + 100) - 0.25 * (i1 + i2) / (i1 + i2 + 500) - 0.1
    expected = [
        1e4 - 0.01 * t1 - (1 - e1) * 8e-7 * v * t1,
        31.98 - 0.01 * t2 - (1 - f * e1) * 1e-4 * v * t2,
        (1 - e1) * 8e-7 * v * t1 - 0.7 * i1 - 1e-5 * e * i1,
        (1 - f * e1) * 1e-4 * v * t2 - 0.7 * i2 - 1e-5 * e * i2,
        (1 - e2) * 100 * 0.7 * (i1 + i2) - 13 * v - ((1 - e1) * 8e-7 * t1 + (1 - f * e1) * 1e-4 * t2) * v,
        1 + gain * e,
    ]
    slope = model.slopes(np.log(y)[None], SOURCE, np.ones((1, 2)))
    np.testing.assert_allclose(slope[0] * y, expected, rtol=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_the_jacobian_is_that_of_the_slopes(seed):
    rng = np.random.default_rng(seed)
    state = np.log(model.UNHEALTHY) + rng.normal(0, 2, (3, 6))
    taken = rng.integers(0, 2, (3, 2)).astype(float)
    jacobian = model.jacobian(state, SOURCE, taken)
    steps = 1e-5 * np.eye(6)
    ends = [[model.slopes(state + sign * step, SOURCE, taken) for step in steps] for sign in (1, -1)]
    numerical = np.moveaxis(np.array(ends[0]) - ends[1], 0, -1) / 2e-5
    scale = np.abs(jacobian).max()
    np.testing.assert_allclose(numerical, jacobian, atol=1e-7 * scale, rtol=1e-5)


def test_random_schedules_agree_with_a_stiff_solver_of_scipy():
    rng, state, worst = np.random.default_rng(1), np.log([model.UNHEALTHY]), 0.0
    for _ in range(20):
        taken = rng.integers(0, 2, (1, 2)).astype(float)

        def slope(_, y, taken=taken):
            return model.slopes(y[None], SOURCE, taken)[0]

        exact = solve_ivp(slope, (0, 5), state[0], method="Radau", rtol=1e-8, atol=1e-9).y[:, -1]
        state = model.advance(state, SOURCE, taken, 5.0)
        worst = max(worst, np.abs(state[0] - exact).max())
    assert worst < 1e-4


def test_an_acute_infection_is_followed_through_its_peak():
    state = np.log([[1e6, 3198.0, 1e-4, 1e-4, 1.0, 10.0]])
    exact = solve_ivp(
        lambda _, y: model.slopes(y[None], SOURCE, np.zeros((1, 2)))[0],
        (0, 40),
        state[0],
        method="Radau",
        rtol=1e-8,
        atol=1e-9,
    )
    assert exact.y[4].max() > np.log(1e6)
    np.testing.assert_allclose(model.advance(state, SOURCE, np.zeros((1, 2)), 40.0)[0], exact.y[:, -1], atol=1e-4)


@pytest.mark.parametrize("count", [1, 7])
def test_an_episode_does_not_depend_on_those_beside_it(count):
    rng = np.random.default_rng(count)
    state = np.log(model.UNHEALTHY) + rng.normal(0, 1, (count + 3, 6))
    taken = rng.integers(0, 2, (count + 3, 2)).astype(float)
    together = model.advance(state, SOURCE, taken, 5.0)
    np.testing.assert_array_equal(model.advance(state[:count], SOURCE, taken[:count], 5.0), together[:count])
