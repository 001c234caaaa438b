import numpy as np
import pytest

from foreworld.domains import glucose_policy as habits
from foreworld.domains.glucose import Glucose

PATIENTS = ("adolescent#001", "adult#003", "child#009")
WEEK = 7 * habits.DAY


@pytest.fixture(scope="module")
def domain() -> Glucose:
    return Glucose()


def act(behaviour, readings):
    """A week's actions under made-up readings."""
    observations = np.broadcast_to(readings, (len(PATIENTS), WEEK))
    return np.stack([behaviour.act(step, observations[:, step, None]) for step in range(WEEK)], axis=1)


def test_insulin_of_the_random_policy_does_not_depend_on_readings(domain):
    behaviour = domain.behaviour("random", PATIENTS, steps=WEEK, seeds=[0, 1, 2])
    low, high = act(behaviour, 45.0), act(behaviour, 400.0)
    assert np.array_equal(low[..., :2], high[..., :2])
    assert np.array_equal(high, behaviour.intended(0, WEEK))
    assert (low[..., habits.CARBS].sum(axis=1) > high[..., habits.CARBS].sum(axis=1) + 100).all()


def test_the_confounded_policy_gives_more_insulin_when_readings_are_high(domain):
    behaviour = domain.behaviour("confounded", PATIENTS, steps=WEEK, seeds=[0, 1, 2])
    normal, high, higher = (act(behaviour, level)[..., habits.BOLUS].sum(axis=1) for level in (150.0, 250.0, 350.0))
    assert (normal < high).all() and (high < higher).all()
    np.testing.assert_allclose((higher - normal) / (high - normal), 210 / 110, rtol=0.1)


def test_plans_are_what_a_pump_can_give_and_a_patient_would_eat(domain):
    plan = domain.behaviour("random", PATIENTS, steps=WEEK, seeds=[0, 1, 2]).intended(0, WEEK)
    for column, increment in ((habits.BOLUS, 0.05), (habits.BASAL, 0.025)):
        doses = plan[..., column] / increment
        np.testing.assert_allclose(doses, np.round(doses), atol=1e-6)
    meals = (plan[..., habits.CARBS] > 0).sum(axis=1) / 7
    assert ((meals >= 3) & (meals <= 6)).all()
    assert plan[..., habits.CARBS].sum(axis=1)[1] > plan[..., habits.CARBS].sum(axis=1)[2], "adults eat more"


def test_a_longer_plan_begins_with_the_shorter_one(domain):
    long, short = (domain.behaviour("confounded", PATIENTS, steps=steps, seeds=[5, 6, 7]) for steps in (WEEK, 500))
    assert np.array_equal(long.intended(0, 500), short.intended(0, 500))
    assert np.array_equal(long.checks[:, :500], short.checks)


def test_corrections_fall_at_random_and_apart_from_meals(domain):
    plan = domain.behaviour("random", ["adult#003"] * 40, steps=WEEK, seeds=range(40)).intended(0, WEEK)
    boluses, fasting = plan[..., habits.BOLUS] > 0, np.ones((40, WEEK), dtype=bool)
    for delay in range(13):
        fasting[:, delay:] &= plan[:, : WEEK - delay, habits.CARBS] == 0
    rate = boluses[fasting].mean() * habits.DAY
    assert 2.7 < rate < 3.3


def test_alternatives_keep_the_meals_and_stay_within_what_the_policy_does(domain):
    names = ["adult#003"] * 200
    plan = domain.behaviour("random", names, steps=habits.DAY, seeds=range(200)).intended(84, 132)
    other = domain.alternatives(names, plan, range(200))
    assert np.array_equal(other[..., habits.CARBS], plan[..., habits.CARBS])
    basal = domain._therapies(names[:1])[0].basal
    assert set(np.round(np.unique(other[..., habits.BASAL]) / basal, 1)) <= {0, 0.5, 1, 1.5, 2}
    suspended = (other[..., :2] == 0).all(axis=(1, 2))
    more, less = ((other - plan)[..., :2].sum(axis=(1, 2)) * sign > 0 for sign in (1, -1))
    for share in (suspended, more, less):
        assert 0.1 < share.mean() < 0.7
    assert np.array_equal(other, domain.alternatives(names, plan, range(200)))
