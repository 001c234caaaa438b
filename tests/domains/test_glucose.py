import numpy as np
import pytest

from foreworld.domains import glucose_sensor as sensor
from foreworld.domains.base import join, take
from foreworld.domains.collect import roll
from foreworld.domains.glucose import Glucose
from foreworld.domains.glucose_model import INSULIN_ACTION, parameters
from foreworld.errors import QuestionError

PATIENTS = ("adolescent#010", "adult#003", "child#005")


@pytest.fixture(scope="module")
def domain() -> Glucose:
    return Glucose()


def follow(domain, plan):
    return np.stack([domain.step(plan[:, step])[:, 0] for step in range(plan.shape[1])], axis=1)


def test_readings_are_those_of_the_package_under_the_same_treatment(domain, original):
    steps, seeds = 120, [3, 4, 5]
    plan = domain.behaviour("random", PATIENTS, steps=steps, seeds=[0, 1, 2]).intended(0, steps)
    ours = np.column_stack([domain.reset(PATIENTS, steps=steps, seeds=seeds)[:, 0], follow(domain, plan)])
    for index, (name, seed) in enumerate(zip(PATIENTS, seeds, strict=True)):
        patient, sensor = original.patient(name), original.sensor("GuardianRT", seed=seed)
        theirs = [sensor.measure(patient)]
        for basal, bolus, carbs in plan[index]:
            for minute in range(5):
                patient.step(original.Action(CHO=carbs if minute == 0 else 0, insulin=basal / 60 + bolus / 5))
            theirs.append(sensor.measure(patient))
        np.testing.assert_allclose(ours[index], theirs, rtol=0, atol=0.1)


def test_the_schema_holds_for_every_patient(domain):
    assert len(domain.instances) == 30
    static = dict(zip((v.name for v in domain.schema.static), domain.static(["adult#003"])[0], strict=True))
    assert static["weight"] == pytest.approx(81.631)
    assert static["carb_ratio"] == 9 and static["age"] == 27 and static["group"] == 2
    assert static["correction_factor"] == pytest.approx(17.93455)
    assert static["daily_insulin"] == pytest.approx(56.42972)


@pytest.mark.parametrize(
    ("policy", "shift"),
    [("random", ""), ("confounded", ""), ("random", "insulin resistant"), ("confounded", "noisier sensor")],
)
def test_what_must_hold_holds_for_two_days_of_every_patient(policy, shift):
    domain = Glucose(shift)
    rollout = roll(domain, policy, domain.instances, steps=2 * 288, seed=0, keep=range(0, 2 * 288, 36))
    stated = domain.invariants(rollout.observations, rollout.actions)
    assert len(stated) == 2 and all(holds.all() for holds in stated.values())
    for snapshot in rollout.snapshots.values():
        assert np.isfinite(snapshot["x"]).all()
        assert (np.delete(snapshot["x"], INSULIN_ACTION, axis=1) >= 0).all()


def test_insulin_resistance_weakens_insulin_and_leaves_fasting_alone():
    hours = 4 * 12
    ends = {}
    for shift in ("", "insulin resistant"):
        domain = Glucose(shift)
        fasting = np.zeros((30, hours, 3))
        fasting[:, :, 0] = parameters(domain.instances).steady_basal[:, None]
        for dose in (0.0, 1.0):
            fasting[:, 0, 1] = dose
            domain.reset(domain.instances, steps=hours, seeds=range(30))
            ends[shift, dose] = follow(domain, fasting)[:, 24:].mean(axis=1)
    np.testing.assert_allclose(ends["", 0.0], ends["insulin resistant", 0.0], atol=1e-6)
    drop, weaker = (ends[shift, 0.0] - ends[shift, 1.0] for shift in ("", "insulin resistant"))
    assert (weaker > 0).all() and (weaker < 0.9 * drop).all()


def test_a_noisier_sensor_errs_twice_as_much_about_the_same_glucose():
    plan = np.zeros((3, 30, 3))
    seen, states = [], []
    for shift in ("", "noisier sensor"):
        domain = Glucose(shift)
        first = domain.reset(PATIENTS, steps=60, seeds=[0, 1, 2])
        seen.append(np.column_stack([first[:, 0], follow(domain, plan)]))
        states.append(domain.snapshot()["x"])
    assert np.array_equal(*states)
    true = 2 * seen[0] - seen[1]
    smooth = np.abs(np.diff(true, 2)).mean()
    assert smooth < 0.5 * np.abs(np.diff(seen[0], 2)).mean()


def test_insulin_lowers_and_food_raises_every_patient(domain):
    names, hours = domain.instances, 3 * 12
    fasting = np.zeros((30, hours, 3))
    fasting[:, :, 0] = parameters(names).steady_basal[:, None]
    ends = []
    for changed, amount in ((1, 0.0), (1, 1.0), (1, 2.0), (2, 15.0), (2, 30.0)):
        plan = fasting.copy()
        plan[:, 0, changed] = amount
        domain.reset(names, steps=hours, seeds=range(30))
        ends.append(follow(domain, plan)[:, 18:].mean(axis=1))
    none, dose, two_doses, snack, meal = ends
    assert (two_doses < dose).all() and (dose < none).all()
    assert (none < snack).all() and (snack < meal).all()


def test_a_restored_state_goes_on_bit_by_bit(domain):
    plan = domain.behaviour("random", PATIENTS, steps=200, seeds=[0, 1, 2]).intended(0, 200)
    domain.reset(PATIENTS, steps=200, seeds=[3, 4, 5])
    follow(domain, plan[:, :85])  # in the middle of a meal for some
    early = domain.snapshot()
    middle = follow(domain, plan[:, 85:120])
    late = domain.snapshot()
    rest = follow(domain, plan[:, 120:160])
    domain.restore(early)
    assert np.array_equal(follow(domain, plan[:, 85:120]), middle)
    # Episodes of different moments side by side, in another order and one of them twice.
    domain.restore(join([take(late, [2, 0]), take(early, [1, 1])]))
    mixed = np.stack([plan[2, 120:155], plan[0, 120:155], plan[1, 85:120], plan[1, 85:120]])
    readings = follow(domain, mixed)
    assert np.array_equal(readings[:2], rest[[2, 0], :35])
    assert np.array_equal(readings[2:], middle[[1, 1]])


def test_new_chance_changes_readings_and_nothing_else(domain):
    domain.reset(PATIENTS, steps=60, seeds=[0, 1, 2])
    plan = np.zeros((3, 30, 3))
    start = domain.snapshot()
    first, state = follow(domain, plan), domain.snapshot()["x"]
    domain.restore(start, seeds=[7, 8, 9])
    second = follow(domain, plan)
    assert np.array_equal(state, domain.snapshot()["x"])
    parted = 2 + 3 * sensor.AHEAD  # readings until then are of knots that both share
    assert (first[:, parted:] != second[:, parted:]).all()


def test_cost_is_the_packages_risk_index(domain, original):
    levels = np.array([39.0, 70.0, 112.5, 180.0, 400.0])
    expected = [original.risk_index(np.array([level]), 1)[2] for level in levels]
    np.testing.assert_allclose(domain.cost(levels[:, None]), expected)


@pytest.mark.parametrize("bad", [np.nan, -0.1, np.inf])
def test_impossible_actions_are_refused(domain, bad):
    domain.reset(PATIENTS, steps=5, seeds=[0, 1, 2])
    actions = np.zeros((3, 3))
    actions[1, 1] = bad
    with pytest.raises(QuestionError, match="not negative"):
        domain.step(actions)


def test_unknown_names_are_refused(domain):
    with pytest.raises(QuestionError, match="no patient 'adult#011'"):
        domain.reset(["adult#011"], steps=5, seeds=[0])
    with pytest.raises(QuestionError, match="no policy 'greedy'"):
        domain.behaviour("greedy", PATIENTS, steps=5, seeds=[0, 1, 2])
    with pytest.raises(QuestionError, match="no shift 'sick' here; there are insulin resistant"):
        domain.shifted("sick")
