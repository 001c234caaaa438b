"""Steps along orthogonalised momentum: all directions of a matrix move alike, each member for itself."""

import torch
from torch import nn

from foreworld.training.muon import Muon, orthogonalise


def test_singular_values_come_near_one_and_directions_stay() -> None:
    matrix = torch.randn(3, 40, 12, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    near = orthogonalise(matrix)
    values = torch.linalg.svdvals(near)
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3
    assert float((u.mT @ near @ v.mT).diagonal(dim1=1, dim2=2).min()) > 0.6
    torch.testing.assert_close(orthogonalise(matrix.mT), near.mT)


def test_a_badly_scaled_least_squares_problem_is_solved() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 200, 8, generator=generator) * torch.logspace(0, -1, 8)
    truth = torch.randn(2, 8, 4, generator=generator)
    weight = nn.Parameter(torch.zeros(2, 8, 4))
    steps = 400
    optimiser = Muon([weight], lr=0.1, weight_decay=0.0)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
        optimiser.zero_grad()
        (x @ weight - x @ truth).square().sum((1, 2)).sum().backward()
        optimiser.step()
    assert float((weight.detach() - truth).abs().max()) < 0.1


def test_weights_decay() -> None:
    weight = nn.Parameter(torch.ones(1, 2, 2))
    optimiser = Muon([weight], lr=0.1, weight_decay=0.5)
    weight.grad = torch.zeros_like(weight)
    optimiser.step()
    torch.testing.assert_close(weight.detach(), torch.full((1, 2, 2), 0.95))


def test_one_step_changes_what_a_wide_layer_gives_no_more_than_a_narrow_one() -> None:
    generator = torch.Generator().manual_seed(2)
    changes = []
    for inputs in (32, 128, 512, 2048):
        weight = nn.Parameter(torch.zeros(1, inputs, 32))
        weight.grad = torch.randn(1, inputs, 32, generator=generator)
        Muon([weight], lr=0.1).step()
        changes.append(float(torch.linalg.matrix_norm(weight.detach(), 2)) * inputs**0.5)
    assert changes[0] < changes[1] / 2
    assert max(changes[1:]) < 1.1 * min(changes[1:])
