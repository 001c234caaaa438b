"""The guards against collapse are zero where they should be, large on a collapse, and what their papers say."""

import math
from typing import Literal

import pytest
import torch

from foreworld.world.regulariser import REGULARISERS, sigreg, vicreg

GUARDS: list[Literal["vicreg", "sigreg"]] = ["vicreg", "sigreg"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(samples: int = 800, latent: int = 6, members: int = 2) -> torch.Tensor:
    return torch.randn(members, samples, latent, generator=generator())


def whitened(beliefs: torch.Tensor) -> torch.Tensor:
    centred = beliefs - beliefs.mean(1, keepdim=True)
    root = torch.linalg.cholesky(centred.mT @ centred / (beliefs.shape[1] - 1))
    return torch.linalg.solve_triangular(root, centred.mT, upper=False).mT


def naive_sigreg(beliefs: torch.Tensor, directions: torch.Tensor, knots: int = 17, reach: float = 3.0) -> torch.Tensor:
    """Every cosine and sine at every knot from -reach to reach, then the trapezoid rule."""
    grid = torch.linspace(-reach, reach, 2 * knots - 1, dtype=torch.float64)
    angle = (beliefs.double() @ directions.double())[..., None] * grid
    normal = torch.exp(-grid.square() / 2)
    gap = (torch.cos(angle).mean(1) - normal).square() + torch.sin(angle).mean(1).square()
    return torch.trapezoid(gap * normal, grid, dim=-1).mean(-1) * beliefs.shape[1]


def test_vicreg_is_zero_for_a_whitened_cloud_wherever_it_lies() -> None:
    beliefs = whitened(cloud()) + 7
    assert vicreg(beliefs, generator()).abs().max() < 1e-6


def test_vicreg_penalises_collapse_and_correlation_and_not_a_large_spread() -> None:
    beliefs = whitened(cloud())
    assert vicreg(0.01 * beliefs, generator()).min() > 0.98
    assert vicreg(torch.zeros_like(beliefs), generator()).min() > 0.99
    assert vicreg(3 * beliefs, generator()).max() < 1e-4
    copied = beliefs[..., :1].expand_as(beliefs)
    assert vicreg(copied, generator()).min() > 0.1


def test_vicreg_gradient_is_finite_at_full_collapse() -> None:
    beliefs = torch.zeros(2, 10, 3, requires_grad=True)
    vicreg(beliefs, generator()).sum().backward()
    assert beliefs.grad is not None and bool(torch.isfinite(beliefs.grad).all())


@pytest.mark.parametrize("change", [lambda x: x, lambda x: 0.2 * x, lambda x: x.exp(), lambda x: x + 1])
def test_sigreg_is_the_direct_computation(change) -> None:
    beliefs = change(cloud(300))
    directions = torch.randn(6, 64, generator=generator(5))
    directions = directions / directions.norm(dim=0)
    torch.testing.assert_close(
        sigreg(beliefs, generator(5)).double(), naive_sigreg(beliefs, directions), rtol=1e-3, atol=1e-4
    )


def test_sigreg_tells_a_standard_normal_from_everything_else() -> None:
    normal = cloud()
    uniform = (torch.rand(2, 800, 6, generator=generator(1)) * 2 - 1) * math.sqrt(3)
    scores = {
        "normal": sigreg(normal, generator(2)),
        "uniform": sigreg(uniform[..., :1], generator(2)),
        "wide": sigreg(2 * normal, generator(2)),
        "shifted": sigreg(normal + 1, generator(2)),
        "collapsed": sigreg(torch.zeros_like(normal), generator(2)),
    }
    # Under the null hypothesis the statistic is a weighted sum of chi-squares of order one, whatever the sample size.
    assert scores["normal"].max() < 1.5
    for name in ("uniform", "wide", "shifted", "collapsed"):
        assert scores[name].min() > 5, name
    assert scores["collapsed"].min() > 100


@pytest.mark.parametrize("name", GUARDS)
def test_a_collapsed_cloud_spreads_under_the_gradient(name: Literal["vicreg", "sigreg"]) -> None:
    beliefs = torch.nn.Parameter(0.05 * cloud(200, 3, 1))
    optimiser = torch.optim.Adam([beliefs], lr=0.05)
    for step in range(100):
        optimiser.zero_grad()
        REGULARISERS[name](beliefs, generator(step)).sum().backward()
        optimiser.step()
    assert beliefs.detach().std(1).min() > 0.7


@pytest.mark.parametrize("name", GUARDS)
def test_members_are_judged_alone(name: Literal["vicreg", "sigreg"]) -> None:
    beliefs = torch.stack([cloud(members=1)[0], torch.zeros(800, 6)])
    both = REGULARISERS[name](beliefs, generator(3))
    alone = [REGULARISERS[name](beliefs[[member]], generator(3)) for member in range(2)]
    torch.testing.assert_close(both, torch.cat(alone))


def test_the_ablation_without_a_guard_is_zero() -> None:
    assert REGULARISERS["none"](cloud(), generator()).tolist() == [0, 0]
