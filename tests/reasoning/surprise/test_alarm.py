"""Alarms keep their budget on streams of noise, and find changes of mean and spread soon after they begin."""

import numpy as np
import pytest

from foreworld.data.schema import Variable
from foreworld.reasoning.surprise.alarm import Watch, onset
from foreworld.reasoning.surprise.standard import Standard, sides

TWO_SIDED = np.array([True, True, True, False])
OBSERVATIONS = [Variable(name=name, role="observation") for name in "abc"]


def noise(episodes: int, steps: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(episodes, steps, len(TWO_SIDED)))


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch.fit(noise(60, 300, seed=0), TWO_SIDED)


def raised(watch: Watch, scores: np.ndarray, per_1000: float = 5.0) -> np.ndarray:
    return watch.run(scores, np.array([watch.threshold(per_1000 / 1000)]))[0].raised


@pytest.mark.parametrize("budget", [2.0, 5.0, 20.0])
def test_the_budget_is_kept(watch: Watch, budget: float) -> None:
    rate = 1000 * raised(watch, noise(150, 300, seed=1), budget).mean()
    # 45,000 rows against a threshold from 18,000: a fifth is three standard errors at a budget of 20, one at 2.
    assert abs(rate / budget - 1) < {2.0: 0.6, 5.0: 0.35, 20.0: 0.2}[budget]


@pytest.mark.parametrize(
    ("change", "within"),
    [
        (lambda z: z + 1.0, 40),
        (lambda z: z - 2.0, 15),
        (lambda z: 3.0 * z, 15),
        (lambda z: 0.0 * z, 15),
        (lambda z: z + np.linspace(0, 3, z.shape[1]), 60),
    ],
    ids=["higher", "much lower", "wilder", "stuck", "drift"],
)
def test_a_change_is_found_soon(watch: Watch, change, within: int) -> None:
    scores = noise(20, 200, seed=2)
    scores[:, 100:, 1] = change(scores[:, 100:, 1])
    alarms = watch.run(scores, np.array([watch.threshold(0.005)]))[0]
    found = alarms.raised[:, 100 : 100 + within].any(1)
    assert found.mean() >= 0.9
    late = alarms.raised[:, 100 : 100 + within]
    named = alarms.gathered[:, 100 : 100 + within][late].argmax(-1)
    assert (named == 1).mean() > 0.7


def test_one_side_is_no_surprise_where_only_much_is(watch: Watch) -> None:
    scores = noise(20, 100, seed=3)
    scores[..., 3] -= 1.5
    assert raised(watch, scores).mean() < 0.02


def test_nothing_seen_raises_nothing(watch: Watch) -> None:
    scores = noise(3, 120, seed=4)
    scores[1] = np.nan
    scores[2, 40:] = np.nan
    found = raised(watch, scores, 50.0)
    assert found[0].any() and not found[1].any() and not found[2, 40:].any()


def test_episodes_do_not_matter_to_one_another(watch: Watch) -> None:
    scores = noise(5, 150, seed=5)
    together = raised(watch, scores, 30.0)
    alone = np.concatenate([raised(watch, scores[index : index + 1], 30.0) for index in range(5)])
    assert together.any() and (together == alone).all()


def test_the_onset_is_where_the_change_began() -> None:
    scores = np.random.default_rng(6).normal(size=80)
    scores[50:] += 2.0
    assert abs(onset(scores, True) - 50) <= 3


def test_a_rate_that_was_not_counted_has_no_interval(watch: Watch) -> None:
    seen, unseen = watch.counted(0.01), watch.counted(1e-4)
    assert seen["counted"] and isinstance(seen["low"], float) and isinstance(seen["high"], float)
    assert seen["low"] < 10 < seen["high"]
    assert not unseen["counted"] and unseen["low"] is None
    rates = np.array(watch.rates)
    assert (np.diff(rates) < 0).all()
    np.testing.assert_allclose(watch.rate(np.array([watch.threshold(0.01)])), 0.01, rtol=1e-6)


def test_the_budget_of_an_ensemble_is_kept_where_its_members_slip_one_by_one() -> None:
    """Slips that last make many alarms of a member, and few of the mean of five, which no trajectory shows."""
    members, steps = 5, 400

    def episode(rng: np.random.Generator, count: int) -> np.ndarray:
        burst = np.repeat(rng.random((count, steps // 20, 4)) < 0.1, 20, axis=1)
        own = rng.normal(size=(count, steps, 4)) * np.where(burst, 2.5, 0.7)
        return rng.normal(size=(steps, 4)) + own

    rng = np.random.default_rng(5)
    held_out = [list(episode(rng, 2 if index % 4 == 0 else 1)) for index in range(160)]
    standard, scores = Standard.fit(held_out, members)
    alone = Watch.fit(scores, sides(OBSERVATIONS))
    twice = [place for place, both in enumerate(held_out) if len(both) == 2]
    pairs = standard.paired([held_out[place] for place in twice])
    together = alone.of_ensemble(scores[twice], pairs, members)
    fresh = standard.judge([episode(rng, members) for _ in range(100)]).scores
    rates = [1000 * raised(one, fresh, 5.0).mean() for one in (alone, together)]
    assert rates[0] < 0.8 * 5 and abs(rates[1] / 5 - 1) < 0.25
    np.testing.assert_allclose(alone.of_ensemble(scores[twice], pairs, 1).rates, alone.rates)
