"""The fused rollout is the rollout of forecasts: the same futures, for every kind of column, gap and history."""

import numpy as np
import torch

from foreworld.data.plan import Plan, cut
from foreworld.reasoning.calibrate import Calibration, fit_calibration, widened
from foreworld.reasoning.forecast import encode_now, sample
from foreworld.reasoning.individual.look import Terms, look_back, width
from foreworld.reasoning.individual.population import Known, Population
from foreworld.reasoning.plan import rollout as module
from foreworld.reasoning.plan.rollout import ModelRollout
from foreworld.reasoning.pool import pool
from foreworld.world.network import WorldNetwork

from ...simulated import encoding_of, episodes, tiny

DATA = episodes([25, 1, 2, 40, 13], missing=0.0)
ENCODING = encoding_of(DATA)
NETWORK = WorldNetwork(tiny(), ENCODING, seed=1)
CASES = cut(DATA, [(0, 0), (0, 20), (3, 5), (3, 30), (4, 8)], 4)
OTHERS = [cut(DATA, [(3, row + offset) for row in range(5)], 4).plan.actions for offset in (1, 9, 20)]
CANDIDATES = torch.from_numpy(np.stack([CASES.plan.actions, *OTHERS], 1)).float()
rng = np.random.default_rng(0)
CALIBRATION = fit_calibration(
    rng.normal(0, 1, (40, 60, 4, 3)), rng.normal(0.3, 1.5, (60, 4, 3)), [True, False, False], np.arange(60) % 10
).model_copy(update={"persistence": [0.9, 0.0, 0.0]})


LOOKS = look_back(NETWORK, ENCODING, CASES.histories)
POPULATION = Population.fit(LOOKS)
COEFFICIENTS = 0.5 * rng.normal(size=(len(CASES.histories), *POPULATION.variance.shape)) * [[1.0], [0.0], [0.0]]
KNOWN = Known(POPULATION, LOOKS, COEFFICIENTS, np.ones(COEFFICIENTS.shape[:-1]))  # Categories are left alone.
GROWTH = np.exp(0.5 * rng.normal(size=CASES.plan.actions.shape[:2]))  # Of the error of each question.


def rollout(draws: tuple[int, int] = (2, 6), calibration: Calibration = CALIBRATION) -> ModelRollout:
    beliefs = encode_now(NETWORK, CASES.histories, ENCODING)
    return ModelRollout(
        NETWORK, ENCODING, calibration, beliefs, KNOWN, CASES.histories, CASES.plan, GROWTH, draws=draws, seed=3
    )


def reference(draws: int, known: Known | None = None) -> np.ndarray:
    """[member, draw, episode, candidate, step, target] in native units, one forecast a candidate."""
    centre, scale = ENCODING.scaling.of(ENCODING.schema.targets)
    beliefs = encode_now(NETWORK, CASES.histories, ENCODING)
    found = []
    for candidate in CANDIDATES.unbind(1):
        plan = Plan(CASES.plan.time, candidate.double().numpy(), CASES.plan.known_future)
        lasting = CALIBRATION.persistence
        drawn = sample(NETWORK, beliefs, CASES.histories, plan, ENCODING, draws=draws, seed=3, persistence=lasting)
        shift = 0.0 if known is None else known.shift(Terms.of(CASES.histories, plan, ENCODING))
        found.append(drawn + shift * width(drawn))
    return np.stack(found, 3) * scale + centre


def test_each_candidate_has_the_futures_of_its_forecast(monkeypatch) -> None:
    expected = reference(6)
    for rows in (1, 30, 10_000):
        monkeypatch.setattr(module, "CHUNK_ROWS", rows)
        asked = rollout()
        with torch.no_grad():
            drawn = asked._futures(asked._features(CANDIDATES), asked.many)[0].numpy()
        np.testing.assert_allclose(drawn[..., 0], expected[..., 0], rtol=1e-3, atol=1e-2)
        assert (drawn[..., 1:] == expected[..., 1:]).mean() > 0.99  # A draw at a threshold may round either way.


def test_settled_futures_are_calibrated_and_pooled_as_a_forecast() -> None:
    settled = rollout().settle(CANDIDATES)
    flat = reference(6, KNOWN).reshape(2, 6, -1, 4, 3)
    wide = [widened(member, GROWTH.repeat(CANDIDATES.shape[1], 0), ENCODING.schema.targets) for member in flat]
    calibrated = np.stack([CALIBRATION.apply(member) for member in wide])
    level = np.maximum(pool(calibrated, 12), 0)[..., 0]
    np.testing.assert_allclose(settled.pooled.numpy().reshape(12, -1, 4, 3)[..., 0], level, rtol=1e-3, atol=2e-2)
    assert settled.by_member.shape == (2, 6, 5, 4, 4, 3) and settled.pooled[..., 0].min() >= 0


def test_a_few_draws_have_the_mean_and_the_spread_of_many() -> None:
    zeros, ones = [[0.0] * 3], [[1.0] * 3]
    identity = Calibration(pivot=zeros, slope=ones, shift=zeros, factors=[[[1.0] * 8] * 3], cases=1, episodes=1)
    asked = rollout((3, 60), identity)
    plan = torch.from_numpy(CASES.plan.actions).float()[:, None]
    with torch.no_grad():
        few, many = asked.search(plan)[..., 0], asked.settle(plan).by_member.flatten(0, 1)[..., 0]
    deviation = many.std(0)
    assert ((few.mean(0) - many.mean(0)).abs() / deviation).mean() < 0.25
    assert (few.std(0) / deviation - 1).abs().mean() < 0.4


def test_slopes_are_those_of_finite_differences() -> None:
    asked, step = rollout(), 0.2
    with torch.enable_grad():
        actions = CANDIDATES.clone().requires_grad_()
        asked.search(actions)[..., 0].sum().backward()
    assert actions.grad is not None and all(value.grad is None for value in NETWORK.parameters())
    for action in (0, 1):
        change = torch.zeros_like(CANDIDATES)
        change[2, 1, 0, action] = step
        with torch.no_grad():
            ahead, behind = (asked.search(CANDIDATES + sign * change)[..., 0].sum() for sign in (1, -1))
        expected = ((ahead - behind) / (2 * step)).item()
        np.testing.assert_allclose(actions.grad[2, 1, 0, action].item(), expected, rtol=0.1, atol=0.02)


def test_some_of_the_histories_have_the_futures_that_they_have_among_all() -> None:
    """Plans are made again for some of them alone; nothing about those may change by it."""
    asked, some = rollout(), [3, 1]
    with torch.no_grad():
        found, whole = asked.take(some).search(CANDIDATES[some]), asked.search(CANDIDATES)
        settled = asked.take(some).settle(CANDIDATES[some]).pooled
    np.testing.assert_allclose(found, whole[:, some], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(settled, asked.settle(CANDIDATES).pooled[:, some], rtol=1e-5, atol=1e-5)
