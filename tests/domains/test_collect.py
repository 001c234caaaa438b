import numpy as np
import pytest

from foreworld.domains.collect import branch, branch_effects, collect, draw_origins, instance_of
from foreworld.domains.glucose import Glucose
from foreworld.errors import QuestionError

PATIENTS = ("child#002", "adult#003", "adolescent#001")
HORIZON = 24


@pytest.fixture(scope="module")
def domain() -> Glucose:
    return Glucose()


def same(left, right) -> bool:
    fields = ("time", "observations", "actions", "static")
    return left.id == right.id and all(np.array_equal(getattr(left, name), getattr(right, name)) for name in fields)


@pytest.fixture(scope="module")
def record(domain):
    return collect(domain, instances=PATIENTS, episodes_per_instance=2, steps=150, seed=1)


def test_a_record_keeps_the_contract(domain, record):
    assert [episode.id for episode in record] == sorted(f"{name}{end}" for name in PATIENTS for end in ("", "/2"))
    for episode in record:
        assert episode.steps == 150 and episode.time[-1] == 750
        assert episode.observations.shape == (151, 1) and episode.actions.shape == (150, 3)
        assert np.isnan(episode.pending).all() and episode.known_future.shape == (151, 0)
        assert np.array_equal(episode.static, domain.static([episode.id.partition("/")[0]])[0])
    assert not np.array_equal(record[0].observations, record[1].observations)


def test_an_episode_depends_on_the_seed_and_its_id_alone(domain, record):
    alone = collect(domain, instances=["adult#003"], steps=100, seed=1)[0]
    assert same(alone, [episode for episode in record if episode.id == "adult#003"][0].until(100))
    assert not same(alone, collect(domain, instances=["adult#003"], steps=100, seed=2)[0])


def test_global_random_numbers_are_neither_used_nor_changed(domain, record):
    np.random.seed(7)
    before = np.random.get_state(legacy=False)
    again = collect(domain, instances=PATIENTS, episodes_per_instance=2, steps=150, seed=1)
    assert all(same(left, right) for left, right in zip(record, again, strict=True))
    after = np.random.get_state(legacy=False)
    assert (
        np.array_equal(before["state"]["key"], after["state"]["key"])
        and before["state"]["pos"] == after["state"]["pos"]
    )


def test_branches_begin_where_the_record_was(domain, record):
    origins = [("adult#003", 60), ("child#002/2", 101), ("adult#003", 90)]
    cases = branch(domain, origins=origins, horizon=HORIZON, alternatives=3, seed=1)
    by_id = {episode.id: episode for episode in record}
    assert cases.group == tuple(instance_of(id) for id, _ in origins for _ in range(3))
    for index, history in enumerate(cases.histories):
        id, row = origins[index // 3]
        assert same(history, by_id[id].until(row))
        assert np.array_equal(history.pending, cases.plan.actions[index, 0])
        assert np.array_equal(cases.plan.time[index], (row + 1 + np.arange(HORIZON)) * 5.0)
    assert cases.truth.shape == (9, HORIZON, 1) and np.isfinite(cases.truth).all()
    again = branch(domain, origins=origins, horizon=HORIZON, alternatives=3, seed=1)
    assert np.array_equal(cases.truth, again.truth) and np.array_equal(cases.plan.actions, again.plan.actions)


def test_every_branch_has_its_own_chance(domain):
    cases = branch(domain, origins=[("adult#003", 60)], horizon=HORIZON, alternatives=8, seed=0)
    steps = np.unique(cases.truth[:, 3:, 0], axis=0)
    assert len(steps) == 8


@pytest.mark.parametrize("policy", ["random", "confounded"])
def test_without_the_intervention_the_record_goes_on_bit_by_bit(domain, policy):
    record = {e.id: e for e in collect(domain, policy=policy, instances=PATIENTS, steps=150, seed=3)}
    origins = [(name, row) for name in PATIENTS for row in (40, 77, 113)]
    _, without = branch_effects(
        domain, interventions=["correction"], policy=policy, origins=origins, horizon=HORIZON, seed=3
    )
    repeated = 0
    for index, (name, row) in enumerate(origins):
        if np.array_equal(without.plan.actions[index], record[name].actions[row : row + HORIZON]):
            assert np.array_equal(without.truth[index], record[name].observations[row + 1 : row + 1 + HORIZON])
            repeated += 1
    assert repeated >= 5, "too few origins after which the record kept to its intention"


def test_effects_have_the_sign_of_their_cause_and_no_chance_in_them(domain):
    origins = draw_origins(domain, ids=PATIENTS, per_episode=4, rows=(80, 250), doing="carbs", seed=5)
    names = list(domain.interventions)
    *done, without = branch_effects(domain, interventions=names, origins=origins, horizon=HORIZON, seed=5)
    effects = {}
    for name, with_it in zip(names, done, strict=True):
        effects[name] = (with_it.truth - without.truth)[..., 0]
        assert [e.id for e in with_it.histories] == [e.id for e in without.histories]
    alone = branch_effects(domain, interventions=names[-1:], origins=origins, horizon=HORIZON, seed=5)
    assert all(np.array_equal(a.truth, b.truth) for a, b in zip(alone, (done[-1], without), strict=True))
    assert (effects["correction"] <= 0).all() and (effects["correction"][:, -1] < -2).mean() > 0.8
    assert (effects["double correction"] <= effects["correction"]).all()
    # A smaller meal leaves the stomach a little sooner, so that glucose may be higher by a fraction at first.
    assert (effects["half meal"] <= 1).all() and (effects["half meal"].min(axis=1) < -1).mean() > 0.8


def test_origins_are_meals_where_a_meal_is_asked_for(domain):
    origins = draw_origins(domain, ids=PATIENTS, per_episode=3, rows=(50, 287), doing="carbs", seed=2)
    assert len(set(origins)) == 9 and all(50 <= row <= 287 for _, row in origins)
    with_it, without = branch_effects(domain, interventions=["half meal"], origins=origins, horizon=2, seed=2)
    assert (without.plan.actions[:, 0, 2] > 0).all()
    np.testing.assert_allclose(with_it.plan.actions[:, 0, 2] * 2, without.plan.actions[:, 0, 2])


def test_questions_that_make_no_sense_are_refused(domain):
    with pytest.raises(QuestionError, match="no intervention 'surgery'.*correction"):
        branch_effects(domain, interventions=["surgery"], origins=[("adult#003", 5)], horizon=2)
    with pytest.raises(QuestionError, match="no meal to halve.*adult#003"):
        branch_effects(domain, interventions=["half meal"], origins=[("adult#003", 5)], horizon=2)
    with pytest.raises(QuestionError, match="no action 'insulin'.*basal, bolus, carbs"):
        draw_origins(domain, ids=PATIENTS, per_episode=1, rows=(0, 9), doing="insulin")
