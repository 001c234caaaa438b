"""The linear baseline against systems whose best forecast and true effects are known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Cases, Plan
from foreworld.data.schema import Schema, Variable
from foreworld.errors import QuestionError, TrainingError
from foreworld.evidence.baselines import Persistence, RidgeARX
from foreworld.evidence.evaluate import evaluate, subset
from foreworld.evidence.metrics import coverage, crps, rmse

from . import systems

HORIZON = 6


@pytest.fixture(scope="module")
def model() -> RidgeARX:
    return RidgeARX.fit(systems.episodes(40, 80, seed=0), HORIZON)


@pytest.fixture(scope="module")
def test() -> Cases:
    return systems.cases(systems.episodes(40, 80, seed=1), HORIZON, limit=1500)


def effect(model: RidgeARX, cases: Cases, push: float = 1.0) -> np.ndarray:
    """Mean difference that one push at the first step makes: [case, step]."""
    pushed = cases.plan.actions.copy()
    pushed[:, 0] += push
    plans = (replace(cases.plan, actions=pushed), cases.plan)
    done, not_done = (model.forecast(cases.histories, plan, members=400).mean(axis=0)[..., 0] for plan in plans)
    return done - not_done


def test_it_is_nearly_as_good_as_the_best_forecast(model, test):
    samples = model.forecast(test.histories, test.plan)
    np.testing.assert_allclose(rmse(samples, test.truth)[:, 0], systems.best_error(HORIZON), rtol=0.06)
    best = np.sqrt(1 / np.pi) * systems.best_error(HORIZON)  # CRPS of a calibrated Gaussian
    np.testing.assert_allclose(crps(samples, test.truth).mean(axis=0)[:, 0], best, rtol=0.06)


def test_its_intervals_are_honest(model, test):
    samples = model.forecast(test.histories, test.plan)
    for level in (0.5, 0.9):
        observed = coverage(samples, test.truth, level).mean(axis=0)
        np.testing.assert_allclose(observed, level, atol=0.05)


def test_the_effect_of_an_action_is_the_true_impulse_response(model, test):
    expected = systems.response(systems.DRIVE, HORIZON)
    np.testing.assert_allclose(effect(model, test).mean(axis=0), expected, atol=0.06)


def test_a_gain_that_differs_between_episodes_is_learnt_from_static_facts(test):
    gains = (0.2, 1.0, 2.0)
    model = RidgeARX.fit(systems.episodes(45, 60, seed=0, gains=gains, static=True), HORIZON)
    held_out = systems.cases(systems.episodes(45, 60, seed=1, gains=gains, static=True), HORIZON, limit=600)
    gain = np.array([history.static[0] for history in held_out.histories])
    found = effect(model, held_out)
    for each in gains:
        expected = each * systems.response(systems.DRIVE, HORIZON)
        np.testing.assert_allclose(found[gain == each].mean(axis=0), expected, atol=0.12)


@pytest.mark.parametrize("step", range(1, HORIZON))
def test_an_action_has_no_effect_before_it_is_done(model, test, step):
    later = test.plan.actions.copy()
    later[:, step:] += 5.0
    some = subset(test, range(50))
    changed = model.forecast(some.histories, replace(some.plan, actions=later[:50]), members=8)
    recorded = model.forecast(some.histories, some.plan, members=8)
    np.testing.assert_array_equal(changed[:, :, :step], recorded[:, :, :step])
    assert (changed[:, :, step] != recorded[:, :, step]).all()


def test_a_shorter_plan_has_the_same_answer_as_far_as_it_goes(model, test):
    plan = test.plan
    short = Plan(plan.time[:, :3], plan.actions[:, :3], plan.known_future[:, :3])
    full = model.forecast(test.histories, plan, members=8)
    np.testing.assert_allclose(model.forecast(test.histories, short, members=8), full[:, :, :3])


def test_answers_follow_their_histories(model, test):
    order = np.random.default_rng(0).permutation(len(test.group)).tolist()
    shuffled = subset(test, order)
    answer = model.forecast(test.histories, test.plan, members=300)
    other = model.forecast(shuffled.histories, shuffled.plan, members=300)
    np.testing.assert_allclose(other.mean(axis=0), answer.mean(axis=0)[order], atol=0.5)
    np.testing.assert_array_equal(model.forecast(test.histories, test.plan, members=300), answer)


def test_state_comes_back_bit_by_bit_from_files(model, test):
    arrays, config = model.state()
    again = RidgeARX.from_state(load(save(arrays)), json.loads(json.dumps(config)))
    assert again.tuning == model.tuning
    np.testing.assert_array_equal(
        again.forecast(test.histories, test.plan, members=9, seed=5),
        model.forecast(test.histories, test.plan, members=9, seed=5),
    )


def test_the_same_seed_fits_the_same_model():
    data = systems.episodes(6, 40, seed=0)
    one, two = RidgeARX.fit(data, 3, seed=1), RidgeARX.fit(data, 3, seed=1)
    for name, array in one.state()[0].items():
        np.testing.assert_array_equal(array, two.state()[0][name])


def test_missing_values_cost_little(test):
    train, rng = systems.episodes(40, 80, seed=0), np.random.default_rng(0)

    def holes(data: Episodes) -> Episodes:
        return replace(data, episodes=tuple(map(hole, data)))

    def hole(episode: Episode) -> Episode:
        gone = rng.random(episode.observations.shape) < 0.15
        return replace(episode, observations=np.where(gone, np.nan, episode.observations))

    model = RidgeARX.fit(holes(train), HORIZON)
    held_out = systems.cases(holes(systems.episodes(40, 80, seed=1)), HORIZON, limit=800)
    samples = model.forecast(held_out.histories, held_out.plan)
    assert np.isfinite(samples).all()
    error = rmse(samples, held_out.truth)[:, 0]
    # A little above `best_error`, which takes all observations for seen.
    assert (error < [0.6, 0.8, 0.95, 1.0, 1.05, 1.1]).all()
    # Training began forecasting at the first row; from the eighth on, as here, it is easier.
    assert 0.88 < np.nanmean(coverage(samples, held_out.truth, 0.9)) < 0.96
    np.testing.assert_allclose(effect(model, held_out).mean(axis=0), systems.response(systems.DRIVE, 6), atol=0.1)


def decay(runs: int, rows: int, seed: int) -> Episodes:
    """Exponential decay to 10, read at irregular times, next to a level that is low or high, and its label."""
    rng = np.random.default_rng(seed)
    schema = Schema(
        id="run",
        time="h",
        time_unit="h",
        variables=(
            Variable(name="level", role="observation", unit="mg/L", low=0.0, target=True),
            Variable(name="high", role="observation", kind="binary", target=True),
            Variable(
                name="grade", role="observation", kind="categorical", categories=("low", "mid", "high"), target=True
            ),
        ),
    )
    episodes = []
    for run in range(runs):
        time = np.cumsum(rng.exponential(1.0, rows) + 0.05)
        level = 10 + rng.uniform(20, 80) * np.exp(-0.2 * (time - time[0])) * rng.lognormal(0, 0.02, rows)
        grade = np.digitize(level, [15.0, 30.0])
        observations = np.stack([level, level > 20, grade], axis=1)
        empty = np.empty((rows, 0))
        episodes.append(Episode(run, time, observations, empty[1:], np.empty(0), empty, np.empty(0)))
    return Episodes(schema, tuple(episodes))


def test_irregular_times_and_every_kind_of_target():
    train, held_out = decay(60, 25, seed=0), decay(30, 25, seed=1)
    cases = systems.cases(held_out, 4, limit=300)
    forecasters = {"ridge": RidgeARX.fit(train, 4), "persistence": Persistence.fit(train, 4)}
    found = evaluate(forecasters, cases)
    better = found.by_step("crps").mean[0] / found.by_step("crps").mean[1]
    assert (better[:, 0] < 0.65).all(), "how long it is until the next reading tells how far the level falls"
    assert (better[1:, 1:] < 0.75).all()
    samples = forecasters["ridge"].forecast(cases.histories, cases.plan)
    assert samples[..., 0].min() >= 0
    assert set(np.unique(samples[..., 1])) == {0.0, 1.0}
    assert set(np.unique(samples[..., 2])) == {0.0, 1.0, 2.0}


def test_one_long_episode_is_enough(test):
    model = RidgeARX.fit(systems.episodes(1, 3000, seed=0), HORIZON)
    samples = model.forecast(test.histories, test.plan)
    np.testing.assert_allclose(rmse(samples, test.truth)[:, 0], systems.best_error(HORIZON), rtol=0.1)
    assert coverage(samples, test.truth, 0.9).mean() == pytest.approx(0.9, abs=0.04)


def test_bounds_hold(test):
    train = systems.episodes(10, 60, seed=0)
    model = RidgeARX.fit(Episodes(systems.schema(bounds=(-1.0, 2.0)), train.episodes), HORIZON)
    samples = model.forecast(Episodes(model.schema, test.histories.episodes), test.plan)
    assert samples.min() == -1.0 and samples.max() == 2.0


def test_errors_name_what_is_wrong(model, test):
    plan = test.plan
    longer = Plan(*(np.repeat(part, 2, axis=1) for part in (plan.time, plan.actions, plan.known_future)))
    with pytest.raises(QuestionError, match="12 steps, but this baseline was fitted for 6"):
        model.forecast(test.histories, longer)
    with pytest.raises(TrainingError, match="horizon of 6 steps needs two episodes"):
        RidgeARX.fit(systems.episodes(5, 6, seed=0), HORIZON)


def test_a_target_that_is_seldom_observed_is_forecast_where_it_is(test):
    def laboratory(data: Episodes) -> Episodes:
        """Every tenth row has a reading."""
        return replace(data, episodes=tuple(map(sample, data)))

    def sample(episode: Episode) -> Episode:
        read = (np.arange(len(episode.time)) % 10 == 0)[:, None]
        return replace(episode, observations=np.where(read, episode.observations, np.nan))

    model = RidgeARX.fit(laboratory(systems.episodes(60, 120, seed=0)), HORIZON)
    held_out = systems.cases(laboratory(systems.episodes(30, 120, seed=1)), HORIZON, limit=900)
    samples = model.forecast(held_out.histories, held_out.plan)
    everything = np.concatenate([episode.observations for episode in systems.episodes(30, 120, seed=1)])
    assert (rmse(samples, held_out.truth) < 0.6 * everything.std()).all()
    assert 0.85 < np.nanmean(coverage(samples, held_out.truth, 0.9)) < 0.97
