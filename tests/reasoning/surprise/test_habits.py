"""A trajectory's own mean and spread, and errors that follow one another, are no surprise; a change of them is."""

import numpy as np

from foreworld.reasoning.surprise.habits import Habits


def streams(episodes: int, steps: int, seed: int) -> np.ndarray:
    """Correlated noise about means that differ between trajectories, as do spreads; variance one over all."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(episodes, steps, 1))
    for step in range(1, steps):
        noise[:, step] = 0.5 * noise[:, step - 1] + np.sqrt(0.75) * noise[:, step]
    spread = np.sqrt(20 / rng.chisquare(20, (episodes, 1, 1)))
    own = rng.normal(0, 0.6, (episodes, 1, 1)) + 0.8 * spread * noise
    return own / own.std()


def fresh(habits: Habits, scores: np.ndarray) -> np.ndarray:
    centre, width = habits.usual(scores)
    return (scores - centre) / width


def test_what_is_left_is_new_every_row() -> None:
    habits = Habits.fit(streams(200, 150, seed=0))
    assert 0.4 < habits.follow[0] < 0.6 and 0.2 < habits.differ[0] < 0.5 and 8 < habits.strength[0] < 60
    left = fresh(habits, streams(200, 150, seed=1))[:, 20:, 0]
    assert abs(left.std() - 1) < 0.06
    assert left.mean(1).std() < 0.5 * streams(200, 150, seed=1)[..., 0].mean(1).std()
    assert abs(np.corrcoef(left[:, 1:].ravel(), left[:, :-1].ravel())[0, 1]) < 0.06


def test_independent_streams_stay_as_they_are() -> None:
    scores = np.random.default_rng(2).normal(size=(80, 120, 2))
    habits = Habits.fit(scores)
    assert np.corrcoef(fresh(habits, scores).ravel(), scores.ravel())[0, 1] > 0.99


def test_a_fault_does_not_pass_for_a_habit() -> None:
    habits = Habits.fit(streams(200, 150, seed=0))
    scores = streams(50, 150, seed=3)
    scores[:, 100:] += 8.0
    assert fresh(habits, scores)[:, 105:125].mean() > 1.5


def test_gaps_are_passed_over() -> None:
    habits = Habits.fit(streams(50, 100, seed=0))
    scores = streams(4, 60, seed=4)
    scores[:, 10:20] = np.nan
    left = fresh(habits, scores)
    assert np.isnan(left[:, 10:20]).all() and np.isfinite(left[:, 20:]).all()
