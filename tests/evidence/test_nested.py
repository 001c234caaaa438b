"""One factorisation for all responses, against a solve for each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreworld.evidence.baselines.nested import NestedRidge
from foreworld.evidence.baselines.tuning import refit, tune


def problem(seed: int, rows: int = 60, columns: int = 100, responses: int = 5):
    rng = np.random.default_rng(seed)
    x = np.concatenate([np.ones((rows, 1)), rng.normal(size=(rows, columns - 1))], axis=1)
    ridge = np.concatenate([[0.0], rng.uniform(0.5, 50.0, columns - 1)])
    return x, rng.normal(size=(rows, responses)) + 3.0, ridge, rng.integers(1, columns + 1, responses)


def solve_alone(x, y, ridge, reach):
    weights = np.zeros(x.shape[1])
    x, ridge = x[:, :reach], ridge[:reach]
    weights[:reach] = np.linalg.solve(x.T @ x + np.diag(ridge), x.T @ y)
    return weights


@given(st.integers(0, 1000))
def test_each_response_gets_the_solution_on_its_own_columns(seed):
    x, y, ridge, reach = problem(seed)
    weights = NestedRidge(x.T @ x, ridge, reach).solve(x.T @ y)
    expected = [solve_alone(x, y[:, k], ridge, reach[k]) for k in range(len(reach))]
    np.testing.assert_allclose(weights, np.stack(expected, axis=1), atol=1e-8)


@given(st.integers(0, 1000), st.floats(0.05, 0.9))
def test_each_response_gets_the_solution_on_its_own_rows(seed, missing):
    x, y, ridge, reach = problem(seed)
    seen = np.random.default_rng(seed).random(y.shape) > missing
    seen[0] = True
    y = np.where(seen, y, 0.0)
    system = NestedRidge(x.T @ x, ridge, reach)
    weights = system.solve_missing(x, seen.astype(float), x.T @ y, tolerance=1e-9, iterations=500)
    expected = [solve_alone(x[seen[:, k]], y[seen[:, k], k], ridge, reach[k]) for k in range(len(reach))]
    np.testing.assert_allclose(weights, np.stack(expected, axis=1), atol=1e-4)


def test_cross_validation_prefers_the_penalty_that_predicts_and_refit_uses_it():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.ones((400, 1)), rng.normal(size=(400, 150))], axis=1)
    strong = x[:, 1:] @ rng.normal(size=150)
    y = np.stack([strong, rng.normal(size=400)], axis=1)[:, None]
    ridges = np.stack([np.full(151, penalty) for penalty in (1e-6, 1e3)])
    ridges[:, 0] = 0.0
    reach, fold = np.array([151]), np.arange(400) % 5
    tuned = tune(x, y, fold, reach, ridges)
    assert tuned.choice.tolist() == [[0, 1]]
    assert tuned.loss[0, 0] < 1e-3 and tuned.loss[0, 1] == pytest.approx(1.0, abs=0.15)
    weights = refit(x, y, reach, ridges, tuned.choice)
    np.testing.assert_allclose(x @ weights[:, 0, 0], strong, atol=1e-2)


def test_predictions_of_a_fold_never_saw_it():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.ones((100, 1)), rng.normal(size=(100, 3))], axis=1)
    y, fold, ridges = rng.normal(size=(100, 1, 1)), np.arange(100) % 4, np.full((1, 4), 1e-3)
    before = tune(x, y, fold, np.array([4]), ridges).predicted
    y[fold == 2] += 1000.0
    after = tune(x, y, fold, np.array([4]), ridges).predicted
    np.testing.assert_allclose(after[fold == 2], before[fold == 2])
    assert np.abs(after[fold != 2] - before[fold != 2]).min() > 1.0
