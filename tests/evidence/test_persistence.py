"""Nothing changes, as uncertainly as it did in training."""

import numpy as np
import pytest

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan, cut
from foreworld.data.schema import Kind, Schema, Variable
from foreworld.errors import QuestionError, TrainingError
from foreworld.evidence.baselines import Persistence
from foreworld.evidence.metrics import coverage

from . import systems


def walks(kind: Kind, runs: int = 40, rows: int = 60, missing: float = 0.0) -> Episodes:
    """Random walks, or a light that changes colour: green to amber now and then, amber to red, red to green."""
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.normal(size=(runs, rows)), axis=1)
    categories = ()
    if kind == "categorical":
        categories = ("green", "amber", "red")
        values = np.cumsum(rng.random((runs, rows)) < 0.1, axis=1) % 3.0
    values[:, 1:] = np.where(rng.random((runs, rows - 1)) < missing, np.nan, values[:, 1:])
    light = Variable(name="light", role="observation", kind=kind, categories=categories, target=True)
    empty = np.empty((rows, 0))
    return Episodes(
        Schema(id="run", time="t", variables=(light,)),
        tuple(
            Episode(str(k), np.arange(rows) * 1.0, values[k][:, None], empty[1:], np.empty(0), empty, np.empty(0))
            for k in range(runs)
        ),
    )


def test_on_a_random_walk_it_is_calibrated_and_begins_at_the_last_value():
    data = walks("continuous", runs=200)
    model = Persistence.fit(data.take(range(100)), horizon=8)
    test = systems.cases(data.take(range(100, 200)), 8, limit=2000)
    samples = model.forecast(test.histories, test.plan, members=100)
    assert coverage(samples, test.truth, 0.8).mean() == pytest.approx(0.8, abs=0.03)
    last = np.stack([history.observations[-1] for history in test.histories])
    np.testing.assert_allclose(samples.mean(axis=(0, 1)) - last.mean(), 0.0, atol=0.3)
    spread = (samples[:, :, :, 0] - last).std(axis=(0, 1))
    np.testing.assert_allclose(spread, np.sqrt(np.arange(1, 9)), rtol=0.1)


def test_a_category_goes_the_way_it_went_before():
    data = walks("categorical")
    model = Persistence.fit(data, horizon=4)
    test = systems.cases(data, 4)
    samples = model.forecast(test.histories, test.plan, members=400)
    last = np.array([history.observations[-1, 0] for history in test.histories])
    for state in range(3):
        first = samples[:, last == state, 0, 0]
        assert (first == state).mean() == pytest.approx(0.9, abs=0.03)
        assert ((first == state) | (first == (state + 1) % 3)).all()


def test_the_plan_is_not_looked_at_and_bounds_hold():
    data = systems.episodes(20, 40, 0)
    data = Episodes(systems.schema(bounds=(-0.5, 0.5)), data.episodes)
    model = Persistence.fit(data, horizon=5)
    test = systems.cases(data, 5)
    samples = model.forecast(test.histories, test.plan, members=20, seed=3)
    other = Plan(test.plan.time, test.plan.actions + 9, test.plan.known_future)
    np.testing.assert_array_equal(model.forecast(test.histories, other, members=20, seed=3), samples)
    assert samples.min() == -0.5 and samples.max() == 0.5
    assert not np.array_equal(model.forecast(test.histories, other, members=20, seed=4), samples)


def test_missing_values_are_filled_from_the_past_and_from_other_paths():
    data = walks("continuous", missing=0.5)
    model = Persistence.fit(data, horizon=6)
    unseen = data[0].until(5)
    unseen.observations[:] = np.nan
    histories = Episodes(data.schema, (data[1].until(9), unseen))
    plan = Plan(np.arange(6.0)[None].repeat(2, 0) + 10, np.empty((2, 6, 0)), np.empty((2, 6, 0)))
    samples = model.forecast(histories, plan, members=2000)
    seen = data[1].observations[:10, 0]
    assert samples[:, 0, 0].mean() == pytest.approx(seen[np.isfinite(seen)][-1], abs=0.2)
    # Where nothing was seen, anything that training saw may be: the spread of all values, not of one step.
    everything = np.concatenate([episode.observations for episode in data])
    assert samples[:, 1, 0].std() == pytest.approx(np.nanstd(everything), rel=0.25)


def test_state_comes_back_bit_by_bit():
    data = walks("categorical")
    model = Persistence.fit(data, horizon=4)
    again = Persistence.from_state(*model.state())
    test = systems.cases(data, 3)
    np.testing.assert_array_equal(
        again.forecast(test.histories, test.plan, members=9), model.forecast(test.histories, test.plan, members=9)
    )


def test_errors_name_what_is_wrong():
    data = walks("continuous", rows=6)
    with pytest.raises(TrainingError, match="more than 6 rows"):
        Persistence.fit(data, horizon=6)
    model = Persistence.fit(data, horizon=2)
    with pytest.raises(QuestionError, match="4 steps"):
        model.forecast(data, cut(data, [(k, 1) for k in range(len(data))], 4).plan)
    for episode in data:
        episode.observations[3:] = np.nan
    with pytest.raises(TrainingError, match="'light' is observed 0 times 3 steps"):
        Persistence.fit(data, horizon=5)
