"""The ensemble is as wide as its members are on average, and each of its futures is still one coherent path."""

import numpy as np
import pytest

from foreworld.reasoning.calibrate import quantiles
from foreworld.reasoning.pool import pool

LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]


def walks(members: int, draws: int, apart: float = 0.0) -> np.ndarray:
    """Random walks of five steps for three questions: [member, draw, episode, step, target]."""
    chance = np.random.default_rng(0).normal(size=(members, draws, 3, 5, 1))
    return chance.cumsum(axis=3) + apart * np.arange(members).reshape(-1, 1, 1, 1, 1)


@pytest.mark.parametrize("count", [495, 250])
def test_quantiles_are_those_of_the_members_on_average(count: int) -> None:
    samples = walks(5, 99, apart=10.0)
    expected = np.mean([quantiles(member, LEVELS) for member in samples], axis=0)
    # Levels of 250 futures fall between those of 99 draws, and reading a quantile falls between them again.
    np.testing.assert_allclose(quantiles(pool(samples, count), LEVELS), expected, atol=0.05)


def test_members_that_agree_are_left_as_they_are() -> None:
    member = walks(1, 40)
    pooled = pool(np.repeat(member, 4, axis=0), 160)
    np.testing.assert_allclose(quantiles(pooled, LEVELS), quantiles(member[0], LEVELS), atol=0.02)


def test_one_member_is_itself() -> None:
    samples = walks(1, 7)
    np.testing.assert_allclose(pool(samples, 7), samples[0], atol=1e-12)


def test_every_future_keeps_its_rank_and_so_its_path() -> None:
    samples = walks(4, 50)
    together, pooled = samples.swapaxes(0, 1).reshape(200, 3, 5, 1), pool(samples, 200)
    in_order = np.take_along_axis(pooled, np.argsort(together, axis=0), axis=0)
    assert (np.diff(in_order, axis=0) >= 0).all()
    smoothness = np.corrcoef(pooled[:, 0, 3, 0], pooled[:, 0, 4, 0])[0, 1]
    assert smoothness == pytest.approx(np.sqrt(4 / 5), abs=0.08)


def test_the_members_come_in_turn() -> None:
    ranks = np.argsort(np.argsort(pool(walks(4, 50, apart=100.0), 8)[:, 0, 0, 0]))
    assert (ranks // 2).tolist() == [0, 1, 2, 3] * 2


@pytest.mark.parametrize(("members", "draws", "count"), [(2, 1, 2), (2, 1, 1), (5, 2, 7), (3, 20, 1)])
def test_as_few_as_asked_for(members: int, draws: int, count: int) -> None:
    pooled = pool(walks(members, draws), count)
    assert pooled.shape == (count, 3, 5, 1) and np.isfinite(pooled).all()
