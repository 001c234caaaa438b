import numpy as np
import pytest

from foreworld.domains.collect import branch, branch_effects, collect, draw_origins
from foreworld.domains.hiv import Hiv, reward
from foreworld.domains.hiv_model import HEALTHY, UNHEALTHY
from foreworld.errors import QuestionError
from foreworld.evidence.metrics import coverage
from foreworld.testing import check_domain

DISCOUNT = 0.98 ** np.arange(200)


@pytest.fixture(scope="module")
def domain() -> Hiv:
    return Hiv()


def follow(world: Hiv, plans: np.ndarray) -> np.ndarray:
    """What the patient of the source goes through under some plans."""
    rows = [world.reset([world.instances[0]] * len(plans), steps=plans.shape[1], seeds=range(len(plans)))]
    rows += [world.step(plans[:, step]) for step in range(plans.shape[1])]
    return np.stack(rows, axis=1)


def test_it_keeps_the_contract(domain):
    check_domain(domain, instances=2, deterministic=True)


def test_the_returns_of_fixed_schedules_are_those_that_are_known():
    """Neither, PI, RTI and both: 8.44e5, 1.01e6, 9.84e5 and 2.00e6; in the healthy state for good 1.73e10."""
    plans = np.tile(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)[:, None], (1, 200, 1))
    returns = (reward(follow(Hiv("reference"), plans), plans) * DISCOUNT).sum(1)
    np.testing.assert_allclose(returns, [8.44e5, 1.01e6, 9.84e5, 2.00e6], rtol=0.005)
    healthy = np.tile(np.log10(HEALTHY), (1, 201, 1))
    assert (reward(healthy, plans[:1]) * DISCOUNT).sum() == pytest.approx(1.73e10, rel=0.005)


def test_the_reference_patient_begins_in_the_unhealthy_steady_state_exactly():
    world = Hiv("reference")
    np.testing.assert_allclose(10 ** world.reset(world.instances[:1], steps=1, seeds=[3])[0], UNHEALTHY)


def test_the_virus_has_won_in_every_patient_at_the_beginning(domain):
    first = domain.reset(domain.instances, steps=1, seeds=range(60))
    assert (first[:, 4] > first[:, 5] + 1).all()
    assert np.ptp(first[:, 0]) > 0.3


def test_drugs_lower_the_virus_and_both_lower_it_more(domain):
    asked = draw_origins(domain, ids=domain.instances[:20], per_episode=1, rows=(10, 40), seed=1)
    done, undone = branch_effects(domain, interventions=["both"], origins=asked, horizon=12, seed=1)
    assert (done.truth - undone.truth)[:, -1, 1].mean() < -0.2
    done, undone = branch_effects(domain, interventions=["stop"], origins=asked, horizon=12, seed=1)
    assert (done.truth - undone.truth)[:, 3, 1].mean() > 0.1


def test_resistance_weakens_the_drugs(domain):
    plan = np.ones((1, 24, 2))
    ends = []
    for world in (domain, domain.shifted("resistant")):
        world.reset(world.instances[:1], steps=24, seeds=[0])
        ends.append([world.step(plan[:, step])[0, 4] for step in range(24)][5])
    assert ends[1] > ends[0] + 0.3


def test_the_doctor_treats_much_virus_and_the_random_schedule_does_not_look(domain):
    seen = np.zeros((2, 6))
    seen[:, 4] = 6.0, 1.0
    given = {}
    for policy in domain.policies:
        acting = domain.behaviour(policy, domain.instances[:2], steps=200, seeds=[5, 5])
        given[policy] = np.stack([acting.act(step, seen) for step in range(200)], axis=1)
    np.testing.assert_array_equal(*given["random"])
    assert given["confounded"][0].mean() > 0.9 and given["confounded"][1].mean() < 0.1


def test_the_patient_of_the_source_is_a_baseline_that_covers(domain):
    data = collect(domain, instances=domain.instances[::4], steps=40, seed=0)
    fitted = domain.baselines["source's patient"](data, 12)
    asked = draw_origins(domain, ids=domain.instances[1::4], per_episode=2, rows=(10, 20), seed=1)
    cases = branch(domain, origins=asked, horizon=12, alternatives=1, seed=1)
    futures = fitted.forecast(cases.histories, cases.plan, members=100, seed=0)
    assert futures.shape == (100, 30, 12, 3)
    assert coverage(futures, cases.truth, 0.9).mean() == pytest.approx(0.9, abs=0.1)


def test_impossible_actions_and_unknown_names_are_refused(domain):
    domain.reset(domain.instances[:1], steps=1, seeds=[0])
    for bad in (np.nan, 0.5, -1.0):
        with pytest.raises(QuestionError, match="0 or 1"):
            domain.step(np.full((1, 2), bad))
    domain.step(np.zeros((1, 2)))
    with pytest.raises(QuestionError, match="fewer steps"):
        domain.step(np.zeros((1, 2)))
    with pytest.raises(QuestionError, match="no patient 'patient#99'"):
        domain.reset(["patient#99"], steps=5, seeds=[0])
    with pytest.raises(QuestionError, match="no shift 'late'"):
        domain.shifted("late")
