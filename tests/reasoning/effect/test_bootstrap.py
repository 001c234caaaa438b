"""Intervals are as wide as estimates of effects really scatter."""

import numpy as np

from foreworld.reasoning.effect.bootstrap import widening
from foreworld.reasoning.effect.nuisance import FOLDS, design, ridge


def test_regressions_on_many_features_widen_intervals_by_what_the_rows_do_not_show() -> None:
    rng, rows, features = np.random.default_rng(0), 300, 30
    fold, found, told = np.arange(rows) % FOLDS, [], []
    for _ in range(1500):
        x = design(rng.normal(size=(rows, features - 1)))
        both = (x @ rng.normal(size=features) / features**0.5)[:, None] + rng.normal(size=(rows, 2))
        outcome, action = (both - ridge(x, both, fold)).T
        found.append(action @ outcome / (action @ action))
        told.append(np.sqrt(np.square(action * (outcome - found[-1] * action)).sum()) / (action @ action))
    factor = widening(episodes=10**6, terms=1, features=features, rows=np.array([rows]))[0]
    assert np.std(found) / np.mean(told) > 1.05
    np.testing.assert_allclose(np.std(found) / np.mean(told), factor, atol=0.04)


def test_few_episodes_and_many_terms_widen_intervals() -> None:
    rows = np.array([1000, 500])
    plain = widening(episodes=1000, terms=1, features=10, rows=rows)
    assert plain[0] < plain[1] < 1.05
    assert (widening(episodes=20, terms=1, features=10, rows=rows) > plain).all()
    assert (widening(episodes=1000, terms=100, features=10, rows=rows) > plain).all()
