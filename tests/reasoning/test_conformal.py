"""The conformal quantile holds what theory promises, and is that of two libraries of the field on the same scores."""

import warnings

import numpy as np
import pytest
from crepes import ConformalRegressor
from hypothesis import given
from hypothesis import strategies as st

from foreworld.reasoning.calibrate import fit_band, fit_calibration, quantiles
from foreworld.reasoning.conformal import conformal_quantile, misses, stretched

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mapie.regression import SplitConformalRegressor
    from sklearn.dummy import DummyRegressor


@given(
    scores=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=60, unique=True),
    share=st.floats(0.05, 0.95),
)
def test_a_new_exchangeable_score_is_covered_as_promised(scores: list[float], share: float) -> None:
    """Each of n + 1 scores is as likely to be the new one, so that the chance of covering it is counted exactly."""
    all_scores = np.array(scores)
    count = len(all_scores) - 1
    if (count + 1) * share > count:  # Too few scores for this share.
        return
    covered = [value <= conformal_quantile(np.delete(all_scores, place), share) for place, value in enumerate(scores)]
    assert share - 1e-9 <= np.mean(covered) < share + 1 / (count + 1) + 1e-9


@given(shares=st.lists(st.floats(0.01, 0.99), min_size=2, max_size=5), seed=st.integers(0, 99))
def test_a_higher_share_has_no_smaller_quantile(shares: list[float], seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(25, 3))
    found = np.stack([conformal_quantile(scores, share) for share in sorted(shares)])
    assert (np.diff(found, axis=0) >= 0).all()


def test_what_was_not_observed_does_not_count() -> None:
    scores = np.random.default_rng(0).normal(size=(30, 2))
    gaps = scores.copy()
    gaps[::3, 0] = np.nan
    found = conformal_quantile(gaps, 0.8)
    assert found[0] == conformal_quantile(scores[np.arange(30) % 3 != 0, 0], 0.8)
    assert found[1] == conformal_quantile(scores[:, 1], 0.8)
    assert np.isnan(conformal_quantile(np.full((4, 1), np.nan), 0.8)).all()


@given(factor=st.floats(0, 20), truth=st.floats(-50, 50), low=st.floats(0.1, 9), high=st.floats(0.1, 9))
def test_the_stretched_interval_holds_what_misses_by_no_more(
    factor: float, truth: float, low: float, high: float
) -> None:
    ends = np.array([5 - low]), np.array([5.0]), np.array([5 + high])
    missed = misses(*ends, np.array([truth]))[0]
    below, above = stretched(*ends, np.array([factor]))
    assert (below[0] - 1e-9 <= truth <= above[0] + 1e-9) == (missed <= factor) or abs(missed - factor) < 1e-9


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9])
def test_mondrian_intervals_are_those_of_crepes(confidence: float) -> None:
    rng = np.random.default_rng(1)
    group, sigma = rng.integers(0, 3, 303), rng.uniform(0.5, 2, 303)
    error = rng.normal(size=303) * sigma * (1 + group)
    theirs = ConformalRegressor().fit(error, sigmas=sigma, bins=group)
    place, width = rng.normal(size=30), rng.uniform(0.5, 2, 30)
    bins = np.arange(30) % 3
    ends = theirs.predict_int(place, sigmas=width, bins=bins, confidence=confidence)
    ours = np.array([conformal_quantile(np.abs(error / sigma)[group == one], confidence) for one in range(3)])
    np.testing.assert_allclose(ends[:, 1], place + ours[bins] * width)
    np.testing.assert_allclose(ends[:, 0], place - ours[bins] * width)


def test_calibrated_quantiles_are_those_of_crepes_on_the_same_scores() -> None:
    """One forecast for all cases: its calibrated 95% quantile is the conformal quantile of the truths."""
    rng = np.random.default_rng(2)
    truth = rng.gamma(2, 3, (211, 1, 1))
    samples = np.repeat(rng.normal(4, 1, (99, 1, 1, 1)), 211, axis=1)
    moved = fit_calibration(samples, truth, [True], np.arange(211)).apply(samples)
    theirs = ConformalRegressor().fit(truth[:, 0, 0]).predict_int(np.zeros(1), confidence=0.95)
    np.testing.assert_allclose(quantiles(moved, [0.95])[0, 0], theirs[0, 1], rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9])
def test_intervals_are_those_of_mapie(confidence: float) -> None:
    truth = np.random.default_rng(3).normal(size=207)
    inputs = np.zeros((207, 1))
    flat = DummyRegressor(strategy="constant", constant=0.0).fit(inputs, truth)
    theirs = SplitConformalRegressor(flat, confidence_level=confidence, prefit=True).conformalize(inputs, truth)
    ends = theirs.predict_interval(inputs[:1])[1]
    ours = conformal_quantile(np.abs(truth), confidence)
    np.testing.assert_allclose(ends[0, :, 0], [-ours, ours])


def walks(cases: int, seed: int) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).normal(size=(cases, 12, 1)), axis=1)


def test_a_band_holds_every_step_of_as_many_futures_as_it_says() -> None:
    samples = np.stack([walks(4000, seed) for seed in range(60)])
    factors = np.array(fit_band(samples, walks(4000, 100), [True]))
    low, middle, high = quantiles(samples, [0.05, 0.5, 0.95])
    new = walks(4000, 101)
    inside = (new >= low) & (new <= high)
    assert inside.mean() == pytest.approx(0.9, abs=0.02) and inside.all(1).mean() < 0.8
    for place, share in enumerate((0.5, 0.8, 0.9)):
        for steps in (1, 5, 12):
            ends = stretched(low, middle, high, np.broadcast_to(factors[steps - 1, :, place], new.shape))
            held = ((new >= ends[0]) & (new <= ends[1]))[:, :steps].all(1).mean()
            assert held == pytest.approx(share, abs=0.03)


def test_a_band_is_wider_for_more_steps_and_for_a_larger_share() -> None:
    factors = np.array(fit_band(np.stack([walks(300, seed) for seed in range(40)]), walks(300, 100), [True]))
    assert (np.diff(factors, axis=0) >= 0).all() and (np.diff(factors, axis=2) >= 0).all()
    assert np.array(fit_band(np.zeros((5, 4, 2, 1)), np.zeros((4, 2, 1)), [False])).tolist() == [[[1.0] * 3]] * 2
