"""Calibration rests on forecasts by networks that never saw the episode."""

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch

from foreworld.data.plan import cut
from foreworld.reasoning import held_out as held_out_module
from foreworld.reasoning.calibrate import LEVELS, widened
from foreworld.reasoning.forecast import draw, encode_now
from foreworld.reasoning.held_out import (
    HeldOut,
    calibrate,
    ensemble_gain,
    forecast_held_out,
    only,
    spread_origins,
)
from foreworld.reasoning.individual.fit import fit_population
from foreworld.training.fit import folds
from foreworld.world.network import WorldNetwork

from ..simulated import encoding_of, episodes, tiny

LENGTHS = [25, 1, 2, 40, 13, 9, 30]
DATA = episodes(LENGTHS)
ENCODING = encoding_of(DATA)
NETWORK = WorldNetwork(tiny(members=3), ENCODING, seed=1).requires_grad_(False)
HELD_OUT = folds(np.array(LENGTHS) - 1, 3, seed=0)
NOBODY = fit_population(NETWORK, ENCODING, DATA, HELD_OUT)[1]  # Too few to tell how individuals differ.


def answers(samples: np.ndarray, truth: np.ndarray, origin: np.ndarray) -> HeldOut:
    """Of one member, about individuals of whom nothing is known."""
    return HeldOut(
        samples, truth, origin, np.zeros(len(truth), int), np.zeros(truth.shape), np.ones((2, *truth.shape[:2]))
    )


def test_one_member_alone_is_that_member() -> None:
    histories = cut(DATA, [(0, 20), (3, 5)], 4).histories
    whole = encode_now(NETWORK, histories, ENCODING)
    for member in range(3):
        torch.testing.assert_close(encode_now(only(NETWORK, ENCODING, member), histories, ENCODING)[0], whole[member])


def test_every_episode_is_asked_about_once_in_native_units() -> None:
    held_out = forecast_held_out(NETWORK, ENCODING, DATA, HELD_OUT, NOBODY, seed=0)
    rows = np.maximum(np.array(LENGTHS) - 4, 0)
    rows[[1, 2]] = 0  # No four steps to look ahead.
    assert np.bincount(held_out.origin[:, 0], minlength=7).tolist() == rows.tolist()
    assert held_out.samples.shape == (100, rows.sum(), 4, 3)
    for index in np.unique(held_out.origin[:, 0]):
        cases = cut(DATA, [(int(index), row) for row in range(rows[index])], 4)
        np.testing.assert_array_equal(held_out.truth[held_out.origin[:, 0] == index], cases.truth)
    scale = ENCODING.scaling.variables["level"]
    assert np.median(held_out.samples[..., 0]) == pytest.approx(scale.centre, abs=2 * scale.scale)


def test_it_does_not_matter_what_the_other_members_would_say() -> None:
    """The forecast of an episode comes from the one member that left it out."""
    spoiled = WorldNetwork(tiny(members=3), ENCODING, seed=1).requires_grad_(False)
    for parameter in spoiled.parameters():
        parameter[1:] = 0.0
    plain, other = (forecast_held_out(net, ENCODING, DATA, HELD_OUT, NOBODY, seed=0) for net in (NETWORK, spoiled))
    own = np.isin(plain.origin[:, 0], HELD_OUT[0])
    np.testing.assert_array_equal(plain.samples[:, own], other.samples[:, own])
    assert not np.allclose(plain.samples[:, ~own], other.samples[:, ~own])


def test_questions_are_asked_with_noise_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One set of draws for all would be calibrated away, and be missing with every other set."""
    seeds = []

    def spy(*words: Any, seed: int, **settings: Any) -> np.ndarray:
        if "persistence" not in settings:  # Then the same ones are asked again.
            seeds.append(seed)
        return draw(*words, seed=seed, **settings)

    monkeypatch.setattr(held_out_module, "draw", spy)
    monkeypatch.setattr(held_out_module, "BATCH", 10)
    forecast_held_out(NETWORK, ENCODING, DATA, HELD_OUT, NOBODY, seed=0)
    assert len(seeds) == len(set(seeds)) > 9


def test_members_that_leave_out_the_same_episodes_are_asked_once() -> None:
    fold = np.array([0, 3])
    held_out = forecast_held_out(NETWORK, ENCODING, DATA, [fold, fold, fold], NOBODY, seed=0)
    assert len(held_out.origin) == 21 + 36


def two_members(common: np.ndarray, own: np.ndarray, spread: float) -> HeldOut:
    """Two members that were asked the same, whose medians err by what they share and by what is each one's own."""
    cases = len(common)
    middle = (common + own).reshape(2 * cases, 1, 1)
    normal = np.array([NormalDist().inv_cdf(rank / 40) for rank in range(1, 40)])
    samples = middle + spread * normal[:, None, None, None]
    origin = np.stack([np.zeros(cases, int), np.arange(cases)], axis=1)
    # Some that only one member was asked tell nothing about the others.
    once = np.stack([np.ones(500, int), np.arange(500)], axis=1)
    return answers(
        np.concatenate([samples, samples[:, :500]], axis=1),
        np.zeros((2 * cases + 500, 1, 1)),
        np.concatenate([origin, origin, once]),
    )


@pytest.mark.parametrize("members", [2, 5])
@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_the_gain_of_an_ensemble_is_that_of_averaging(members: int, shared: float) -> None:
    """Members whose errors share so much of their variance: the mean of M keeps `shared`, and 1/M of the rest."""
    rng = np.random.default_rng(0)
    common, own = rng.normal(size=15_000), rng.normal(size=(2, 15_000))
    held_out = two_members(np.sqrt(shared) * common, np.sqrt(1 - shared) * own, 1.0)
    expected = np.sqrt(shared + (1 - shared) / members)
    np.testing.assert_allclose(ensemble_gain(held_out, members), expected, rtol=0.06)


def test_averaging_gains_more_in_the_middle_where_large_errors_are_shared() -> None:
    rng = np.random.default_rng(0)
    common = 3 * rng.normal(size=15_000) * (rng.random(15_000) < 0.2)
    gain = ensemble_gain(two_members(common, 0.5 * rng.normal(size=(2, 15_000)), 0.5), 5)[0, 0]
    half, most = gain[[LEVELS.index(0.25), LEVELS.index(0.75)]], gain[[LEVELS.index(0.025), LEVELS.index(0.975)]]
    np.testing.assert_allclose(half, half[0])
    assert half[0] < 0.75 and most[0] > 0.9


def test_without_a_question_asked_twice_an_ensemble_counts_as_one_member() -> None:
    held_out = forecast_held_out(NETWORK, ENCODING, DATA, HELD_OUT, NOBODY, seed=0)
    assert (ensemble_gain(held_out, 3) == 1).all()


def test_calibration_counts_its_cases_and_leaves_categories_alone() -> None:
    held_out = forecast_held_out(NETWORK, ENCODING, DATA, HELD_OUT, NOBODY, seed=0)
    calibration = calibrate(held_out, ENCODING, 3, np.ones((len(held_out.truth), held_out.truth.shape[1])))
    assert (calibration.cases, calibration.episodes) == (len(held_out.origin), 5)
    assert calibration.horizon == 4
    for step in range(4):
        assert calibration.factors[step][0] != [1.0] * 8
        assert calibration.factors[step][1] == calibration.factors[step][2] == [1.0] * 8


def test_intervals_hold_for_strange_questions_too_where_their_errors_are_foretold() -> None:
    rng = np.random.default_rng(0)
    size = np.exp(rng.normal(size=(4000, 1)))  # Errors are as large as this; the networks know nothing of it.
    levels = [NormalDist().inv_cdf(level) for level in (np.arange(100) + 0.5) / 100]
    samples = np.tile(np.array(levels)[:, None, None, None], (1, 4000, 1, 3))
    truth = size[..., None] * rng.normal(size=(4000, 1, 3))
    origin = np.stack([np.arange(4000), np.zeros(4000, int)], 1)

    def covered(growth: np.ndarray) -> tuple[float, float]:
        calibration = calibrate(answers(samples, truth, origin), ENCODING, 1, growth)
        moved = calibration.apply(widened(samples, growth, ENCODING.schema.targets))[..., 0]
        low, high = np.quantile(moved, [0.05, 0.95], axis=0)
        inside = ((truth[..., 0] >= low) & (truth[..., 0] <= high))[:, 0]
        return float(inside[size[:, 0] > 2].mean()), float(inside[size[:, 0] < 0.5].mean())

    strange, usual = covered(np.ones_like(size))
    assert strange < 0.75 and usual > 0.97
    np.testing.assert_allclose(covered(size), 0.9, atol=0.025)


def test_origins_are_spread_evenly_and_have_a_whole_future() -> None:
    every = spread_origins(DATA, np.array([0, 2, 4]), horizon=4, limit=100)
    assert every == [(0, row) for row in range(21)] + [(4, row) for row in range(9)]
    some = spread_origins(DATA, np.array([0, 2, 4]), horizon=4, limit=10)
    assert len(some) == 10 and some[0] == (0, 0) and some[-1] == (4, 8) and len(set(some)) == 10
