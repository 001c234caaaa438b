"""Quantile averaging: calibrated members stay calibrated together, and futures stay coherent paths."""

import numpy as np
from scipy.stats import norm

from foreworld.reasoning.calibrate import quantiles
from foreworld.reasoning.pool import pool

COUNT = 200


def members(rng: np.random.Generator) -> np.ndarray:
    """Five members that agree on the spread but not on the centre: [member, draw, case, step, target]."""
    centres = rng.normal(0, 0.5, (5, 1, 300, 4, 1))
    return centres + np.cumsum(rng.normal(size=(5, 100, 300, 4, 1)), axis=3)


def test_the_spread_is_that_of_the_average_member_and_not_of_the_mixture():
    samples = members(np.random.default_rng(0))
    pooled = pool(samples, COUNT)
    low, high = quantiles(pooled, [0.05, 0.95])
    expected = 2 * norm.ppf(0.95) * np.sqrt(np.arange(1, 5))
    np.testing.assert_allclose((high - low).mean((0, 2)), expected, rtol=0.03)


def test_the_centre_is_the_average_of_the_members():
    samples = members(np.random.default_rng(1))
    middle = quantiles(pool(samples, COUNT), [0.5])[0]
    np.testing.assert_allclose(middle, np.median(samples, axis=1).mean(0), atol=0.15)


def test_paths_keep_the_dependence_between_steps():
    samples = members(np.random.default_rng(2))
    pooled = pool(samples, COUNT)
    before, after = pooled[:, :, 2, 0], pooled[:, :, 3, 0]
    own = [np.corrcoef(before[:, case], after[:, case])[0, 1] for case in range(300)]
    assert np.mean(own) > 0.8


def test_one_member_is_only_thinned_to_its_own_quantiles():
    samples = np.random.default_rng(3).normal(size=(1, 100, 2, 3, 1))
    np.testing.assert_allclose(np.sort(pool(samples, 100)[:, 0, 0, 0]), np.sort(samples[0, :, 0, 0, 0]), rtol=1e-6)
