from importlib import import_module

import numpy as np
import pytest

from foreworld.domains import mujoco as robots
from foreworld.domains.base import Domain, join, split, take
from foreworld.domains.collect import branch, branch_effects, collect
from foreworld.domains.maze import RADIUS, Maze
from foreworld.domains.maze_layout import LAYOUTS, build, centres, floor
from foreworld.errors import MissingExtraError, QuestionError

BALLS = ("large#003", "medium#000", "open#007", "u#011")


@pytest.fixture(scope="module")
def domain() -> Maze:
    return Maze()


def follow(domain, plan):
    return np.stack([domain.step(plan[:, step]) for step in range(plan.shape[1])], axis=1)


def clearance(places, layout):
    """From the ball's centre to the nearest wall."""
    gaps = np.maximum(np.abs(places.reshape(-1, 1, 2) - centres(layout, open_=False)) - 0.5, 0)
    return np.hypot(*np.moveaxis(gaps, -1, 0)).min(axis=1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_ball_goes_where_the_packages_own_environment_takes_it(layout):
    from gymnasium_robotics.envs.maze.point_maze import PointMazeEnv

    env = PointMazeEnv(maze_map=(1 - floor(layout).astype(int)).tolist(), continuing_task=True)
    env.reset(seed=0)
    ours = robots.Simulation(build(layout, float(env.model.body("particle").mass[0]), 1.0))
    ours.begin(env.data.qpos)
    theirs, mine = [], []
    for forces in np.random.default_rng(0).uniform(-0.4, 0.4, size=(12, 2)):
        ours.data.ctrl[:] = forces
        for _ in range(20):
            theirs.append(env.step(forces)[0]["observation"])
            ours.data.qvel[:] = np.clip(ours.data.qvel, -5, 5)
            ours.step()
            mine.append(np.concatenate([ours.data.qpos, ours.data.qvel]))
    assert np.ptp(theirs, axis=0)[:2].max() > 1.5, "it moves, and meets walls"
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-6)


def test_it_is_a_domain_whose_splits_know_every_layout(domain):
    assert isinstance(domain, Domain)
    train, test = split(domain.instances, 0)
    assert {name.partition("#")[0] for name in test} == set(LAYOUTS) == {name.partition("#")[0] for name in train}


def test_an_episode_depends_on_its_seed_and_id_alone(domain):
    together = {e.id: e for e in collect(domain, instances=BALLS, steps=40, seed=3)}
    alone = collect(domain, instances=BALLS[1:2], steps=70, seed=3)[0]
    assert np.array_equal(alone.observations[:41], together[BALLS[1]].observations)
    assert not np.array_equal(alone.observations, collect(domain, instances=BALLS[1:2], steps=70)[0].observations)


def test_a_restored_state_goes_on_bit_by_bit(domain):
    plan = domain.behaviour("random", BALLS, steps=90, seeds=range(4)).intended(0, 90)
    domain.reset(BALLS, steps=90, seeds=range(4))
    follow(domain, plan[:, :30])
    early = domain.snapshot()
    middle = follow(domain, plan[:, 30:50])
    late = domain.snapshot()
    rest = follow(domain, plan[:, 50:80])
    domain.restore(early)
    assert np.array_equal(follow(domain, plan[:, 30:50]), middle)
    domain.restore(join([take(late, [2, 0]), take(early, [1, 1])]))
    mixed = np.stack([plan[2, 50:70], plan[0, 50:70], plan[1, 30:50], plan[1, 30:50]])
    places = follow(domain, mixed)
    assert np.array_equal(places[:2], rest[[2, 0], :20]) and np.array_equal(places[2:], middle[[1, 1]])


def test_new_chance_leaves_the_past_alone_and_parts_the_future(domain):
    domain.reset(BALLS, steps=40, seeds=range(4))
    still = np.zeros((4, 20, 2))
    follow(domain, still)
    start = domain.snapshot()
    first = follow(domain, still)
    domain.restore(start, seeds=[5, 6, 7, 8])
    second = follow(domain, still)
    assert np.array_equal(first[:, 0], second[:, 0]), "the present disturbance lives on for a row"
    assert (first[:, 3] != second[:, 3]).any(axis=-1).all()
    again = domain.snapshot()["innovations"]
    assert np.array_equal(again[:, :21], start["innovations"][:, :21]) and (again[:, 21:] != first[0, 0, 0]).all()


def test_walls_stop_the_strongest_push_and_invariants_notice_a_ball_inside_one(domain):
    rng = np.random.default_rng(0)
    plan = np.repeat(rng.choice([-100.0, 100.0], size=(4, 12, 2)), 5, axis=1)
    start = domain.reset(BALLS, steps=60, seeds=range(4))
    states = np.concatenate([start[:, None], follow(domain, plan)], axis=1)
    assert np.abs(states[..., 2:4]).max() > 4.9
    for name, places in zip(BALLS, states[..., :2], strict=True):
        assert clearance(places, name.partition("#")[0]).min() > 0
    assert all(holds.all() for holds in domain.invariants(states, plan).values())
    unknown = np.where(rng.random(states.shape) < 0.3, np.nan, states)
    assert all(holds.all() for holds in domain.invariants(unknown, plan).values())
    away, fast = states.copy(), states.copy()
    away[0, 30:, 0] += 7
    fast[1, 30:, 1] += 1
    floors, speed = (domain.invariants(bad, plan) for bad in (away, fast))
    assert not floors["the ball is where some maze has a floor"][0]
    assert speed["the ball is no faster than 5 m/s along an axis"].tolist() == [True, False, True, True]


def test_the_ranges_are_those_that_a_ray_measures(domain):
    """MuJoCo's own ray caster from the ball's centre, which does not see the ball."""
    mujoco = import_module("mujoco")
    for name in BALLS:
        observed = domain.reset([name] * 6, steps=1, seeds=range(6))
        simulation = domain._simulation(name)
        for x, y, _, _, *walls in observed:
            simulation.begin(np.array([x, y]))
            ball = simulation.model.body("particle").id
            for wall, direction in zip(walls, [(1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0)], strict=True):
                ray = np.array([x, y, 0.1]), np.array(direction, float), None, 1, ball, np.zeros(1, np.int32)
                assert mujoco.mj_ray(simulation.model, simulation.data, *ray) == pytest.approx(wall, abs=1e-6)


def test_in_the_open_the_ball_obeys_newton(domain):
    """m v' = F - c v without disturbance: v(t) = F/c (1 - exp(-c t / m))."""
    calm = Maze(disturbance=0.0)
    names = [f"open#{index:03d}" for index in range(12)]
    calm.reset(names, steps=3, seeds=range(12))
    mass, damping = calm.static(names)[:, 0], np.array([calm._damping[name] for name in names])
    velocity = follow(calm, np.tile([4.0, 0.0], (12, 3, 1)))[..., 2]
    expected = 4 / damping * (1 - np.exp(-damping * 0.1 / mass))
    np.testing.assert_allclose(velocity[:, 0], expected, rtol=0.03)
    assert np.ptp(mass) > 3 and np.ptp(damping) > 4


def test_homing_looks_where_the_ball_is_and_the_random_policy_does_not(domain):
    here = np.zeros((4, 8))
    there = here + np.array([2.0, 0, 0, 0, 0, 0, 0, 0])
    random, homing = (domain.behaviour(name, BALLS, steps=20, seeds=range(4)) for name in domain.policies)
    assert np.array_equal(random.act(5, here), random.act(5, there))
    np.testing.assert_allclose((homing.act(5, here) - homing.act(5, there))[:, 0], 8.0)
    longer = domain.behaviour("random", BALLS, steps=50, seeds=range(4))
    assert np.array_equal(longer.intended(0, 20), random.intended(0, 20))


def test_effects_are_material_and_branches_follow_other_plans(domain):
    origins = [(name, row) for name in BALLS for row in (20, 40)]
    for name in domain.interventions:
        done, undone = branch_effects(domain, interventions=[name], origins=origins, horizon=30)
        assert np.abs(done.truth - undone.truth)[:, -1].mean() > 2 * RADIUS
    cases = branch(domain, origins=origins, horizon=30)
    assert np.hypot(*np.moveaxis(cases.plan.actions, -1, 0)).max() <= 15


def test_shifts_are_what_they_say(domain):
    slippery, shaken = (domain.shifted(name) for name in domain.shifts)
    plan = np.tile([5.0, 0.0], (4, 30, 1))
    speeds = []
    for world in (domain, slippery):
        world.reset(("open#001",) * 4, steps=30, seeds=range(4))
        speeds.append(follow(world, plan)[..., 2].max(axis=1))
    assert (speeds[1] > 1.1 * speeds[0]).all()
    for world in (domain, shaken):
        world.reset(BALLS, steps=1, seeds=range(4))
    np.testing.assert_allclose(shaken.snapshot()["force"], 2 * domain.snapshot()["force"])


def test_bad_requests_get_one_clear_error(domain, monkeypatch):
    domain.reset(BALLS, steps=1, seeds=range(4))
    with pytest.raises(QuestionError, match="within 100 N"):
        domain.step(np.full((4, 2), np.nan))
    domain.step(np.zeros((4, 2)))
    with pytest.raises(QuestionError, match="fewer steps"):
        domain.step(np.zeros((4, 2)))
    with pytest.raises(QuestionError, match="no ball 'tiny#000'"):
        domain.reset(["tiny#000"], steps=1, seeds=[0])
    with pytest.raises(QuestionError, match="no policy 'best'"):
        domain.behaviour("best", BALLS, steps=1, seeds=range(4))
    with pytest.raises(QuestionError, match="no shift 'windy'"):
        domain.shifted("windy")
    monkeypatch.setattr(robots, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"foreworld\[robotics\]"):
        Maze()
