import numpy as np
import pytest

from foreworld.domains.base import join, take
from foreworld.domains.glucose import Glucose
from foreworld.domains.glucose_model import parameters
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


@pytest.mark.parametrize("policy", ["random", "confounded"])
def test_invariants_hold_while_policies_are_at_work(domain, policy):
    steps = 2 * 288
    behaviour = domain.behaviour(policy, domain.instances, steps=steps, seeds=range(30))
    observations = domain.reset(domain.instances, steps=steps, seeds=range(30))
    for step in range(steps):
        observations = domain.step(behaviour.act(step, observations))
        broken = [name for name, holds in domain.invariants().items() if not holds.all()]
        assert not broken, f"step {step}: {broken}"


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
    assert (first[:, 3:] != second[:, 3:]).all()


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
