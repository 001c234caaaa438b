"""Proper scoring rules as training losses: a forecast does best in expectation by giving the true distribution.

Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, JASA 2007.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def energy_score(
    first: Float[Tensor, "*batch latent"], second: Float[Tensor, "*batch latent"], truth: Float[Tensor, "*batch latent"]
) -> Float[Tensor, "*batch"]:
    """Energy score of two independent draws, (|x - y| + |x' - y|) / 2 - |x - x'| / 2, an unbiased estimate.

    Divided by the square root of the dimension, so that its size does not depend on it.
    """
    error = (_norm(first - truth) + _norm(second - truth)) / 2
    return (error - _norm(first - second) / 2) / math.sqrt(truth.shape[-1])


def squared_error(
    first: Float[Tensor, "*batch latent"], second: Float[Tensor, "*batch latent"], truth: Float[Tensor, "*batch latent"]
) -> Float[Tensor, "*batch"]:
    """Mean squared error of two draws: no proper score, it is best served by draws that do not differ."""
    return ((first - truth).square() + (second - truth).square()).mean(-1) / 2


def _norm(x: Tensor) -> Tensor:
    # The small constant keeps the gradient finite where two draws coincide.
    return torch.sqrt(x.square().sum(-1) + 1e-8)


def _absolute_normal(mean: Tensor, deviation: Tensor) -> Tensor:
    """E|X| for X ~ N(mean, deviation^2)."""
    ratio = mean / deviation
    density = torch.exp(-0.5 * ratio.square()) / math.sqrt(2 * math.pi)
    return deviation * 2 * density + mean * torch.erf(ratio / math.sqrt(2))


def normal_crps(mean: Tensor, deviation: Tensor, truth: Tensor) -> Tensor:
    """Continuous ranked probability score of a normal distribution, E|X - y| - E|X - X'| / 2 in closed form."""
    return _absolute_normal(mean - truth, deviation) - deviation / math.sqrt(math.pi)


def mixture_crps(
    means: Float[Tensor, "2 *batch"], deviations: Float[Tensor, "2 *batch"], truth: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """CRPS of an infinite mixture of normals, of which two components were drawn; an unbiased estimate.

    Both expectations are exact given the two components; the second is taken across them, never within one, since two
    draws from the mixture have independent components.
    """
    error = _absolute_normal(means - truth, deviations).mean(0)
    one, other = means.unbind()
    spread = _absolute_normal(one - other, torch.hypot(*deviations.unbind()))
    return error - spread / 2


def mixture_log_score(
    logits: Float[Tensor, "draw *batch category"], truth: Float[Tensor, "*batch category"]
) -> Float[Tensor, "*batch"]:
    """Negative log probability of the category that came true (one-hot) under the average over draws."""
    log_probability = torch.log_softmax(logits, dim=-1).logsumexp(0) - math.log(logits.shape[0])
    return -(log_probability * truth).sum(-1)


LATENT_SCORES = {"energy": energy_score, "squared": squared_error}
