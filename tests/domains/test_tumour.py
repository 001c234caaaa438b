import numpy as np
import pytest

from foreworld.domains.base import Domain, join, take
from foreworld.domains.collect import branch, branch_effects, collect, draw_origins
from foreworld.domains.tumour import Tumour
from foreworld.domains.tumour_model import LARGEST
from foreworld.errors import QuestionError
from foreworld.evidence.metrics import coverage

PATIENTS = ("type1#003", "type2#010", "type3#021", "type3#022")


@pytest.fixture(scope="module")
def domain() -> Tumour:
    return Tumour()


def follow(domain, plan):
    return np.stack([domain.step(plan[:, step]) for step in range(plan.shape[1])], axis=1)


def test_it_is_a_domain_of_ninety_patients_in_three_known_types(domain):
    assert isinstance(domain, Domain)
    assert len(domain.instances) == 90
    np.testing.assert_array_equal(domain.static(PATIENTS)[:, 0], [0, 1, 2, 2])
    assert {name.partition("#")[0] for name in domain.instances} == set(domain.schema.static[0].categories)


@pytest.mark.parametrize("policy", ["courses", "gamma0", "gamma2", "gamma4"])
def test_invariants_and_bounds_hold_under_every_policy(domain, policy):
    data = collect(domain, policy=policy, steps=120, seed=3)
    seen, done = np.stack([e.observations for e in data]), np.stack([e.actions for e in data])
    for name, holds in domain.invariants(seen, done).items():
        assert holds.all(), name
    assert seen[..., 0].min() >= 0 and seen[..., 0].max() <= LARGEST


def test_invariants_tell_impossible_trajectories(domain):
    data = collect(domain, instances=PATIENTS, steps=30, seed=3)
    seen, done = np.stack([e.observations for e in data]), np.stack([e.actions for e in data])
    names = list(domain.invariants(seen, done))
    for place, (row, value) in enumerate([(7, 13.5), (7, 2 * seen[0, 6, 0]), (7, 0.0)]):
        broken = seen.copy()
        broken[0, row, 0] = value
        holds = domain.invariants(broken, done)[names[place]]
        assert not holds[0] and holds[1:].all(), names[place]
    unknown = np.full_like(seen, np.nan)
    assert all(holds.all() for holds in domain.invariants(unknown, done).values())


def test_a_restored_state_goes_on_bit_by_bit(domain):
    plan = domain.behaviour("courses", PATIENTS, steps=90, seeds=[0, 1, 2, 3]).intended(0, 90)
    domain.reset(PATIENTS, steps=90, seeds=[3, 4, 5, 6])
    follow(domain, plan[:, :20])
    early = domain.snapshot()
    middle = follow(domain, plan[:, 20:40])
    late = domain.snapshot()
    rest = follow(domain, plan[:, 40:60])
    domain.restore(early)
    np.testing.assert_array_equal(follow(domain, plan[:, 20:40]), middle)
    domain.restore(join([take(late, [2, 0]), take(early, [1, 1])]))
    mixed = np.stack([plan[2, 40:60], plan[0, 40:60], plan[1, 20:40], plan[1, 20:40]])
    seen = follow(domain, mixed)
    np.testing.assert_array_equal(seen[:2], rest[[2, 0]])
    np.testing.assert_array_equal(seen[2:], middle[[1, 1]])


def test_new_chance_parts_from_now_on(domain):
    plan = np.zeros((4, 10, 2))
    domain.reset(PATIENTS, steps=10, seeds=[3, 4, 5, 6])
    start = domain.snapshot()
    first = follow(domain, plan)
    domain.restore(start, seeds=[7, 8, 9, 10])
    second = follow(domain, plan)
    assert (first[:, :, 0] != second[:, :, 0]).all()
    np.testing.assert_allclose(first[:, :, 0], second[:, :, 0], rtol=0.05)


@pytest.mark.parametrize("policy", ["courses", "gamma2"])
def test_an_episode_depends_on_its_seed_and_name_alone(domain, policy):
    together = collect(domain, policy=policy, instances=PATIENTS, episodes_per_instance=2, steps=40, seed=9)
    alone = collect(domain, policy=policy, instances=["type3#021"], steps=60, seed=9)[0]
    among = next(episode for episode in together if episode.id == "type3#021")
    np.testing.assert_array_equal(among.observations, alone.observations[:41])
    np.testing.assert_array_equal(among.actions, alone.actions[:40])


def test_death_and_recovery_are_final(domain):
    domain.reset(domain.instances, steps=400, seeds=range(90))
    untreated = follow(domain, np.zeros((90, 400, 2)))[:, :, 0]
    died = untreated[:, -1] == LARGEST
    assert died.mean() > 0.3
    assert (np.diff((untreated[died] == LARGEST).astype(int), axis=1) >= 0).all()
    domain.reset(domain.instances, steps=100, seeds=range(90))
    treated = follow(domain, np.tile([5.0, 2.0], (90, 100, 1)))[:, :, 0]
    cured = treated[:, -1] == 0
    assert cured.mean() > 0.9
    assert (np.diff((treated[cured] == 0).astype(int), axis=1) >= 0).all()


def test_every_intervention_does_something_and_both_do_more_than_either(domain):
    asked = draw_origins(domain, ids=domain.instances, per_episode=2, rows=(20, 90), seed=1)
    effect = {}
    for name in domain.interventions:
        done, undone = branch_effects(domain, interventions=[name], origins=asked, horizon=28, seed=1)
        effect[name] = (done.truth - undone.truth)[:, 6, 0].mean()
    assert effect["chemoradiation"] < effect["radio"] < effect["chemo"] < -0.1
    assert effect["no treatment"] > 0.05


def test_the_doctor_treats_large_tumours_and_courses_do_not_look(domain):
    sizes = np.array([1.0, 1.0, 12.0, 12.0])
    observations = np.stack([sizes, np.zeros(4)], axis=1)
    given = {}
    for policy in ("courses", "gamma0", "gamma4"):
        behaviour = domain.behaviour(policy, PATIENTS, steps=400, seeds=[0, 1, 0, 1])
        given[policy] = np.stack([behaviour.act(step, observations) for step in range(400)], axis=1)
    for policy in ("courses", "gamma0"):
        np.testing.assert_array_equal(given[policy][:2], given[policy][2:])
    rate = (given["gamma4"][:, 20:] > 0).mean((1, 2))
    np.testing.assert_allclose(rate[:2], 1 / (1 + np.exp(4 / 13 * 5.5)), atol=0.04)
    np.testing.assert_allclose(rate[2:], 1 / (1 + np.exp(-4 / 13 * 5.5)), atol=0.04)


def test_courses_last_for_days_and_leave_weeks_between(domain):
    plan = domain.behaviour("courses", domain.instances, steps=120, seeds=range(90)).intended(0, 120)
    treated = (plan > 0).any(-1)
    assert 0.05 < treated.mean() < 0.2
    assert set(np.unique(plan[..., 0])) == {0, 2.5, 5} and set(np.unique(plan[..., 1])) == {0, 1, 2}
    for patient in treated:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], patient.astype(int), [0]])))
        begin, end = edges[::2], edges[1::2]
        assert (end - begin <= 3).all() and (begin[1:] - end[:-1] >= 7).all()


def test_shifts_are_other_worlds_with_the_same_patients(domain):
    names = domain.instances
    first = {shift: domain.shifted(shift).reset(names, steps=1, seeds=range(90))[:, 0] for shift in domain.shifts}
    assert np.median(first["late"]) > 1.5 * np.median(first["resistant"])
    plan = np.zeros((90, 14, 2))
    plan[:, 0] = 5.0, 2.0
    ends = []
    for world in (domain, domain.shifted("resistant")):
        world.reset(names, steps=14, seeds=range(90))
        ends.append(follow(world, plan)[:, -1, 0])
    assert (ends[1] >= ends[0]).all() and ends[1].mean() > ends[0].mean() + 0.3
    assert domain.shifted("confounded").policies[0] == "gamma4"
    assert domain.shifted("late").instances == names
    with pytest.raises(QuestionError, match="no shift 'younger'"):
        domain.shifted("younger")


def test_the_mechanistic_baseline_finds_the_population_and_covers(domain):
    data = collect(domain, instances=domain.instances[::2], steps=120, seed=0)
    fitted = domain.baselines["mechanistic ODE"](data, 28)
    known = domain._population.theta[::2]
    np.testing.assert_allclose(fitted.mean, known.mean(0), rtol=0.15)
    assert fitted.noise == pytest.approx(0.01, rel=0.03)
    asked = draw_origins(domain, ids=domain.instances[1::2], per_episode=2, rows=(20, 90), seed=1)
    cases = branch(domain, origins=asked, horizon=28, alternatives=2, seed=1)
    futures = fitted.forecast(cases.histories, cases.plan, members=100, seed=0)
    assert futures.shape == (100, 180, 28, 1)
    assert coverage(futures, cases.truth, 0.9).mean() == pytest.approx(0.9, abs=0.05)


def test_cost_is_nothing_without_a_tumour_and_one_at_death(domain):
    np.testing.assert_allclose(domain.cost(np.array([[0.0, -3.0], [13.0, 3.06]])), [0, 1])


def test_impossible_actions_and_unknown_names_are_refused(domain):
    domain.reset(PATIENTS, steps=1, seeds=range(4))
    for bad in (np.nan, -1.0, np.inf):
        with pytest.raises(QuestionError, match="not negative"):
            domain.step(np.full((4, 2), bad))
    domain.step(np.zeros((4, 2)))
    with pytest.raises(QuestionError, match="fewer steps"):
        domain.step(np.zeros((4, 2)))
    with pytest.raises(QuestionError, match="no patient 'type4#001'"):
        domain.reset(["type4#001"], steps=5, seeds=[0])
    with pytest.raises(QuestionError, match="no policy 'greedy'"):
        domain.behaviour("greedy", PATIENTS, steps=5, seeds=range(4))
