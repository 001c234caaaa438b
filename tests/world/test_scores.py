"""The losses are the scoring rules that they are named after, best in expectation for the true distribution."""

import math

import numpy as np
import pytest
import scoringrules
import torch
from hypothesis import given
from hypothesis import strategies as st

from foreworld.world import scores

FLOATS = st.floats(-5, 5)
SPREADS = st.floats(0.05, 5)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(mean=FLOATS, spread=SPREADS, truth=FLOATS)
def test_normal_crps_is_the_published_closed_form(mean: float, spread: float, truth: float) -> None:
    ours = scores.normal_crps(*(torch.tensor(value, dtype=torch.float64) for value in (mean, spread, truth)))
    assert float(ours) == pytest.approx(float(scoringrules.crps_normal(truth, mean, spread)), abs=1e-9)


def test_normal_crps_is_the_expectation_it_stands_for() -> None:
    x, other = 1 + 2 * normal(200_000), 1 + 2 * normal(200_000, seed=1)
    sampled = (x - 0.3).abs().mean() - (x - other).abs().mean() / 2
    exact = scores.normal_crps(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(0.3))
    assert float(exact) == pytest.approx(float(sampled), abs=0.01)


def test_mixture_crps_from_two_components_is_unbiased() -> None:
    means, spreads, weights = np.array([-1.0, 0.5, 2.0]), np.array([0.3, 1.0, 0.6]), np.array([0.2, 0.5, 0.3])
    exact = scoringrules.crps_mixnorm(0.4, means, spreads, weights)
    picked = np.random.default_rng(0).choice(3, (2, 200_000), p=weights)
    drawn = scores.mixture_crps(
        torch.from_numpy(means[picked]), torch.from_numpy(spreads[picked]), torch.full((200_000,), 0.4).double()
    )
    error = float(drawn.std()) / math.sqrt(drawn.numel())
    assert float(drawn.mean()) == pytest.approx(float(exact), abs=4 * error)


def test_a_mixture_of_one_component_is_that_component() -> None:
    mean, spread, truth = normal(50), normal(50, seed=1).abs() + 0.1, normal(50, seed=2)
    mixture = scores.mixture_crps(torch.stack([mean, mean]), torch.stack([spread, spread]), truth)
    torch.testing.assert_close(mixture, scores.normal_crps(mean, spread, truth))


def test_energy_score_of_two_draws_is_the_published_estimate_but_for_the_dimension() -> None:
    first, second, truth = normal(20, 6), normal(20, 6, seed=1), normal(20, 6, seed=2)
    members = torch.stack([first, second], dim=1).numpy()
    expected = np.asarray(scoringrules.es_ensemble(truth.numpy(), members, estimator="fair")) / math.sqrt(6)
    np.testing.assert_allclose(scores.energy_score(first, second, truth).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(("shift", "stretch"), [(0.5, 1.0), (0.0, 0.4), (0.0, 0.0), (0.0, 2.0)])
def test_the_true_distribution_scores_best(shift: float, stretch: float) -> None:
    truth, first, second = (normal(40_000, 3, seed=seed) for seed in range(3))
    honest = scores.energy_score(first, second, truth)
    other = scores.energy_score(shift + stretch * first, shift + stretch * second, truth)
    gap = other - honest
    assert float(gap.mean()) > 4 * float(gap.std()) / math.sqrt(gap.numel())
    if stretch:
        one = truth[:, 0]
        honest = scores.normal_crps(torch.zeros_like(one), torch.ones_like(one), one)
        other = scores.normal_crps(torch.full_like(one, shift), torch.full_like(one, stretch), one)
        assert other.mean() > honest.mean()


def test_squared_error_favours_the_mean_and_the_energy_score_does_not() -> None:
    truth, first, second = (normal(20_000, 2, seed=seed) for seed in range(3))
    mean = torch.zeros_like(truth)
    assert scores.squared_error(mean, mean, truth).mean() < scores.squared_error(first, second, truth).mean()
    assert scores.energy_score(mean, mean, truth).mean() > scores.energy_score(first, second, truth).mean()


def test_log_score_is_that_of_the_average_probability() -> None:
    logits = normal(2, 7, 4)
    came = torch.arange(7) % 4
    expected = -torch.log(torch.softmax(logits, -1).mean(0)[torch.arange(7), came])
    one_hot = torch.nn.functional.one_hot(came, 4).double()
    torch.testing.assert_close(scores.mixture_log_score(logits, one_hot), expected)
    torch.testing.assert_close(
        scores.mixture_log_score(logits[:1], one_hot),
        torch.nn.functional.cross_entropy(logits[0], came, reduction="none"),
    )


def test_log_score_of_a_sure_and_wrong_forecast_is_large_but_finite() -> None:
    logits = torch.tensor([[[500.0, -500.0]]], requires_grad=True)
    loss = scores.mixture_log_score(logits, torch.tensor([[0.0, 1.0]]))
    loss.sum().backward()
    assert loss.item() == pytest.approx(1000)
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())


def test_gradients_are_finite_where_draws_and_truth_coincide() -> None:
    point = torch.zeros(4, 3, requires_grad=True)
    scores.energy_score(point, point, torch.zeros(4, 3)).sum().backward()
    mean, spread = torch.zeros(2, 5, requires_grad=True), torch.full((2, 5), 1e-3, requires_grad=True)
    scores.mixture_crps(mean, spread, torch.zeros(5)).sum().backward()
    for leaf in (point, mean, spread):
        assert leaf.grad is not None and bool(torch.isfinite(leaf.grad).all())
