"""A belief is formed from a row and the rows before it, and from nothing else."""

from typing import Literal

import pytest
import torch

from foreworld.world.encoder import BeliefEncoder
from foreworld.world.levels import Levels

from ..simulated import tiny

LEVELS = Levels(columns=[2], places=[0], kept=[0.9], change=[0.4])
Kind = Literal["gru", "transformer"]
KINDS: list[Kind] = ["gru", "transformer"]


def encoder(kind: Kind) -> BeliefEncoder:
    return BeliefEncoder(tiny(encoder=kind), 5, LEVELS, generator=torch.Generator().manual_seed(0))


def history() -> torch.Tensor:
    return torch.randn(2, 3, 9, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_later_rows_do_not_change_earlier_beliefs(kind: Kind) -> None:
    rows = history()
    for row in (0, 3, 7):
        changed = rows.clone()
        changed[:, :, row + 1 :] = 100.0
        torch.testing.assert_close(encoder(kind)(changed)[:, :, : row + 1], encoder(kind)(rows)[:, :, : row + 1])


@pytest.mark.parametrize("kind", KINDS)
def test_earlier_rows_change_later_beliefs(kind: Kind) -> None:
    rows, changed = history(), history()
    changed[:, :, 0] += 3
    assert not torch.allclose(encoder(kind)(changed)[:, :, 3], encoder(kind)(rows)[:, :, 3])


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_the_same_as_one_history_after_the_other(kind: Kind) -> None:
    rows = history()
    single = torch.cat([encoder(kind)(rows[:, [index]]) for index in range(3)], dim=1)
    torch.testing.assert_close(encoder(kind)(rows), single)


def test_a_level_begins_as_what_is_observed() -> None:
    rows = history()
    torch.testing.assert_close(encoder("gru")(rows)[..., 0], rows[..., 2])
