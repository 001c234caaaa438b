"""Random numbers of futures: the same ones at each step, dealt out so that they last as long as asked."""

import numpy as np
import pytest
import torch

from foreworld.world.draws import persistent, stratified


def numbers(draws: int = 4000, steps: int = 6, values: int = 3) -> torch.Tensor:
    return stratified((2, draws, steps, values), torch.Generator().manual_seed(0))


def test_every_step_keeps_its_numbers() -> None:
    before = numbers()
    after = persistent(before, [0.0, 0.5, 1.0])
    torch.testing.assert_close(after.sort(dim=1).values, before.sort(dim=1).values)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_neighbouring_steps_are_as_alike_as_asked(correlation: float) -> None:
    normal = torch.special.ndtri(persistent(numbers(), [0.3, correlation, 0.0])).double().numpy()
    found = [np.corrcoef(normal[0, :, step, 1], normal[0, :, step + 1, 1])[0, 1] for step in range(5)]
    np.testing.assert_allclose(found, correlation, atol=0.05)
    far = np.corrcoef(normal[0, :, 0, 1], normal[0, :, 3, 1])[0, 1]
    np.testing.assert_allclose(far, correlation**3, atol=0.05)
    others = np.corrcoef(normal[0, :, 2].T)
    assert np.abs(others - np.eye(3)).max() < 0.06  # Targets do not learn of each other.


def test_what_lasts_for_ever_keeps_its_place() -> None:
    place = persistent(numbers(50), [1.0, 1.0, 1.0]).argsort(dim=1).argsort(dim=1)
    assert (place == place[:, :, :1]).all()


def test_nothing_to_last_changes_nothing() -> None:
    before = numbers(50)
    assert persistent(before, []) is before and persistent(before, [0.0, 0.0, 0.0]) is before
