"""The ensemble's recurrent unit is `torch.nn.GRU`, member by member."""

import torch
from torch import Tensor, nn

from foreworld.nets.gru import GRU


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def torch_order(gates: Tensor, hidden: int) -> Tensor:
    """From (update, reset, candidate) on the last axis to PyTorch's (reset, update, candidate) on the first."""
    update, reset, candidate = gates.split(hidden, dim=-1)
    return torch.cat([reset, update, candidate], dim=-1).T.squeeze(-1)


def alone(stack: GRU, member: int) -> nn.GRU:
    single = nn.GRU(stack.read.weight.shape[1], stack.hidden, batch_first=True)
    parts = {"ih": stack.read, "hh": stack.recur}
    state = {}
    for name, layer in parts.items():
        state[f"weight_{name}_l0"] = torch_order(layer.weight[member].detach(), stack.hidden)
        state[f"bias_{name}_l0"] = torch_order(layer.bias[member].detach(), stack.hidden)
    single.load_state_dict(state)
    return single


def test_it_is_torch_gru_for_each_member() -> None:
    stack = GRU(3, 5, 7, generator=generator())
    x = torch.randn(3, 4, 11, 5, generator=generator(1))
    expected = torch.stack([alone(stack, member)(x[member])[0] for member in range(3)])
    torch.testing.assert_close(stack(x), expected)


def test_a_gradient_stays_in_its_member_and_equals_that_of_the_member_alone() -> None:
    stack = GRU(2, 3, 4, generator=generator())
    x = torch.randn(2, 5, 6, 3, generator=generator(1))
    stack(x)[0].square().sum().backward()
    single = alone(stack, 0)
    single(x[0])[0].square().sum().backward()
    assert stack.recur.weight.grad is not None and single.weight_hh_l0.grad is not None
    assert stack.recur.weight.grad[1].abs().max() == 0
    torch.testing.assert_close(torch_order(stack.recur.weight.grad[0], 4), single.weight_hh_l0.grad)


def test_a_state_depends_on_the_elements_up_to_its_own() -> None:
    stack = GRU(1, 3, 4, generator=generator())
    x = torch.randn(1, 2, 8, 3, generator=generator(1))
    changed = x.clone()
    changed[:, :, 5:] += 1
    assert torch.equal(stack(x)[:, :, :5], stack(changed)[:, :, :5])
    assert not torch.equal(stack(x)[:, :, 5], stack(changed)[:, :, 5])
