"""Targets of every kind are scored by their own rule, and a missing one by none."""

import pytest
import torch

from foreworld.world.levels import Levels
from foreworld.world.readout import Reading, Readout, binary_logits, deviation, output_width, reading_score
from foreworld.world.scores import mixture_crps, mixture_log_score, normal_crps

from ..simulated import SCHEMA, tiny

LEVELS = Levels(columns=[0, 3], places=[0, 3], kept=[0.9, 0.8], change=[0.4, 0.6])
TARGETS = SCHEMA.targets  # level (continuous), alarm (binary), mode (three categories)


def reading(draws: int) -> Reading:
    outputs = torch.randn(draws, 2, 5, 6, generator=torch.Generator().manual_seed(draws))
    return Reading(outputs, TARGETS)


def truth() -> torch.Tensor:
    values = torch.tensor([0.3, 1.0, 2.0]).repeat(2, 5, 1)
    values[0, 1] = torch.tensor([-2.0, 0.0, 0.0])
    return values


def test_widths() -> None:
    assert [output_width(target) for target in TARGETS] == [2, 1, 3]
    readout = Readout(tiny(), SCHEMA, LEVELS, generator=torch.Generator().manual_seed(0))
    belief = torch.zeros(2, 7, 10)
    belief[..., 0] = 1.5
    given = readout(belief)
    assert given.outputs.shape == (2, 7, 6)
    mean, spread = given.parts()[0].unbind(-1)
    # Untrained, a target is forecast to be at its level, give or take something of the order of its usual change.
    assert bool((mean == 1.5).all()) and bool((deviation(spread) < 1).all())


@pytest.mark.parametrize("draws", [1, 2])
def test_each_target_has_the_score_of_its_kind(draws: int) -> None:
    given, came = reading(draws), truth()
    level, alarm, mode = given.parts()
    mean, spread = level[..., 0], deviation(level[..., 1])
    score = reading_score(given, came)
    if draws == 1:
        torch.testing.assert_close(score[..., 0], normal_crps(mean[0], spread[0], came[..., 0]))
    else:
        torch.testing.assert_close(score[..., 0], mixture_crps(mean, spread, came[..., 0]))
    chance = torch.sigmoid(alarm[..., 0]).mean(0)
    log_score = -torch.log(torch.where(came[..., 1] == 1, chance, 1 - chance))
    torch.testing.assert_close(score[..., 1], log_score)
    one_hot = torch.nn.functional.one_hot(came[..., 2].long(), 3).float()
    torch.testing.assert_close(score[..., 2], mixture_log_score(mode, one_hot))


def test_a_missing_truth_costs_nothing_and_teaches_nothing() -> None:
    outputs = reading(2).outputs.requires_grad_()
    came = truth()
    came[0, 0, 0] = came[1, 2, 1] = came[1, 3, 2] = float("nan")
    score = reading_score(Reading(outputs, TARGETS), came)
    assert score[0, 0, 0] == score[1, 2, 1] == score[1, 3, 2] == 0
    full = reading_score(Reading(outputs, TARGETS), truth())
    present = torch.isfinite(came)
    torch.testing.assert_close(score[present], full[present])
    score.sum().backward()
    assert outputs.grad is not None and bool(torch.isfinite(outputs.grad).all())
    assert outputs.grad[:, 0, 0, :2].abs().max() == outputs.grad[:, 1, 2, 2].abs().max() == 0
    assert outputs.grad[:, 1, 3, 3:].abs().max() == 0


def test_a_binary_is_a_categorical_of_two() -> None:
    logit = torch.tensor([[-1.0], [3.0]])
    torch.testing.assert_close(torch.softmax(binary_logits(logit), -1)[:, 1], torch.sigmoid(logit[:, 0]))


def test_a_deviation_is_positive_whatever_the_network_says() -> None:
    assert deviation(torch.tensor([-1e4, 0.0, 1e4])).min() > 0
