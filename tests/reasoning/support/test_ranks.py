"""A p-value is the share of held-out questions at least as strange, and falls on beyond them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreworld.reasoning.support.ranks import Ranks

SIZES = st.lists(st.integers(0, 12).map(float), min_size=1, max_size=40)


@given(SIZES, st.integers(0, 14))
def test_it_is_the_share_that_is_at_least_as_strange(held_out: list[float], asked: int) -> None:
    ranks = Ranks.fit(np.array(held_out), tail=4.0)
    share = (1 + sum(value >= asked for value in held_out)) / (1 + len(held_out))
    found = float(ranks.p(np.array([float(asked)]))[0])
    assert found == pytest.approx(share) if asked <= max(held_out) else found < share + 1e-12


def test_on_questions_like_the_held_out_ones_it_is_uniform() -> None:
    rng = np.random.default_rng(0)
    ranks = Ranks.fit(rng.exponential(size=(500, 2)), tail=4.0)
    p = ranks.p(rng.exponential(size=(20_000, 2)))
    for level in (0.02, 0.1, 0.5):
        np.testing.assert_allclose((p <= level).mean(0), level, atol=3 * np.sqrt(level / 500))


def test_beyond_all_of_them_it_falls_as_a_power() -> None:
    ranks = Ranks.fit(np.array([1.0, 2.0, 4.0]), tail=2.0)
    np.testing.assert_allclose(ranks.p(np.array([4.0, 8.0, 40.0])), [0.5, 0.25 / 4, 0.25 / 100])


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02, 0.001])
def test_the_border_is_where_p_crosses(share: float) -> None:
    ranks = Ranks.fit(np.random.default_rng(0).exponential(size=(100, 1)), tail=4.0)
    border = float(ranks.border(np.array([share]))[0])
    low, high = ranks.p(np.array([[border * 1.0001], [border * 0.9999]]))[:, 0]
    assert low <= share * 1.01 and high >= share * 0.99
