"""Floors of the tumour benchmark: forecasts by the known equations, with what can be known of the parameters.

A day's relative growth is linear in the hidden (rho, beta_c, alpha) with Gaussian noise, so what a history says of them
is Bayesian linear regression: with a Gaussian prior, precision P = P0 + sum x x' / s^2.
"""

import numpy as np
from jaxtyping import Float

from foreworld.domains import tumour_model as model
from foreworld.domains.tumour_benchmark import Histories, Questions

Theta = Float[np.ndarray, "patient day 3"]
SMALLEST = 1e-9  # cm^3, about half a cell: what a forecast that shrinks below nothing goes on from.


def no_change(questions: Questions) -> Float[np.ndarray, "patient day plan step"]:
    """The present volume for ever."""
    return np.broadcast_to(questions.histories.volume[:, :-1, None, None], questions.outcome.shape)


def population_mean(histories: Histories) -> Theta:
    """The true prior mean of each patient's type."""
    means = np.stack([model.prior(kind)[0] for kind in range(len(model.TYPES))])[histories.patients.kind]
    return np.repeat(means[:, None], histories.asked.shape[1], axis=1)


def near_bayes(histories: Histories) -> Theta:
    """Posterior means given the history before each day, from the moments of the true prior and the true noise."""
    x, growth = _regression(histories)
    theta = np.empty(x.shape)
    for kind in range(len(model.TYPES)):
        of = histories.patients.kind == kind
        theta[of] = _sequential(x[of], growth[of], *model.prior(kind), model.NOISE)
    return theta


def true_parameters(histories: Histories) -> Theta:
    """What nobody knows; only future noise is left."""
    return np.repeat(histories.patients.theta[:, None], histories.asked.shape[1], axis=1)


def roll_out(questions: Questions, theta: Theta) -> Float[np.ndarray, "patient day plan step"]:
    """Volumes under the plans by the known equations, without noise."""
    shape = questions.outcome.shape[:3]
    histories = questions.histories
    volume = np.broadcast_to(histories.volume[:, :-1, None], shape)
    drug = np.broadcast_to(histories.evening[:, :, None], shape)
    forecast = []
    for step in range(questions.outcome.shape[3]):
        chemo, radio = np.moveaxis(questions.plans[..., step, :], -1, 0)
        drug = model.CHEMO_LEFT * drug + model.CHEMO_DOSE * chemo
        volume = model.grow(volume, drug, model.RADIO_DOSE * radio, theta[:, :, None, :])
        forecast.append(volume)
        volume = np.maximum(volume, SMALLEST)
    return np.stack(forecast, axis=-1)


def _regression(histories: Histories) -> tuple[Theta, Float[np.ndarray, "patient day"]]:
    """Regressors and relative growth of each day; zero where there is none."""
    volume = histories.volume
    x = model.regressors(volume[:, :-1], histories.concentration, model.RADIO_DOSE * histories.treated[..., 1])
    growth = volume[:, 1:] / volume[:, :-1] - 1
    known = histories.asked & np.isfinite(growth)
    return np.where(known[..., None], x, 0.0), np.where(known, growth, 0.0)


def _sequential(
    x: Theta,
    growth: Float[np.ndarray, "patient day"],
    mean: Float[np.ndarray, "3"],
    covariance: Float[np.ndarray, "3 3"],
    noise: float,
) -> Theta:
    """Posterior means before each day, all days at once."""
    seen = np.cumsum(x[..., :, None] * x[..., None, :], axis=1) / noise**2
    told = np.cumsum(x * growth[..., None], axis=1) / noise**2
    before = np.linalg.inv(covariance)
    seen, told = (np.roll(total, 1, axis=1) for total in (seen, told))
    seen[:, 0], told[:, 0] = 0, 0
    return np.linalg.solve(before + seen, (before @ mean + told)[..., None])[..., 0]
