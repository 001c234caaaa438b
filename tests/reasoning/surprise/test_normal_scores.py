"""Ranks among held-out scores are p-values, whatever the scores are, and go on beyond the largest of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreworld.reasoning.surprise.normal_scores import NormalScores, Tail, chance_above


def drawn(shape: str, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return {
        "normal": lambda: rng.normal(3, 2, count),
        "laplace": lambda: rng.laplace(0, 1, count),
        "lognormal": lambda: rng.lognormal(0, 1, count),
    }[shape]()


@pytest.mark.parametrize("shape", ["normal", "laplace", "lognormal"])
def test_p_is_uniform_on_new_scores(shape: str) -> None:
    ranks = NormalScores.fit(drawn(shape, 4000, 0))
    p = chance_above(ranks.normal(drawn(shape, 4000, 1)))
    for level in (0.01, 0.05, 0.3, 0.7, 0.95, 0.99):
        assert abs((p < level).mean() - level) < 4 * np.sqrt(2 * level * (1 - level) / 4000) + 0.002, level


def test_the_tail_goes_on_where_ranks_end() -> None:
    ranks = NormalScores.fit(drawn("laplace", 20_000, 0))
    far = chance_above(ranks.normal(np.array([8.0, 12.0])))
    truth = 0.5 * np.exp(-np.array([8.0, 12.0]))
    assert (np.abs(np.log(far / truth)) < 0.25 * -np.log(truth)).all()


@given(
    scores=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60),
    asked=st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=20),
    light=st.booleans(),
)
def test_more_is_never_less(scores: list[float], asked: list[float], light: bool) -> None:
    normal = NormalScores.fit(np.array(scores), light=light).normal(np.sort(asked))
    assert np.isfinite(normal).all() and (np.diff(normal) >= -1e-9).all()


@pytest.mark.parametrize("light", [False, True])
def test_value_undoes_normal(light: bool) -> None:
    scores = drawn("normal", 3000, 2)
    ranks = NormalScores.fit(scores, light=light)
    asked = np.array([-5.0, 0.0, 3.0, 7.0, 11.0])
    np.testing.assert_allclose(ranks.value(ranks.normal(asked)), asked, atol=1e-6)


def test_missing_scores_neither_count_nor_rank() -> None:
    scores = np.concatenate([drawn("normal", 500, 0), np.full(500, np.nan)])
    ranks = NormalScores.fit(scores)
    assert ranks == NormalScores.fit(drawn("normal", 500, 0))
    assert np.isnan(ranks.normal(np.array([np.nan, 1.0]))).tolist() == [True, False]


def test_what_never_moved_is_surprising_when_it_does() -> None:
    ranks = NormalScores.fit(np.zeros(300))
    assert ranks.normal(np.array([0.1, -0.1])).tolist() == [7.0, -7.0]
    assert abs(ranks.normal(np.array([0.0]))[0]) < 2


def test_a_tail_says_how_rare() -> None:
    tail = Tail.fit(np.random.default_rng(0).exponential(2.0, 20_000))
    np.testing.assert_allclose(tail.rarity(np.array([10.0, 20.0])), [5.0, 10.0], rtol=0.08)
