"""Known answers: the counterfactual of a linear-Gaussian system in closed form, and of categories by their Gumbels."""

import numpy as np
import pytest

from foreworld.reasoning.abduction import carry_over, same_gumbels, shares

HORIZON, SAMPLES = 6, 20_000
A = np.array([[0.9, 0.2], [-0.1, 0.8]])
C = np.array([1.0, 0.5])


def path(noise: np.ndarray, gain: np.ndarray, action: np.ndarray) -> np.ndarray:
    """y_t of x' = A x + (gain u, 0) + noise, y = C x: how strongly the input acts is itself a matter of chance."""
    state = np.zeros((*gain.shape, 2))
    seen = []
    for step in range(HORIZON):
        push = np.stack([gain * action[step], np.zeros_like(gain)], -1)
        state = state @ A.T + push + noise[..., step, :]
        seen.append(state @ C)
    return np.stack(seen, -1)


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 0.3 * rng.normal(size=(count, HORIZON, 2)), 1 + 0.4 * rng.normal(size=count)


DONE, INSTEAD = np.ones(HORIZON), np.array([1.0, 2.0, 0.0, 0.0, 3.0, 1.0])
FACTUAL, OTHER = (path(*draw(SAMPLES, 0), action)[:, None, :, None] for action in (DONE, INSTEAD))


def exact(happened: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the other path given the factual one at the steps seen: conditioning of a joint normal."""
    both = np.concatenate([path(*draw(400_000, 9), action) for action in (DONE, INSTEAD)], 1)
    mean, covariance = both.mean(0), np.cov(both.T)
    kept = np.flatnonzero(seen)
    gain = np.linalg.solve(covariance[np.ix_(kept, kept)], covariance[kept]).T
    middle = mean + gain @ (happened[kept] - mean[kept])
    return middle[HORIZON:], np.diag(covariance - gain @ covariance[kept])[HORIZON:]


@pytest.mark.parametrize("missing", [[], [0, 3]])
def test_the_closed_form_of_a_linear_gaussian_system(missing: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foreworld.reasoning.abduction.RIDGE", 1e-3)
    happened = path(*draw(1, 4), DONE)[0]
    seen = ~np.isin(np.arange(HORIZON), missing)
    mean, variance = exact(happened, seen)
    given = np.where(seen, happened, np.nan)[None, :, None]
    answer = carry_over(FACTUAL, OTHER, given, np.random.default_rng(1))[:, 0, :, 0]
    np.testing.assert_allclose(answer.mean(0), mean, atol=0.05)
    np.testing.assert_allclose(answer.std(0), np.sqrt(variance.clip(0)), atol=0.05)


def test_the_worked_example_of_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foreworld.reasoning.abduction.RIDGE", 1e-3)
    rng = np.random.default_rng(0)
    sensitivity, chance = 1 + 0.5 * rng.normal(size=100_000), 20 * rng.normal(size=100_000)
    one, two = (180 - 30 * sensitivity * units + chance for units in (1, 2))
    answer = carry_over(one[:, None, None, None], two[:, None, None, None], np.full((1, 1, 1), 120.0), rng)
    assert two.std() == pytest.approx(36, abs=0.5)
    assert answer.mean() == pytest.approx(79.2, abs=0.3) and answer.std() == pytest.approx(12, abs=0.3)


def test_the_truth_is_far_nearer_than_to_a_forecast() -> None:
    noise, gain = draw(300, 5)
    happened, truth = (path(noise, gain, action) for action in (DONE, INSTEAD))
    factual, other = (np.repeat(x[:2000], 300, 1) for x in (FACTUAL, OTHER))
    answer = carry_over(factual, other, happened[..., None], np.random.default_rng(1)).mean(0)[..., 0]
    error, forecast = (np.sqrt(np.square(guess - truth).mean()) for guess in (answer, OTHER.mean(0)[..., 0]))
    assert error < 0.5 * forecast


def test_under_the_same_actions_the_same_happens() -> None:
    happened = path(*draw(1, 4), DONE)[:, :, None]
    answer = carry_over(FACTUAL, FACTUAL, happened, np.random.default_rng(1))
    np.testing.assert_allclose(answer, np.broadcast_to(happened, answer.shape), atol=1e-12)


def test_a_step_of_which_nothing_varies_is_kept() -> None:
    """An outcome at its bound in every future must not divide by zero."""
    still = np.zeros((50, 1, 3, 1))
    answer = carry_over(still, still + 1, np.full((1, 3, 1), 0.25), np.random.default_rng(0))
    np.testing.assert_allclose(answer, 1.25)


def test_gumbels_keep_what_did_not_become_less_likely() -> None:
    """Counterfactual stability (Oberst and Sontag 2019), and the probabilities that abduction has to average to."""
    rng = np.random.default_rng(0)
    before, after = np.array([0.2, 0.5, 0.3]), np.array([0.4, 0.4, 0.2])
    assert (same_gumbels(before, after, np.array(0.0), 5_000, rng) == 0).all()
    assert (same_gumbels(before, before, np.array(2.0), 5_000, rng) == 2).all()
    outcome = [same_gumbels(before, after, np.array(float(k)), 60_000, rng) for k in range(3)]
    averaged = sum(p * shares(samples, 3) for p, samples in zip(before, outcome, strict=True))
    np.testing.assert_allclose(averaged, after, atol=0.01)
    np.testing.assert_allclose(shares(same_gumbels(before, after, np.array(np.nan), 60_000, rng), 3), after, atol=0.01)
