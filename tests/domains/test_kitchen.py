import numpy as np
import pytest

from foreworld.domains import kitchen_arm as arm
from foreworld.domains import kitchen_policy as orders
from foreworld.domains import mujoco as robots
from foreworld.domains.base import Domain, join, split, take
from foreworld.domains.collect import branch_effects, collect
from foreworld.domains.kitchen import CABINET, HINGES, KETTLE, MICROWAVE, NAMES, STARTS, Kitchen
from foreworld.errors import MissingExtraError, QuestionError

KITCHENS = ("loose#003", "normal#000", "stiff#011")
HAND = slice(NAMES.index("hand_x"), NAMES.index("hand_z") + 1)


@pytest.fixture(scope="module")
def domain() -> Kitchen:
    return Kitchen()


@pytest.fixture(scope="module")
def simulation() -> robots.Simulation:
    return arm.kitchen()


@pytest.fixture(scope="module")
def planner(simulation) -> arm.Planner:
    return arm.Planner(simulation)


@pytest.fixture(scope="module")
def record(domain):
    """Six attempts or so in each of six kitchens."""
    return collect(domain, instances=[f"{kind}#{n:03d}" for kind in HINGES for n in (1, 2)], steps=60, seed=1)


def follow(domain, plan):
    return np.stack([domain.step(plan[:, step]) for step in range(plan.shape[1])], axis=1)


@pytest.mark.filterwarnings("ignore")
def test_arm_and_objects_go_where_the_packages_own_environment_takes_them(simulation):
    from gymnasium_robotics.envs.franka_kitchen.kitchen_env import KitchenEnv

    env = KitchenEnv(robot_noise_ratio=0.0, object_noise_ratio=0.0)
    env.reset(seed=0)
    simulation.begin(arm.HOME)
    np.testing.assert_array_equal(env.robot_env.data.qpos, simulation.data.qpos)
    for velocity in np.random.default_rng(0).uniform(-1, 1, size=(6, 8)):
        arm.drive(simulation, velocity)
        for _ in range(arm.FRAMES):
            env.step(np.append(velocity, velocity[-1]) / arm.TOP_SPEED)
    theirs = env.robot_env.data.qpos
    assert np.abs(theirs - arm.HOME)[: arm.JOINTS].max() > 0.1
    np.testing.assert_allclose(simulation.data.qpos, theirs, rtol=0, atol=1e-6)


def test_the_planner_knows_where_the_arm_goes_in_free_air(simulation, planner):
    for goal in ((-0.3, 0.3, 2.2), (-0.31, 0.5, 2.28)):
        simulation.begin(arm.HOME)
        planner.restart()
        for velocity in planner.reach(np.array(goal), 14):
            arm.drive(simulation, np.append(velocity, 0.0))
        assert np.abs(planner.joints - simulation.data.qpos[: arm.JOINTS]).max() < 0.12
        np.testing.assert_allclose(planner.hand, goal, atol=0.02)
        simulation.library.mj_kinematics(simulation.model, simulation.data)
        np.testing.assert_allclose(simulation.data.site("end_effector").xpos, goal, atol=0.06)


@pytest.mark.parametrize(
    ("task", "place", "start", "least"),
    [
        ("cabinet", CABINET, 0.0, 0.1),
        ("kettle", KETTLE.stop - 1, 0.35, 0.03),
        ("microwave shut", MICROWAVE, -0.8, 0.2),
    ],
)
def test_an_attempt_at_an_object_moves_it(simulation, planner, task, place, start, least):
    moved = []
    for seed in range(2):
        positions = arm.HOME.copy()
        positions[place] = start
        simulation.begin(positions)
        planner.restart()
        for order in orders.attempt(planner, task, np.random.default_rng(seed)):
            arm.drive(simulation, order)
        moved.append(abs(simulation.data.qpos[place] - start))
    assert max(moved) > least


def test_most_episodes_move_an_object(record):
    objects = [NAMES.index(name) for name in ("light", "cabinet", "microwave", "kettle_x", "kettle_y")]
    moved = np.stack([np.ptp(episode.observations[:, objects], axis=0) for episode in record])
    assert (moved > [0.1, 0.03, 0.1, 0.03, 0.03]).any(axis=1).mean() >= 0.5


def test_it_is_a_domain_and_its_invariants_hold(domain, record):
    assert isinstance(domain, Domain)
    train, test = split(domain.instances, 1)
    assert {name.partition("#")[0] for name in test} == set(HINGES) and len(train) + len(test) == 48
    observations, actions = (np.stack([getattr(e, name) for e in record]) for name in ("observations", "actions"))
    assert all(holds.all() for holds in domain.invariants(observations, actions).values())
    unknown = np.where(np.random.default_rng(0).random(observations.shape) < 0.3, np.nan, observations)
    assert all(holds.all() for holds in domain.invariants(unknown, actions).values())
    for name, wrong in (("cabinet", 0.6), ("microwave", 0.3), ("hand_x", -1.3)):
        broken = observations.copy()
        broken[2, 7, NAMES.index(name)] = wrong
        holds = np.stack(list(domain.invariants(broken, actions).values()))
        assert (~holds).sum() == 1 and not holds[:, 2].all()


def test_an_episode_depends_on_its_seed_and_id_alone(domain, record):
    alone = collect(domain, instances=["normal#002"], steps=20, seed=1)[0]
    assert np.array_equal(alone.observations, next(e for e in record if e.id == "normal#002").observations[:21])
    assert np.array_equal(alone.actions, next(e for e in record if e.id == "normal#002").actions[:20])


def test_a_restored_state_goes_on_bit_by_bit_in_contact(domain):
    plan = domain.behaviour("tasks", KITCHENS, steps=40, seeds=[3, 4, 5]).intended(0, 40)
    domain.reset(KITCHENS, steps=40, seeds=range(3))
    follow(domain, plan[:, :20])
    early = domain.snapshot()
    middle = follow(domain, plan[:, 20:28])
    late = domain.snapshot()
    rest = follow(domain, plan[:, 28:34])
    domain.restore(early)
    assert np.array_equal(follow(domain, plan[:, 20:28]), middle)
    domain.restore(join([take(late, [2, 0]), take(early, [1, 1])]))
    mixed = np.stack([plan[2, 28:34], plan[0, 28:34], plan[1, 20:26], plan[1, 20:26]])
    seen = follow(domain, mixed)
    assert np.array_equal(seen[:2], rest[[2, 0]]) and np.array_equal(seen[2:], middle[[1, 1], :6])


def test_new_chance_changes_measurements_and_nothing_else(domain):
    domain.reset(KITCHENS, steps=10, seeds=range(3))
    start, still = domain.snapshot(), np.zeros((3, 3, 8))
    first, state = follow(domain, still), domain.snapshot()["state"]
    domain.restore(start, seeds=[7, 8, 9])
    second = follow(domain, still)
    assert np.array_equal(state, domain.snapshot()["state"]) and (first != second).all()
    assert np.abs(first - second)[..., HAND].max() < 0.03


def test_kitchens_differ_in_friction_that_nobody_sees(domain):
    assert domain.static(KITCHENS)[:, 0].tolist() == [0, 1, 2]
    model = domain._loaded().model
    frictions = []
    for name in KITCHENS:
        domain._hang(name)
        frictions.append(model.dof_frictionloss[list(STARTS)].copy())
    loose, normal, stiff = np.array(frictions)
    assert (loose < normal).all() and (normal < stiff).all()


def test_careful_slows_down_near_the_furniture(domain):
    tasks, careful = (domain.behaviour(name, KITCHENS, steps=30, seeds=range(3)) for name in domain.policies)
    seen = np.zeros((3, len(NAMES)))
    assert NAMES[orders.FORWARD] == "hand_y"
    assert np.array_equal(tasks.act(0, seen), careful.act(0, seen))
    seen[:, NAMES.index("hand_y")] = 0.6
    np.testing.assert_allclose(careful.act(0, seen)[:, :7], 0.4 * tasks.act(0, seen)[:, :7])
    longer = domain.behaviour("tasks", KITCHENS, steps=45, seeds=range(3))
    assert np.array_equal(longer.intended(0, 30), tasks.intended(0, 30))


def test_stopping_the_arm_matters_and_other_plans_stay_within_limits(domain):
    done, undone = branch_effects(domain, interventions=["stop"], origins=[(KITCHENS[1], 10)], horizon=12)
    assert np.abs(done.truth - undone.truth)[0, -1, :2].max() > 0.05
    plan = domain.behaviour("tasks", KITCHENS, steps=24, seeds=range(3)).intended(0, 24)
    others = [domain.alternatives(KITCHENS, plan, [seed] * 3) for seed in range(12)]
    assert np.abs(others).max() <= arm.TOP_SPEED
    assert len(np.unique(np.round([other[0].sum() for other in others], 6))) >= 4


def test_cost_is_zero_at_the_goals_of_the_package(domain):
    goal = np.zeros(len(NAMES))
    for name, value in (("light", -0.69), ("cabinet", 0.37), ("microwave", -0.75), ("kettle_x", -0.23)):
        goal[NAMES.index(name)] = value
    goal[NAMES.index("kettle_y")] = 0.75
    assert domain.cost(goal[None])[0] == 0 < domain.cost(0.9 * goal[None])[0]


def test_bad_requests_get_one_clear_error(domain, monkeypatch):
    domain.reset(KITCHENS, steps=1, seeds=range(3))
    with pytest.raises(QuestionError, match="within 2 rad/s"):
        domain.step(np.full((3, 8), np.nan))
    domain.step(np.zeros((3, 8)))
    with pytest.raises(QuestionError, match="fewer steps"):
        domain.step(np.zeros((3, 8)))
    with pytest.raises(QuestionError, match="no kitchen 'posh#000'"):
        domain.static(["posh#000"])
    with pytest.raises(QuestionError, match="no policy 'best'"):
        domain.behaviour("best", KITCHENS, steps=1, seeds=range(3))
    with pytest.raises(QuestionError, match="no shift 'dark'"):
        domain.shifted("dark")
    monkeypatch.setattr(robots, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"foreworld\[robotics\]"):
        Kitchen()
