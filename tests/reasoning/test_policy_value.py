from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from foreworld.data.episodes import Episodes
from foreworld.errors import QuestionError
from foreworld.model import WorldModel
from foreworld.reasoning.closed_loop import follow_policy
from foreworld.reasoning.forecast import encode_now, sample
from foreworld.reasoning.policy_value import PolicyValue, extreme_mean, policy_value
from foreworld.reasoning.question import build_plan

from ..conftest import TANK_ROLES


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=7),
    st.floats(1.0, 50.0),
    st.sampled_from([-1.0, 1.0]),
)
def test_extreme_means_are_those_of_the_linear_programme(values, gamma, sign):
    """Over weights between 1 / gamma and gamma that sum to the number of draws."""
    samples, count = np.array(values), len(values)
    solved = linprog(
        -sign * samples / count, A_eq=np.ones((1, count)), b_eq=[count], bounds=[(1 / gamma, gamma)] * count
    )
    found = extreme_mean(samples[None, :, None], gamma, sign)[0, 0]
    assert found == pytest.approx(-sign * solved.fun, abs=1e-6)
    assert samples.min() - 1e-9 <= found <= samples.max() + 1e-9


def one_decision(odds: float, seed: int, count: int = 4000) -> tuple[PolicyValue, float]:
    """Treatment or not, by who knows whether a patient is frail. The policy treats everyone; truth is its value.

    The frail, half of all, are treated with the odds 1 / `odds` and get well under treatment with 0.3, the others with
    `odds` and 0.8. Imagined is what the record shows of the treated, each member with its own bootstrap sample of them:
    that is what a perfect model would say.
    """
    rng = np.random.default_rng(seed)
    frail = rng.random(count) < 0.5
    treated = rng.random(count) < np.where(frail, 1 / (1 + odds), odds / (1 + odds))
    well = rng.random(count) < np.where(frail, 0.3, 0.8)
    shares = [rng.choice(well[treated], treated.sum()).mean() for _ in range(5)]
    seen = (rng.random((5, 100, count)) < np.array(shares)[:, None, None]).astype(float)
    value = PolicyValue(
        low=0.0,
        high=1.0,
        recorded=np.where(treated, well, rng.random(count) < 0.3).astype(float),
        departure=np.where(treated, -1, 0),
        imagined=np.where(treated, np.nan, seen),
        vouched=np.ones(count, bool),
    )
    return value, 0.55


def test_selection_of_a_known_strength_is_covered_at_that_strength_and_not_without_it():
    # Among the untreated the frail are 9 times as frequent as among the treated: the ratio of densities is below 9.
    value, truth = one_decision(odds=9.0, seed=0)
    assert value.interval(1.0)[0] > truth + 0.1
    low, high = value.interval(9.0)
    assert low < truth < high
    assert value.interval()[0] < truth < value.interval()[1]


def test_without_selection_the_estimate_is_right_and_covers():
    covered = []
    for seed in range(60):
        value, truth = one_decision(odds=1.0, seed=seed, count=600)
        low, high = value.interval(1.0)
        covered.append(low <= truth <= high)
        assert value.estimate == pytest.approx(truth, abs=0.12)
    assert np.mean(covered) >= 0.8


def test_intervals_grow_with_the_strength_of_selection():
    value, _ = one_decision(odds=3.0, seed=1)
    ends = np.array([value.interval(gamma) for gamma in (1.0, 1.5, 3.0, 10.0, 1e6, np.inf)])
    assert (np.diff(ends[:, 0]) <= 1e-9).all() and (np.diff(ends[:, 1]) >= -1e-9).all()
    assert value.low <= ends.min() and ends.max() <= value.high


def test_a_verdict_holds_up_to_its_tipping_point():
    value, _ = one_decision(odds=1.0, seed=2)
    tipping = value.tipping()
    assert value.verdict(1.0) == "better" and value.verdict(0.99 * tipping) == "better"
    assert value.verdict(1.01 * tipping) == "undecided" and value.verdict() == "undecided"
    assert value.followed == pytest.approx(0.5, abs=0.03) and value.supported == 1.0
    with pytest.raises(QuestionError, match="at least 1"):
        value.interval(0.5)


def test_of_what_the_model_does_not_vouch_for_nothing_is_assumed():
    value, _ = one_decision(odds=1.0, seed=3)
    asked = value.departure >= 0
    half = replace(value, vouched=~(asked & (np.arange(len(asked)) % 2 == 0)))
    none = replace(value, vouched=~asked)
    assert none.interval(1.0) == none.interval() == value.interval() and none.tipping() == 1.0
    assert value.interval(1.0)[0] > half.interval(1.0)[0] > none.interval(1.0)[0]
    assert half.estimate == none.estimate == value.estimate
    assert none.supported == pytest.approx(0.5, abs=0.03) and half.supported == pytest.approx(0.75, abs=0.03)


@pytest.fixture(scope="module")
def tank(tank_model, tank_csv) -> tuple[WorldModel, Episodes]:
    record = Episodes.from_file(tank_csv, **TANK_ROLES, units={"level": "cm"}, bounds={"level": (0.0, None)})
    return WorldModel.load(tank_model), record


def last_level(targets: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return targets[:, -1, 0]


def test_a_policy_that_does_not_look_has_the_futures_of_its_plan(tank):
    model, record = tank
    histories = Episodes(record.schema, tuple(episode.until(20) for episode in record)).take([0, 1, 2])
    histories = Episodes(record.schema, tuple(_decide(episode) for episode in histories))
    rows, acted = follow_policy(
        model.network,
        model.encoding,
        histories,
        lambda targets, actions: np.full((len(targets), 1), 0.25),
        steps=5,
        draws=800,
    )
    assert rows.shape == (2, 800, 3, 26, 1) and acted.shape == (2, 800, 3, 25, 1)
    np.testing.assert_array_equal(acted[..., 20:, 0], 0.25)
    np.testing.assert_array_equal(rows[0, 0, :, :21, 0], np.stack([e.observations[:, 0] for e in histories]))
    plan = build_plan(histories, model.encoding.scaling, do={"valve": 0.25}, horizon=5)
    beliefs = encode_now(model.network, histories, model.encoding)
    drawn = sample(model.network, beliefs, histories, plan, model.encoding, draws=800, seed=0)
    centre, scale = model.encoding.scaling.of(model.encoding.schema.targets)
    expected = drawn * scale + centre
    spread = expected.std(1)
    np.testing.assert_array_less(np.abs(rows[..., 21:, :].mean(1) - expected.mean(1)), 0.2 * spread)
    np.testing.assert_allclose(rows[..., 21:, :].std(1), spread, rtol=0.15)


def _decide(episode):
    """Nothing is taken yet in the last row."""
    return type(episode)(**{**vars(episode), "pending": np.full(1, np.nan)})


def test_departures_are_the_first_steps_at_which_something_else_was_done(tank):
    model, record = tank
    first = [float(episode.actions[0, 0]) for episode in record]

    def hold(targets: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """What is done first is done for good; of who has done nothing, the first patient's."""
        return actions[:, 0] if actions.shape[1] else np.full((len(targets), 1), first[0])

    value = policy_value(model, record, hold, last_level, steps=39, low=0.0, high=500.0, draws=3)
    assert value.departure[0] == 4  # the valve is turned every four steps
    assert (value.departure[1:] == 0).all()
    assert np.isfinite(value.imagined).all() and value.followed == 0
    assert value.interval() == (0.0, 500.0) and value.verdict() == "undecided"
    # Nobody calibrated the model for what is left of a whole trajectory.
    assert value.supported == 0 and value.interval(1.0) == (0.0, 500.0) and 0 < value.estimate < 500
    again = policy_value(model, record, hold, last_level, steps=39, low=0.0, high=500.0, draws=3)
    np.testing.assert_array_equal(again.imagined, value.imagined)


def test_questions_that_make_no_sense_are_refused(tank):
    model, record = tank

    def shut(targets: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return np.zeros((len(targets), 1))

    with pytest.raises(QuestionError, match="leave"):
        policy_value(model, record, shut, last_level, steps=39, low=0.0, high=1.0)
    with pytest.raises(QuestionError, match="more than 10 steps"):
        policy_value(model, record, shut, last_level, steps=10, low=0.0, high=500.0)
    with pytest.raises(QuestionError, match="no record"):
        policy_value(model, Episodes(record.schema, ()), shut, last_level, steps=39, low=0.0, high=500.0)
    uneven = Episodes(record.schema, (record[0].until(3), record[1].until(4)))
    with pytest.raises(QuestionError, match="one length"):
        follow_policy(model.network, model.encoding, uneven, shut, steps=2, draws=1)
