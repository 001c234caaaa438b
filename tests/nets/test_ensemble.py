"""A stack of networks computes what each of them would alone, and one member's gradient reaches no other."""

import math

import pytest
import torch
from torch import nn

from foreworld.nets.ensemble import MLP, Linear, affine


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def alone(layer: Linear, member: int) -> nn.Linear:
    """One member as PyTorch's own layer."""
    single = nn.Linear(layer.weight.shape[1], layer.weight.shape[2])
    single.load_state_dict({"weight": layer.weight[member].detach().T, "bias": layer.bias[member, 0].detach()})
    return single


@pytest.mark.parametrize("batch", [(7,), (2, 3), (2, 3, 4), (0,)])
def test_linear_is_torch_linear_for_each_member(batch: tuple[int, ...]) -> None:
    layer = Linear(3, 5, 4, generator=generator())
    x = torch.randn(3, *batch, 5, generator=generator(1))
    expected = torch.stack([alone(layer, member)(x[member]) for member in range(3)])
    torch.testing.assert_close(layer(x), expected)


def test_linear_starts_with_the_spread_of_torch_linear() -> None:
    layer = Linear(4, 50, 60, generator=generator())
    bound = 1 / math.sqrt(50)
    for values in (layer.weight, layer.bias):
        assert values.abs().max() <= bound
        assert abs(values.std().item() / (bound / math.sqrt(3)) - 1) < 0.1
    assert not torch.equal(layer.weight[0], layer.weight[1])


def test_gain_scales_the_last_layer_alone() -> None:
    plain, small = (MLP(2, [3, 8, 2], generator=generator(), gain=gain) for gain in (1.0, 0.25))
    torch.testing.assert_close(small.layers[0].weight, plain.layers[0].weight)
    last, scaled = plain.layers[1], small.layers[1]
    assert isinstance(last, Linear)
    torch.testing.assert_close(scaled.weight, last.weight * 0.25)


def test_mlp_is_a_torch_mlp_for_each_member() -> None:
    network = MLP(3, [4, 8, 8, 2], generator=generator())
    x = torch.randn(3, 6, 4, generator=generator(1))
    for member in range(3):
        layers = [alone(layer, member) for layer in network.layers if isinstance(layer, Linear)]
        single = nn.Sequential(layers[0], nn.SiLU(), layers[1], nn.SiLU(), layers[2])
        torch.testing.assert_close(network(x)[member], single(x[member]))


def test_a_gradient_stays_in_its_member_and_equals_that_of_the_member_alone() -> None:
    network = MLP(3, [4, 8, 1], generator=generator())
    x = torch.randn(3, 6, 4, generator=generator(1))
    network(x)[1].square().sum().backward()
    layers = [layer for layer in network.layers if isinstance(layer, Linear)]
    singles = [alone(layer, 1) for layer in layers]
    nn.Sequential(singles[0], nn.SiLU(), singles[1])(x[1]).square().sum().backward()
    for layer, single in zip(layers, singles, strict=True):
        assert layer.weight.grad is not None and single.weight.grad is not None
        assert layer.weight.grad[[0, 2]].abs().max() == 0
        torch.testing.assert_close(layer.weight.grad[1], single.weight.grad.T)


@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5, 8, 9])
def test_few_outputs_are_the_same_map(outputs: int) -> None:
    draw = generator(outputs)
    shapes = [(3, 7, 6), (3, 6, outputs), (3, 1, outputs)]
    x, weight, bias = (torch.randn(shape, generator=draw, dtype=torch.float64, requires_grad=True) for shape in shapes)
    torch.testing.assert_close(affine(x, weight, bias), torch.baddbmm(bias, x, weight))
    assert torch.autograd.gradcheck(affine, (x, weight, bias))
