"""Intervals that learn from their misses hold in the long run, and know nothing of what is still to come."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreworld import AdaptiveIntervals
from foreworld.reasoning.adaptive import SLOW

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mapie.regression import TimeSeriesRegressor
    from sklearn.dummy import DummyRegressor

END = 1.6449  # Of the central 90% interval of a standard normal.


def follow(errors: np.ndarray, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Run over standard normal forecasts of every row [row, stream, step, target], of which the truth is an error.

    Truths of a row are the same from however far it was forecast. Returns which were covered, and the stretch.
    """
    rows, streams, steps, targets = errors.shape
    adaptive = AdaptiveIntervals(streams, steps, targets, level=level)
    ones = np.ones((streams, steps, targets))
    said, stretch = np.full((2, rows, *ones.shape), np.nan), np.zeros((rows, *ones.shape))
    for row in range(rows):
        stretch[row] = adaptive.stretch
        said[:, row] = adaptive.issue(-END * ones, 0 * ones, END * ones)
        adaptive.observe(errors[row, :, 0])
    covered = np.full(errors.shape, np.nan)
    for step in range(steps):
        truth = errors[step:, :, 0]
        low, high = said[:, : rows - step, :, step]
        covered[: rows - step, :, step] = (truth >= low) & (truth <= high)
    return covered, stretch


def noise(rows: int, seed: int, streams: int = 8, steps: int = 1, targets: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, streams, 1, targets))
    return np.repeat(values, steps, axis=2)


@pytest.mark.parametrize("level", [0.9])
def test_where_nothing_changes_intervals_stay_as_they_are(level: float) -> None:
    covered, stretch = follow(noise(2000, 0), level)
    assert np.nanmean(covered) == pytest.approx(level, abs=0.01)
    assert stretch.mean() == pytest.approx(1, abs=0.03) and stretch.std() < 0.15


@pytest.mark.parametrize("factor", [0.4, 3.0])
@pytest.mark.parametrize("steps", [1, 6])
def test_coverage_comes_back_after_an_abrupt_change(factor: float, steps: int) -> None:
    errors = noise(2000, 1, steps=steps)
    errors[1000:] *= factor
    covered, stretch = follow(errors)
    fixed = (np.abs(errors[1000:]) <= END).mean()
    assert abs(fixed - 0.9) > 0.09
    assert np.nanmean(covered) == pytest.approx(0.9, abs=0.02)
    assert np.nanmean(covered[1200:]) == pytest.approx(0.9, abs=0.015)
    assert stretch[1600:].mean() == pytest.approx(factor, rel=0.15)


@settings(max_examples=8)
@given(scales=st.lists(st.floats(0.1, 10), min_size=2, max_size=5), seed=st.integers(0, 1000))
def test_coverage_holds_in_the_long_run_whatever_comes(scales: list[float], seed: int) -> None:
    errors = noise(2500, seed, streams=16)
    for part, scale in zip(np.array_split(errors, len(scales)), scales, strict=True):
        part *= scale
    assert np.nanmean(follow(errors)[0]) == pytest.approx(0.9, abs=0.025)


def test_the_share_of_misses_is_held_by_the_last_tracker() -> None:
    errors = noise(500, 7) * np.linspace(0.5, 4, 500)[:, None, None, None]
    adaptive = AdaptiveIntervals(8, 1, 1, level=0.8)
    missed, ones = 0, np.ones((8, 1, 1))
    for error in errors:
        low, high = adaptive.issue(-ones, 0 * ones, ones)
        adaptive.observe(error[:, 0])
        missed = missed + ((error < low) | (error > high))
    np.testing.assert_allclose(missed / 500 - 0.2, adaptive.offset / (SLOW * 500), atol=1e-12)


def test_errors_that_follow_one_another_are_survived() -> None:
    errors = noise(3000, 2)
    for row in range(1, 3000):
        errors[row] = 0.9 * errors[row - 1] + np.sqrt(1 - 0.81) * errors[row]
    covered, _ = follow(errors)
    assert np.nanmean(covered) == pytest.approx(0.9, abs=0.02)


def test_streams_steps_and_targets_adapt_on_their_own() -> None:
    errors = noise(300, 3, streams=3, steps=2, targets=2)
    errors[:, 1, :, 1] *= 4
    _, together = follow(errors)
    _, alone = follow(errors[:, [1], :, 1:])
    np.testing.assert_allclose(together[:, [1], :, 1:], alone)
    assert together[-1, 1, 0, 1] > 2 * together[-1, 1, 0, 0]


def test_nothing_is_known_before_it_comes() -> None:
    errors = noise(200, 4, steps=3)
    other = errors.copy()
    other[100:] = 50
    first, second = (follow(each)[1] for each in (errors, other))
    # Row 100 is the outcome that follows the forecast of row 100, so that 101 is the first to know of it.
    np.testing.assert_array_equal(first[:101], second[:101])
    assert (first[101, :, 0] != second[101, :, 0]).sum() > 4  # A truth missed by both teaches both the same.
    # What is said of two steps ahead has its first answer two rows later, whatever it will be.
    assert (first[2, :, 2] == 1).all() and (first[3, :, 2] != 1).all()


def test_what_was_not_observed_teaches_nothing() -> None:
    errors = noise(50, 5)
    errors[10:20] = np.nan
    _, stretch = follow(errors)
    assert (stretch[10:21] == stretch[10]).all()


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        AdaptiveIntervals(1, 1, 1, level=1.0)


@pytest.mark.filterwarnings("ignore")
def test_a_shifted_stream_is_held_as_mapie_holds_it() -> None:
    """The same stream, the same zero forecast: both come back to 90%, and the fixed interval does not."""
    rng = np.random.default_rng(6)
    known, stream = rng.normal(size=200), rng.normal(size=500) * np.repeat([1.0, 1.8], 250)
    flat = DummyRegressor(strategy="constant", constant=0.0).fit(np.zeros((200, 1)), known)
    theirs: Any = TimeSeriesRegressor(flat, method="aci", cv="prefit").fit(np.zeros((200, 1)), known)
    held = []
    for value in stream:
        ends = theirs.predict(np.zeros((1, 1)), confidence_level=0.9, allow_infinite_bounds=True)[1][0, :, 0]
        held.append(ends[0] <= value <= ends[1])
        theirs.adapt_conformal_inference(np.zeros((1, 1)), np.array([value]), gamma=0.05, confidence_level=0.9)
    ours = np.nanmean(follow(stream[:, None, None, None])[0])
    assert np.mean(held) == pytest.approx(0.9, abs=0.02) and ours == pytest.approx(np.mean(held), abs=0.02)
    assert np.mean(np.abs(stream) <= END) < 0.85
