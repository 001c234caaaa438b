"""The ensemble is as wide as its members are on average, and each of its futures is still one coherent path."""

import numpy as np
import pytest

from foreworld.reasoning.calibrate import quantiles
from foreworld.reasoning.pool import pool


def walks(members: int, draws: int, seed: int = 0) -> np.ndarray:
    """Random walks of five steps for three questions: [member, draw, episode, step, target]."""
    return np.random.default_rng(seed).normal(size=(members, draws, 3, 5, 1)).cumsum(axis=3)


def test_quantiles_are_those_of_the_members_on_average() -> None:
    samples = walks(5, 99) + 10 * np.arange(5.0)[:, None, None, None, None]
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    expected = np.mean([quantiles(member, levels) for member in samples], axis=0)
    np.testing.assert_allclose(quantiles(pool(samples), levels), expected, atol=0.02)


def test_members_that_agree_are_left_as_they_are() -> None:
    member = walks(1, 40)
    pooled = pool(np.repeat(member, 4, axis=0))
    assert pooled.shape == (160, 3, 5, 1)
    levels = [0.1, 0.5, 0.9]
    np.testing.assert_allclose(quantiles(pooled, levels), quantiles(member[0], levels), atol=1e-9)


def test_one_member_is_itself() -> None:
    samples = walks(1, 7)
    np.testing.assert_array_equal(pool(samples), samples[0])


def test_every_future_keeps_its_rank_and_so_its_path() -> None:
    samples = walks(4, 50)
    together = samples.swapaxes(0, 1).reshape(200, 3, 5, 1)
    pooled = pool(samples)
    in_order = np.take_along_axis(pooled, np.argsort(together, axis=0), axis=0)
    assert (np.diff(in_order, axis=0) >= 0).all()
    smoothness = np.corrcoef(pooled[:, 0, 3, 0], pooled[:, 0, 4, 0])[0, 1]
    assert smoothness == pytest.approx(np.sqrt(4 / 5), abs=0.08)


def test_the_first_futures_speak_for_every_member() -> None:
    samples = walks(4, 50) + 100 * np.arange(4.0)[:, None, None, None, None]
    ranks = np.argsort(np.argsort(pool(samples)[:, 0, 0, 0]))
    assert sorted(ranks[:4] // 50) == [0, 1, 2, 3]


@pytest.mark.parametrize(("members", "draws"), [(2, 1), (5, 2), (3, 20)])
def test_few_draws_are_enough_for_finite_values(members: int, draws: int) -> None:
    assert np.isfinite(pool(walks(members, draws))).all()
