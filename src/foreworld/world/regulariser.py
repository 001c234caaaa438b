"""What keeps beliefs from collapsing to a constant: VICReg and SIGReg behind one call.

A regulariser maps a cloud of beliefs, [member, sample, latent], to a penalty a member, which is zero for a cloud with
unit variance and no correlation (VICReg) or for a standard normal cloud (SIGReg).
"""

from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

Name = Literal["vicreg", "sigreg", "none"]


class Regulariser(Protocol):
    def __call__(
        self, beliefs: Float[Tensor, "member sample latent"], generator: torch.Generator
    ) -> Float[Tensor, " member"]: ...


def vicreg(beliefs: Float[Tensor, "member sample latent"], generator: torch.Generator) -> Float[Tensor, " member"]:
    """Variance hinge and covariance penalty (Bardes, Ponce, LeCun, VICReg, ICLR 2022), mean over dimensions."""
    centred = beliefs - beliefs.mean(1, keepdim=True)
    latent = beliefs.shape[-1]
    covariance = centred.mT @ centred / (beliefs.shape[1] - 1)
    variance = torch.diagonal(covariance, dim1=1, dim2=2)
    hinge = torch.relu(1 - torch.sqrt(variance + 1e-6)).mean(-1)
    off_diagonal = covariance.square().sum((1, 2)) - variance.square().sum(-1)
    return hinge + off_diagonal / latent / 25


def sigreg(
    beliefs: Float[Tensor, "member sample latent"],
    generator: torch.Generator,
    projections: int = 64,
    knots: int = 17,
    reach: float = 3.0,
    samples: int = 1024,
) -> Float[Tensor, " member"]:
    """Epps-Pulley distance to N(0, 1) along random directions (Balestriero, LeCun, LeJEPA, arXiv 2511.08544).

    The integral over [-reach, reach] of |phi_n(t) - exp(-t^2/2)|^2 exp(-t^2/2) by the trapezoid rule, times the sample
    size. The knots are equally spaced, so every cosine follows from one by the angle-addition recurrence.
    """
    members, count, latent = beliefs.shape
    if count > samples:
        beliefs = beliefs[:, torch.randperm(count, generator=generator)[:samples]]
    directions = torch.randn(latent, projections, generator=generator).to(beliefs)
    directions = directions / directions.norm(dim=0, keepdim=True)
    step = reach / (knots - 1)
    angle = (beliefs @ directions) * step
    cosine, sine = torch.cos(angle), torch.sin(angle)
    real, imaginary = torch.ones_like(cosine), torch.zeros_like(sine)
    total = beliefs.new_zeros(members)
    for knot in range(1, knots):
        real, imaginary = real * cosine - imaginary * sine, imaginary * cosine + real * sine
        normal = torch.exp(torch.tensor(-0.5 * (knot * step) ** 2)).to(beliefs)
        gap = (real.mean(1) - normal).square() + imaginary.mean(1).square()
        weight = (0.5 if knot == knots - 1 else 1.0) * 2 * step * normal
        total = total + weight * gap.mean(-1)
    return total * beliefs.shape[1]


def none(beliefs: Float[Tensor, "member sample latent"], generator: torch.Generator) -> Float[Tensor, " member"]:
    """No guard at all, for the ablation."""
    return beliefs.new_zeros(beliefs.shape[0])


REGULARISERS: dict[Name, Regulariser] = {"vicreg": vicreg, "sigreg": sigreg, "none": none}
