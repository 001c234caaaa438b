"""The correlation of readings: found again where it is known, and nothing where there is nothing to find."""

import numpy as np
import pytest

from foreworld.reasoning.persistence import fit_persistence

DRAWS, CASES, STEPS = 50, 400, 12
rng = np.random.default_rng(0)


def process(correlation: float, shape: tuple[int, ...]) -> np.ndarray:
    """Stationary, of order one, along the last axis but one."""
    fresh = rng.normal(size=shape)
    out = fresh.copy()
    for step in range(1, shape[-2]):
        out[..., step, :] = correlation * out[..., step - 1, :] + np.sqrt(1 - correlation**2) * fresh[..., step, :]
    return out


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.8, 1.0])
def test_the_correlation_of_the_truth_is_found_again(correlation: float) -> None:
    # Of a future, half is a state that wanders, which both know, and half is read.
    size = (DRAWS, CASES, STEPS, 2)
    loose = process(0.7, size) + process(0.0, size)
    steady = process(0.7, size) + process(1.0, size)
    truth = process(0.7, size[1:]) + process(correlation, size[1:])
    truth[rng.random(truth.shape) < 0.1] = np.nan
    found = fit_persistence(loose, steady, truth, [True, False])
    assert abs(found[0] - correlation) < 0.12 and found[1] == 0


def test_units_do_not_matter() -> None:
    size = (DRAWS, CASES, STEPS, 1)
    loose, steady, truth = process(0.0, size), process(1.0, size), process(0.5, size[1:])
    changed = fit_persistence(np.exp(loose), np.exp(steady), np.exp(truth), [True])
    assert changed == fit_persistence(loose, steady, truth, [True])


def test_forecasts_of_one_step_and_readings_that_do_not_matter_are_left_alone() -> None:
    one = rng.normal(size=(DRAWS, CASES, 1, 1))
    assert fit_persistence(one, one, one[0], [True]) == [0.0]
    same = process(0.5, (DRAWS, CASES, STEPS, 1))
    assert fit_persistence(same, same, same[0], [True]) == [0.0]
    assert fit_persistence(0 * same, 0 * same, 0 * same[0], [True]) == [0.0]
    gone = np.full(same.shape[1:], np.nan)
    assert fit_persistence(same, process(1.0, same.shape), gone, [True]) == [0.0]
