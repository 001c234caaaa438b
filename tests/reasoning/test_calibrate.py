"""Calibrated intervals cover what they say on new cases; where there is nothing to mend, calibration does no harm."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreworld.reasoning.calibrate import LEVELS, Calibration, Centre, fit_calibration, interpolate, quantiles

STEPS = (1.0, 3.0)  # spread of the truth at each of two steps


def truths(cases: int, seed: int) -> np.ndarray:
    """Two steps of two targets: a normal, and a skewed one."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(0, 1, (cases, 2))
    skewed = rng.exponential(1, (cases, 2)) * 10
    return np.stack([normal, skewed], axis=-1) * np.array(STEPS)[:, None]


@cache
def honest(cases: int, seed: int, members: int) -> np.ndarray:
    return np.stack([truths(cases, 1000 * seed + member) for member in range(members)])


def forecasts(cases: int, seed: int, *, stretch: float, shift: float, members: int = 50) -> np.ndarray:
    """Members from the true distribution, stretched about its median and shifted, both by step and target alike."""
    samples = honest(cases, seed, members)
    middle = np.median(samples, axis=(0, 1))
    return middle + stretch * (samples - middle) + shift * np.array([1.0, 10.0])


def groups(cases: int, episodes: int) -> np.ndarray:
    return np.arange(cases) % episodes


def coverage(samples: np.ndarray, truth: np.ndarray, level: float) -> np.ndarray:
    low, high = quantiles(samples, [(1 - level) / 2, (1 + level) / 2])
    return ((truth >= low) & (truth <= high)).mean(0)


@pytest.mark.parametrize(("stretch", "shift"), [(0.4, 0.0), (2.5, 0.0), (1.0, 1.5), (0.5, -1.0), (1.0, 0.0)])
def test_intervals_cover_what_they_say_on_new_cases(stretch: float, shift: float) -> None:
    samples, truth = forecasts(5000, 1, stretch=stretch, shift=shift), truths(5000, 2)
    calibration = fit_calibration(samples, truth, [True, True], groups(5000, 50))
    new, came = forecasts(5000, 3, stretch=stretch, shift=shift), truths(5000, 4)
    moved = calibration.apply(new)
    for level in (0.5, 0.8, 0.9):
        np.testing.assert_allclose(coverage(moved, came, level), level, atol=0.02)
    for level in (0.1, 0.5, 0.9):
        np.testing.assert_allclose((came < quantiles(moved, [level])[0]).mean(0), level, atol=0.02)


def test_an_honest_forecast_is_left_as_it_is() -> None:
    calibration = fit_calibration(
        forecasts(1000, 1, stretch=1, shift=0, members=500), truths(1000, 2), [True] * 2, groups(1000, 9)
    )
    np.testing.assert_allclose(calibration.shift, 0, atol=0.06)
    np.testing.assert_allclose(calibration.factors, 1, atol=0.12)


@pytest.mark.parametrize("members", [19, 99])
def test_the_quantiles_of_few_honest_members_cover_what_they_say(members: int) -> None:
    samples, truth = forecasts(5000, 1, stretch=1, shift=0, members=members), truths(5000, 2)
    for level in (0.5, 0.8):
        np.testing.assert_allclose(coverage(samples, truth, level), level, atol=0.02)


def identity(steps: int = 2) -> Calibration:
    zero, one = [[0.0]] * steps, [[1.0]] * steps
    factors = [[[1.0] * len(LEVELS)]] * steps
    return Calibration(pivot=zero, slope=one, shift=zero, factors=factors, cases=0, episodes=0)


def test_the_identity_changes_nothing() -> None:
    samples = np.random.default_rng(0).normal(5, 3, (51, 4, 2, 1))
    np.testing.assert_allclose(identity().apply(samples), samples, rtol=1e-12)


@given(
    factors=st.lists(st.floats(0, 10), min_size=len(LEVELS), max_size=len(LEVELS)),
    shift=st.floats(-3, 3),
    members=st.integers(1, 40),
)
def test_every_future_keeps_its_rank(factors: list[float], shift: float, members: int) -> None:
    calibration = Calibration(pivot=[[0.0]], slope=[[0.5]], shift=[[shift]], factors=[[factors]], cases=1, episodes=1)
    samples = np.random.default_rng(members).normal(0, 1, (members, 3, 1, 1))
    moved = calibration.apply(samples)
    order = np.argsort(samples, axis=0)
    assert (np.diff(np.take_along_axis(moved, order, axis=0), axis=0) >= 0).all()


def test_steps_beyond_the_last_take_its_correction() -> None:
    calibration = Calibration(
        pivot=[[0.0], [3.0]],
        slope=[[1.0], [0.5]],
        shift=[[0.0], [1.0]],
        factors=[[[1.0] * len(LEVELS)], [[2.0] * len(LEVELS)]],
        cases=1,
        episodes=1,
    )
    samples = np.repeat(np.random.default_rng(0).normal(0, 1, (30, 2, 1, 1)), 4, axis=2)
    moved = calibration.apply(samples)
    np.testing.assert_allclose(moved[:, :, 0], samples[:, :, 0])
    np.testing.assert_allclose(moved[:, :, 2], moved[:, :, 1])
    np.testing.assert_allclose(moved[:, :, 3], moved[:, :, 1])


def test_a_category_is_not_stretched() -> None:
    samples = np.random.default_rng(0).integers(0, 3, (50, 20, 1, 1)).astype(float)
    calibration = fit_calibration(samples, np.zeros((20, 1, 1)), [False], groups(20, 5))
    np.testing.assert_array_equal(calibration.apply(samples), samples)


def test_missing_truths_are_left_out() -> None:
    samples, truth = forecasts(600, 1, stretch=0.5, shift=0), truths(600, 2)
    gaps = truth.copy()
    gaps[::3, 0, 0] = np.nan
    some = fit_calibration(samples, gaps, [True, True], groups(600, 5))
    kept = np.arange(600) % 3 != 0
    fewer = fit_calibration(samples[:, kept], truth[kept], [True, True], groups(600, 5)[kept])
    np.testing.assert_allclose(some.factors[0][0], fewer.factors[0][0])
    whole = fit_calibration(samples, truth, [True, True], groups(600, 5))
    assert some.factors[1] == whole.factors[1] and some.shift[0][1] == whole.shift[0][1]


def test_a_step_never_observed_is_left_as_it_is() -> None:
    truth = truths(50, 2)
    truth[:, 1, 0] = np.nan
    calibration = fit_calibration(forecasts(50, 1, stretch=1, shift=0), truth, [True, True], groups(50, 5))
    assert calibration.shift[1][0] == 0 and set(calibration.factors[1][0]) == {1.0}


@pytest.mark.parametrize("cases", [1, 2, 5])
def test_few_cases_give_wide_but_finite_corrections(cases: int) -> None:
    calibration = fit_calibration(
        forecasts(cases, 1, stretch=0.2, shift=0), truths(cases, 2), [True] * 2, groups(cases, 1)
    )
    assert np.isfinite(calibration.factors).all() and np.isfinite(calibration.shift).all()
    assert np.isfinite(calibration.apply(forecasts(3, 3, stretch=1, shift=0))).all()
    assert calibration.cases == cases


@settings(max_examples=10)
@given(unit=st.sampled_from([1e-15, 1e-9, 1e-3, 1e12]))
def test_the_unit_of_a_target_does_not_matter(unit: float) -> None:
    samples, truth = forecasts(40, 1, stretch=0.5, shift=0.3), truths(40, 2)
    plain, other = (
        fit_calibration(samples * factor, truth * factor, [True, True], groups(40, 5)) for factor in (1.0, unit)
    )
    np.testing.assert_allclose(other.factors, plain.factors, rtol=1e-6)
    np.testing.assert_allclose(other.shift, plain.shift, rtol=1e-6, atol=1e-9)


def test_a_forecast_without_spread_is_survived() -> None:
    calibration = fit_calibration(np.zeros((50, 20, 2, 2)), truths(20, 1), [True, True], groups(20, 5))
    assert np.isfinite(calibration.apply(np.zeros((50, 3, 2, 2)))).all()


def test_factors_between_levels_are_interpolated_and_beyond_them_constant() -> None:
    factors = np.arange(8.0).reshape(1, 1, 8)
    exact = interpolate(np.array(LEVELS), LEVELS, factors)
    np.testing.assert_allclose(exact[:, 0, 0], np.arange(8))
    ends = interpolate(np.array([0.001, 0.5, 0.999]), LEVELS, factors)
    np.testing.assert_allclose(ends[:, 0, 0], [0, 3.5, 7])


@pytest.mark.parametrize(("signal", "slope"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (2.0, 1.0)])
def test_medians_are_drawn_in_as_far_as_the_truth_does_not_follow_them(signal: float, slope: float) -> None:
    rng = np.random.default_rng(0)
    middle = 5 + rng.normal(0, 1, 4000)
    truth = 7 + signal * (middle - 5) + rng.normal(0, 1, 4000)
    centre = Centre.fit(middle, truth, groups(4000, 40))
    assert centre.pivot == pytest.approx(5, abs=0.05)
    assert slope <= centre.slope <= slope + 0.08


def test_medians_stay_where_too_little_is_known_to_deny_them() -> None:
    rng = np.random.default_rng(0)
    few = Centre.fit(rng.normal(size=300), rng.normal(size=300), groups(300, 7))
    assert few.slope == 1
    # Episodes with a level of their own: many cases, and little evidence.
    level = np.repeat(rng.normal(size=10), 100)
    dependent = Centre.fit(level + 0.1 * rng.normal(size=1000), 0.6 * level, np.repeat(np.arange(10), 100))
    alike = Centre.fit(level + 0.1 * rng.normal(size=1000), 0.6 * level, np.arange(1000))
    assert dependent.slope >= alike.slope
