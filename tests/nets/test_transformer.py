"""The ensemble's transformer attends to the past alone, and its attention is PyTorch's with a penalty on distance."""

import pytest
import torch
from torch import nn

from foreworld.nets.transformer import Block, Transformer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_attention_is_that_of_torch_with_a_penalty_on_distance() -> None:
    block = Block(2, 8, 2, generator=generator())
    x = torch.randn(2, 3, 6, 8, generator=generator(1))
    query, key, value = block.queries(x).unflatten(-1, (3, 2, 4)).unbind(-3)
    behind = torch.arange(6)[:, None] - torch.arange(6)
    for member in range(2):
        slope = nn.functional.softplus(block.slope[member])
        bias = torch.where(behind >= 0, -behind * slope[:, None, None], -torch.inf)
        heads = [part[member].transpose(1, 2) for part in (query, key, value)]
        expected = nn.functional.scaled_dot_product_attention(*heads, attn_mask=bias).transpose(1, 2).flatten(-2)
        torch.testing.assert_close(block._attend(x)[member], expected)


def test_an_output_depends_on_the_elements_up_to_its_own() -> None:
    network = Transformer(2, 3, 8, generator=generator())
    x = torch.randn(2, 4, 9, 3, generator=generator(1))
    changed = x.clone()
    changed[:, :, 5:] += 1
    torch.testing.assert_close(network(x)[:, :, :5], network(changed)[:, :, :5])
    assert not torch.allclose(network(x)[:, :, 5], network(changed)[:, :, 5])


def test_a_gradient_stays_in_its_member() -> None:
    network = Transformer(3, 3, 8, generator=generator())
    network(torch.randn(3, 2, 5, 3, generator=generator(1)))[1].square().sum().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad[[0, 2]].abs().max() == 0 < parameter.grad[1].abs().max()


def test_heads_must_share_the_width_evenly() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        Transformer(1, 3, 6, generator=generator())
