"""What is missed about everybody is taken away, and nothing else."""

from dataclasses import replace

import numpy as np

from foreworld.reasoning.individual.alike import FARTHEST, Alike
from foreworld.reasoning.individual.look import Looks, Terms

LEADS = np.array([1, 4])
TRUE = np.array([0.5, 0.0, -0.3])  # Of the row's three numbers.
NOISE = 0.7


def looks(count: int, each: int, seed: int, *, told: float = 0.0, weights: np.ndarray = TRUE) -> Looks:
    """Of each individual so many: misses are linear in the row, and a share `told` of what was said is too much."""
    rng = np.random.default_rng(seed)
    size = count * each
    row, expected = rng.normal(size=(size, 3)), rng.normal(size=(size, 2, 1))
    deviation = np.exp(0.5 * rng.normal(size=(size, 2, 1)))
    systematic = (row @ weights)[:, None, None] - told * expected
    missed = systematic / deviation + NOISE * rng.normal(size=deviation.shape)
    facts = Terms(LEADS, np.ones((size, 2, 1)), np.zeros((size, 1)), row)
    places = np.arange(size).reshape(count, each)
    rows, apart = np.tile(np.arange(each), count), np.ones(count, int)
    return Looks(rows, facts, expected, deviation, missed, places, np.full(count, each + 4), apart)


def fit(found: Looks) -> Alike:
    """From four parts."""
    return Alike.fit(found, found.whose() % 4)[-1]


def test_what_is_missed_alike_is_found_whatever_the_forecast_takes_for_its_error() -> None:
    law, new = fit(looks(100, 20, seed=0, told=0.4)), looks(50, 20, seed=1, told=0.4)
    truth = (new.facts.row @ TRUE)[:, None, None] - 0.4 * new.expected
    error = law.shift(new.facts, new.expected) - truth
    assert np.square(error).mean() < 0.01 * np.square(truth).mean()
    left = np.square(new.beyond(law).missed).mean()
    assert 0.9 * NOISE**2 < left < 1.1 * NOISE**2


def test_where_nothing_is_missed_alike_hardly_anything_is_moved() -> None:
    law, new = fit(looks(20, 20, seed=0, weights=np.zeros(3))), looks(50, 20, seed=1, weights=np.zeros(3))
    assert np.square(law.shift(new.facts, new.expected)).mean() < 0.02 * NOISE**2


def test_nothing_is_learnt_of_few_individuals() -> None:
    few = looks(7, 100, seed=0)
    assert not fit(few).shift(few.facts, few.expected).any()


def test_what_was_never_seen_is_moved_no_farther_than_what_was() -> None:
    law, new = fit(looks(100, 20, seed=0)), looks(2, 1, seed=1)
    far = law.shift(replace(new.facts, row=np.full((2, 3), 1e6)), new.expected)
    np.testing.assert_allclose(far, FARTHEST * np.sqrt(np.square(TRUE).sum()), rtol=0.1)


def test_between_two_leads_shifts_lie_between_theirs() -> None:
    law, new = fit(looks(100, 20, seed=0)), looks(5, 1, seed=1)
    same = replace(new.facts, steps=np.array([1, 2, 4]), common=np.ones((5, 3, 1)))
    shift = law.shift(same, np.repeat(new.expected[:, :1], 3, axis=1))[..., 0]
    np.testing.assert_allclose(shift[:, 1], (2 * shift[:, 0] + shift[:, 2]) / 3)


def test_those_that_were_not_seen_do_not_count() -> None:
    found = looks(100, 20, seed=0)
    gaps = np.random.default_rng(3).random(found.missed.shape) < 0.5
    law, new = fit(replace(found, missed=np.where(gaps, np.nan, found.missed))), looks(50, 20, seed=1)
    truth = (new.facts.row @ TRUE)[:, None, None]
    assert np.square(law.shift(new.facts, new.expected) - truth).mean() < 0.02 * np.square(truth).mean()


def test_what_a_part_is_corrected_by_knows_nothing_of_it() -> None:
    found = looks(40, 20, seed=0)
    part = found.whose() % 4
    other = replace(found, missed=np.where((part == 2)[:, None, None], 5.0, found.missed))
    one, two = Alike.fit(found, part)[2], Alike.fit(other, part)[2]
    ratio = (two.weights / one.weights)[..., TRUE.nonzero()[0]]  # All parts have a say in penalty and credit.
    assert np.abs(ratio / ratio.mean((1, 2), keepdims=True) - 1).max() < 0.1
