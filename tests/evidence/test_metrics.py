"""Scores against an independent implementation, closed forms and their own definitions."""

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from foreworld.evidence.metrics import bootstrap_mean, coverage, crps, energy_score, interval, pit, rmse, width

numbers = st.floats(-1e3, 1e3)


@st.composite
def forecasts(draw, dim: int | None = None):
    members, cases = draw(st.integers(2, 12)), draw(st.integers(1, 4))
    tail = () if dim is None else (dim,)
    samples = draw(hnp.arrays(float, (members, cases, *tail), elements=numbers))
    return samples, draw(hnp.arrays(float, (cases, *tail), elements=numbers))


@given(forecasts())
def test_crps_agrees_with_scoringrules(forecast):
    samples, truth = forecast
    for fair, estimator in ((True, "fair"), (False, "nrg")):
        expected = np.asarray(scoringrules.crps_ensemble(truth, samples, m_axis=0, estimator=estimator))
        np.testing.assert_allclose(crps(samples, truth, fair=fair), expected, atol=1e-8)


@given(forecasts(dim=3))
def test_energy_score_agrees_with_scoringrules(forecast):
    samples, truth = forecast
    for fair, estimator in ((True, "fair"), (False, "nrg")):
        expected = np.asarray(scoringrules.es_ensemble(truth, samples, m_axis=0, v_axis=-1, estimator=estimator))
        np.testing.assert_allclose(energy_score(samples, truth, fair=fair), expected, atol=1e-7)


@given(forecasts(dim=1))
def test_energy_score_of_one_dimension_is_the_crps(forecast):
    samples, truth = forecast
    np.testing.assert_allclose(energy_score(samples, truth), crps(samples, truth)[:, 0], atol=1e-8)


def test_crps_of_a_gaussian_is_the_closed_form():
    rng = np.random.default_rng(0)
    truth = np.array([-2.0, 0.0, 0.5, 3.0])
    exact = scoringrules.crps_normal(truth, 1.0, 2.0)
    np.testing.assert_allclose(crps(rng.normal(1.0, 2.0, (50_000, 4)), truth), exact, rtol=0.02)
    # The fair score of few members has the same expectation.
    few = crps(rng.normal(1.0, 2.0, (3, 100_000, 4)), np.broadcast_to(truth, (100_000, 4)))
    np.testing.assert_allclose(few.mean(axis=0), exact, rtol=0.02)


def test_the_unfair_crps_is_biased_for_few_members():
    samples = np.random.default_rng(0).normal(size=(3, 20_000))
    truth = np.zeros(20_000)
    assert crps(samples, truth, fair=False).mean() > crps(samples, truth).mean() + 0.1


@pytest.mark.parametrize(("members", "level"), [(19, 0.9), (19, 0.5), (200, 0.8)])
def test_coverage_of_an_exchangeable_truth_is_exactly_nominal(members, level):
    draws = np.random.default_rng(1).gamma(2.0, size=(members + 1, 40_000))
    assert coverage(draws[1:], draws[0], level).mean() == pytest.approx(level, abs=0.006)


def test_a_truth_that_ties_with_an_end_of_the_interval_is_covered_as_often_as_promised():
    """Half of all draws are zero: a closed interval from zero on would hold far more than its share."""
    draws = np.random.default_rng(1).normal(size=(200, 20_000)).clip(min=0.0)
    low, high = interval(draws[1:], 0.5)
    assert ((draws[0] >= low) & (draws[0] <= high)).mean() > 0.7
    assert coverage(draws[1:], draws[0], 0.5).mean() == pytest.approx(0.5, abs=0.01)


def test_width_is_that_of_the_quantiles():
    samples = np.random.default_rng(0).uniform(0, 10, (20_000, 2))
    np.testing.assert_allclose(width(samples, 0.8), 8.0, rtol=0.02)
    low, high = interval(samples, 0.5)
    np.testing.assert_allclose([low, high], [[2.5, 2.5], [7.5, 7.5]], rtol=0.03)


@pytest.mark.parametrize("discrete", [False, True])
def test_pit_is_uniform_when_truth_and_members_are_exchangeable(discrete):
    draws = np.random.default_rng(2).normal(size=(12, 50_000))
    draws = np.round(draws) if discrete else draws
    density, _ = np.histogram(pit(draws[1:], draws[0]), bins=12, range=(0, 1), density=True)
    np.testing.assert_allclose(density, 1.0, atol=0.07)


def test_pit_of_a_truth_above_all_members_is_high():
    assert (pit(np.zeros((99, 50)), np.ones(50)) >= 0.99).all()


def test_rmse_is_that_of_the_mean_and_skips_missing_truths():
    samples = np.array([[[1.0, 0.0], [3.0, 0.0]], [[3.0, 0.0], [5.0, 0.0]]])
    truth = np.array([[0.0, np.nan], [4.0, np.nan]])
    np.testing.assert_allclose(rmse(samples, truth), [np.sqrt(2.0), np.nan])


@given(forecasts(dim=2))
def test_a_missing_truth_has_no_score_and_changes_no_other(forecast):
    samples, truth = forecast
    missing = truth.copy()
    missing[0, 0] = np.nan
    scores = (crps, lambda s, t: coverage(s, t, 0.8), pit)
    for score in scores:
        full, partial = score(samples, truth), score(samples, missing)
        assert np.isnan(partial[0, 0])
        np.testing.assert_array_equal(np.delete(partial.ravel(), 0), np.delete(full.ravel(), 0))
    # What is known of a vector is scored as the vector of what is known.
    np.testing.assert_allclose(energy_score(samples, missing)[0], crps(samples, truth)[0, 1], atol=1e-8)


def test_a_vector_with_nothing_known_has_no_energy_score():
    assert np.isnan(energy_score(np.zeros((4, 1, 2)), np.full((1, 2), np.nan))).all()


@pytest.mark.parametrize("score", [crps, pit, rmse, lambda s, t: coverage(s, t, 0.5)])
def test_a_forecast_that_is_not_a_number_is_refused(score):
    with pytest.raises(ValueError, match="finite"):
        score(np.array([[np.nan], [0.0]]), np.zeros(1))


def test_the_fair_score_of_one_member_is_refused():
    with pytest.raises(ValueError, match="two members"):
        crps(np.zeros((1, 1)), np.zeros(1))


def test_bootstrap_interval_is_as_wide_as_the_groups_make_it():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 25)
    values = rng.normal(size=40)[groups] + 0.1 * rng.normal(size=1000)
    mean, low, high = bootstrap_mean(values, groups.tolist())
    means = values.reshape(40, 25).mean(axis=1)
    assert mean == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.645 * means.std(ddof=1) / np.sqrt(40), rel=0.1)
    # Taking the cases for independent would claim five times the certainty.
    _, low, high = bootstrap_mean(values, list(range(1000)))
    assert high - low < 0.3 * 2 * 1.645 * means.std() / np.sqrt(40)


def test_bootstrap_interval_covers_the_truth_with_few_groups():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(8), 4).tolist()
    values = rng.normal(size=(8, 400)).repeat(4, axis=0)
    _, low, high = bootstrap_mean(values, groups, draws=400)
    assert 0.83 < ((low < 0) & (high > 0)).mean() < 0.95


def test_bootstrap_leaves_missing_values_out_and_knows_what_one_group_cannot_tell():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 2.0, np.nan], [5.0, 4.0, np.nan]])
    mean, low, high = bootstrap_mean(values, ["a", "a", "b"])
    np.testing.assert_allclose(mean, [3.0, 3.0, np.nan])
    np.testing.assert_array_equal(np.isnan(low), [False, False, True])
    assert (low[:2] <= mean[:2]).all() and (mean[:2] <= high[:2]).all()
    mean, low, high = bootstrap_mean(values, ["a", "a", "a"])
    assert mean[0] == 3.0 and np.isnan(low).all() and np.isnan(high).all()


@given(st.randoms(use_true_random=False))
def test_bootstrap_does_not_depend_on_the_order_of_cases(random):
    values, groups = np.arange(12.0) ** 1.5, list("aabbbccddddd")
    order = list(range(12))
    random.shuffle(order)
    shuffled = bootstrap_mean(values[order], [groups[index] for index in order])
    np.testing.assert_allclose(shuffled, bootstrap_mean(values, groups))
