import numpy as np
import pytest

from foreworld.domains.anaesthesia import CLEARED, SHIFTS, Anaesthesia
from foreworld.domains.base import join, take
from foreworld.domains.collect import branch_effects, collect, draw_origins
from foreworld.errors import QuestionError
from foreworld.testing import check_domain

PATIENTS = ("man#003", "woman#017", "woman#040")


@pytest.fixture(scope="module")
def domain() -> Anaesthesia:
    return Anaesthesia()


def follow(domain: Anaesthesia, plan: np.ndarray) -> np.ndarray:
    return np.stack([domain.step(plan[:, step]) for step in range(plan.shape[1])], axis=1)


def constant(domain: Anaesthesia, propofol: float, remifentanil: float, minutes: int) -> np.ndarray:
    """True BIS and tolerance of everybody after so many minutes of constant rates."""
    everyone = domain.instances
    domain.reset(everyone, steps=minutes, seeds=range(len(everyone)))
    for _ in range(minutes):
        domain.step(np.tile([propofol, remifentanil], (len(everyone), 1)))
    return domain.effects()


def test_the_contract_is_kept(domain):
    check_domain(domain)


def test_patients_begin_awake_and_respond_in_doses(domain):
    assert len(domain.instances) == 150
    awake = constant(domain, 0.0, 0.0, 1)
    assert (awake[:, 0] == 97.4).all() and (awake[:, 1] == 0).all()
    light, deep = constant(domain, 4.0, 0.0, 30), constant(domain, 10.0, 0.0, 30)
    assert (deep[:, 0] < light[:, 0]).all() and (deep[:, 1] > light[:, 1]).all()
    # A usual anaesthetic, 6 mg/kg/h and 0.2 ug/kg/min, keeps the typical patient asleep and tolerant.
    usual = constant(domain, 6.0, 0.2, 30)
    assert 40 < np.median(usual[:, 0]) < 60 and np.median(usual[:, 1]) > 0.85


def test_patients_on_the_same_chart_differ(domain):
    usual = constant(domain, 6.0, 0.2, 30)
    assert usual[:, 0].std() > 3
    facts = dict(zip((v.name for v in domain.schema.static), domain.static(["woman#017"])[0], strict=True))
    assert facts["sex"] == 0 and 20 <= facts["age"] <= 70 and 140 < facts["height"] < 190


def test_readings_err_about_the_truth_and_stay_in_bounds(domain):
    names = ["man#003"] * 2000
    domain.reset(names, steps=20, seeds=range(2000))
    readings = follow(domain, np.tile([8.0, 0.1], (2000, 20, 1)))[:, -1]
    truth = domain.effects()[0]
    assert readings[:, 0].mean() == pytest.approx(truth[0], abs=0.3)
    assert readings[:, 0].std() == pytest.approx(3, abs=0.2)
    assert readings[:, 1].mean() == pytest.approx(truth[1], abs=0.005)
    assert readings[:, 1].std() == pytest.approx(0.2 * truth[1] * (1 - truth[1]), rel=0.1)


def test_a_restored_state_goes_on_bit_by_bit(domain):
    plan = domain.behaviour("random", PATIENTS, steps=120, seeds=[0, 1, 2]).intended(0, 120)
    domain.reset(PATIENTS, steps=120, seeds=[3, 4, 5])
    follow(domain, plan[:, :40])
    early = domain.snapshot()
    middle = follow(domain, plan[:, 40:60])
    late = domain.snapshot()
    rest = follow(domain, plan[:, 60:])
    domain.restore(early)
    assert np.array_equal(follow(domain, plan[:, 40:60]), middle)
    # Episodes of different moments side by side, in another order and one of them twice.
    domain.restore(join([take(late, [2, 0]), take(early, [1, 1])]))
    mixed = follow(domain, np.stack([plan[2, 60:80], plan[0, 60:80], plan[1, 40:60], plan[1, 40:60]]))
    assert np.array_equal(mixed[:2], rest[[2, 0], :20]) and np.array_equal(mixed[2:], middle[[1, 1]])


def test_an_episode_depends_on_its_seed_and_id_alone(domain):
    together = collect(domain, instances=PATIENTS, steps=90, seed=1)
    alone = collect(domain, instances=PATIENTS[1:2], steps=60, seed=1)[0]
    same = [episode for episode in together if episode.id == PATIENTS[1]][0].until(60)
    assert np.array_equal(alone.observations, same.observations) and np.array_equal(alone.actions, same.actions)


def test_new_chance_changes_readings_and_nothing_else(domain):
    domain.reset(PATIENTS, steps=30, seeds=[0, 1, 2])
    start, plan = domain.snapshot(), np.tile([6.0, 0.2], (3, 20, 1))
    first, state = follow(domain, plan), domain.effects()
    domain.restore(start, seeds=[7, 8, 9])
    assert (follow(domain, plan) != first).all()
    assert np.array_equal(domain.effects(), state)


@pytest.mark.parametrize("shift", [None, *SHIFTS])
def test_no_effect_grows_once_its_pump_has_been_off_for_long(domain, shift):
    world = domain if shift is None else domain.shifted(shift)
    world.reset(world.instances, steps=61, seeds=range(150))
    world.step(np.tile([60.0, 2.0], (150, 1)))  # a fast, short infusion: the latest peak
    effects = []
    for _ in range(60):
        world.step(np.zeros((150, 2)))
        effects.append(world.effects())
    later = np.diff(np.stack(effects)[CLEARED - 1 :], axis=0)
    assert (later[..., 0] >= 0).all() and (later[..., 1] <= 0).all()


@pytest.mark.parametrize("policy", ["random", "confounded", "separate"])
def test_invariants_hold_at_work_and_on_waking(domain, policy):
    for world in (domain, *(domain.shifted(name) for name in domain.shifts)):
        behaviour = world.behaviour(policy, world.instances, steps=60, seeds=range(150))
        seen, done = [world.reset(world.instances, steps=120, seeds=range(150))], []
        for step in range(120):
            done.append(behaviour.act(step, seen[-1]) if step < 60 else np.zeros((150, 2)))
            seen.append(world.step(done[-1]))
        statements = world.invariants(np.stack(seen, axis=1), np.stack(done, axis=1))
        assert [name for name, holds in statements.items() if not holds.all()] == []


def test_impossible_trajectories_break_invariants(domain):
    off, waking = np.zeros((30, 2)), np.column_stack([np.linspace(40, 97, 31), np.linspace(0.9, 0.1, 31)])

    def broken(change, actions=off):
        changed = waking.copy()
        for row, column, value in change:
            changed[row, column] = value
        return [name for name, holds in domain.invariants(changed, actions).items() if not holds.all()]

    assert broken([]) == []
    assert broken([(3, 0, 101.0)]) == ["the BIS lies in 0 to 100"]
    assert broken([(3, 1, -0.01)]) == ["tolerance is a probability"]
    assert broken([(28, 0, 50.0)]) == ["no deeper sleep from pumps long off"]
    assert broken([(28, 1, 0.95)]) == ["no more tolerance from pumps long off"]
    assert broken([(10, 0, 20.0), (10, 1, 0.99)]) == []  # drug may still be on its way
    assert broken([(28, 0, 50.0), (28, 1, 0.95)], off + 0.1) == []
    assert broken([(row, column, np.nan) for row in range(31) for column in (0, 1)]) == []


def test_policies_do_what_they_say(domain):
    data = {policy: collect(domain, policy=policy, steps=240, seed=0) for policy in domain.policies}
    rates = {policy: np.stack([episode.actions for episode in data[policy]]) for policy in domain.policies}
    both = {policy: (rate > 0).all(-1).mean() for policy, rate in rates.items()}
    assert both["random"] > 0.5 and both["separate"] == 0
    assert ((rates["separate"] > 0).any(1).sum(-1) == 1).all()
    given = {drug: (rates["separate"][..., drug] > 0).any(1).mean() for drug in (0, 1)}
    assert 0.35 < given[0] < 0.65
    changes = (np.diff(rates["random"], axis=1) != 0).mean()
    assert 0.03 < changes < 0.1, "rates last for minutes"
    outside = {policy: np.mean([domain.cost(e.observations[30:]) for e in data[policy]]) for policy in domain.policies}
    assert outside["confounded"] < outside["random"] - 0.1, "titration serves its purpose"


def test_titration_follows_the_reading_and_is_not_intended(domain):
    behaviour = domain.behaviour("confounded", PATIENTS, steps=240, seeds=[0, 1, 2])
    step = int(np.flatnonzero((behaviour.intended(0, 240)[:, :, 0] > 1).all(0))[0])
    planned = behaviour.intended(step, step + 1)[:, 0]
    acted = behaviour.act(step, np.array([[50.0, 0.5], [25.0, 0.5], [95.0, 0.5]]))
    assert acted[0, 0] == planned[0, 0] and acted[1, 0] == 0 and acted[2, 0] > planned[2, 0]
    assert np.array_equal(acted[:, 1], planned[:, 1])
    assert np.array_equal(behaviour.intended(step, step + 1)[:, 0], planned)


def test_interventions_have_the_effect_of_their_name(domain):
    effects = {}
    for name, intervention in domain.interventions.items():
        origins = draw_origins(
            domain, ids=PATIENTS, per_episode=6, rows=(60, 200), doing=intervention.doing or None, seed=1
        )
        done, undone = branch_effects(domain, interventions=[name], origins=origins, horizon=30, seed=1)
        effects[name] = (done.truth - undone.truth)[:, -10:].mean((0, 1))
        assert (done.plan.actions <= np.array([12.0, 0.25])).all()
    assert effects["double propofol"][0] < -5 and effects["double propofol"][1] > 0.02
    assert effects["add remifentanil"][0] < -1 and effects["add remifentanil"][1] > 0.05
    assert effects["stop both"][0] > 20 and effects["stop both"][1] < -0.2


def test_shifts_change_the_facts_they_name(domain):
    age, height, weight, _ = domain.static(domain.instances).T
    older, heavier = (domain.shifted(name).static(domain.instances).T for name in ("elderly", "obese"))
    assert age.max() <= 70 <= older[0].min() and np.array_equal(older[1], height)
    assert (weight / (height / 100) ** 2).max() < 32.5 < (heavier[2] / (height / 100) ** 2).min() + 0.3
    usual = [constant(world, 6.0, 0.2, 30)[:, 0].mean() for world in (domain, domain.shifted("elderly"))]
    assert usual[1] < usual[0] - 2, "the same rates put the old to deeper sleep"
    with pytest.raises(QuestionError, match="no shift 'children'"):
        domain.shifted("children")


def test_cost_counts_minutes_outside_surgical_anaesthesia(domain):
    levels = np.array([[39.9, 0.5], [40.0, 0.5], [50.0, 0.0], [60.0, 1.0], [60.1, 0.5], [97.0, 0.0]])
    assert domain.cost(levels).tolist() == [1, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("bad", [np.nan, -0.1, np.inf])
def test_impossible_actions_are_refused(domain, bad):
    domain.reset(PATIENTS, steps=5, seeds=[0, 1, 2])
    actions = np.zeros((3, 2))
    actions[1, 1] = bad
    with pytest.raises(QuestionError, match="not negative"):
        domain.step(actions)


def test_unknown_names_and_too_many_steps_are_refused(domain):
    with pytest.raises(QuestionError, match="no patient 'man#075'"):
        domain.reset(["man#075"], steps=5, seeds=[0])
    with pytest.raises(QuestionError, match="no policy 'bolus'"):
        domain.behaviour("bolus", PATIENTS, steps=5, seeds=[0, 1, 2])
    domain.reset(PATIENTS, steps=1, seeds=[0, 1, 2])
    domain.step(np.zeros((3, 2)))
    with pytest.raises(QuestionError, match="fewer steps"):
        domain.step(np.zeros((3, 2)))
