import numpy as np
import pytest

from foreworld.domains import process_plant as plant
from foreworld.domains.process import FAULT_ROW, MEASURED, NAMES, VALVES, Process
from foreworld.errors import QuestionError
from foreworld.testing import check_domain

PLANTS = ("mode1#002", "mode3#005")
PRESSURE, LEVEL, TEMPERATURE = (NAMES.index(f"reactor_{name}") for name in ("pressure", "level", "temperature"))


@pytest.fixture(scope="module")
def domain() -> Process:
    return Process()


def follow(domain, plan):
    return np.stack([domain.step(plan[:, step]) for step in range(plan.shape[1])], axis=1)


def test_it_is_a_domain(monkeypatch):
    monkeypatch.setattr(Process, "shifts", ("fault 4",))  # of 28
    check_domain(Process(), instances=1, steps=FAULT_ROW + 2)


def test_columns_are_those_of_the_simulator():
    package = plant.load()
    theirs = [variable.name.removesuffix("_meas") for variable in package.TEP_SCHEMA.measurements]
    assert list(MEASURED) == theirs and len(theirs) == 41
    valves = [variable.name for variable in package.TEP_SCHEMA.manipulated_variables]
    assert [f"{name}_valve" for name in VALVES] == [valves[index] for index in plant.LED_VALVES]
    assert [valves[index] for index in plant.FREE_VALVES.values()] == list(plant.FREE_VALVES)


def test_a_run_is_the_packages_own_closed_loop():
    from tep_studio.control import ClosedLoopSimulation

    package = plant.load()
    ours = plant.begin("mode1", 7)
    for _ in range(2):
        ours.advance(plant.base_handles("mode1"), np.zeros(28))
    controller = package.RickerMultiLoopController(enable_overrides=True)
    loop = ClosedLoopSimulation(
        simulator=package.TennesseeEastmanProcess(ms_flag=plant.FLAGS),
        controller=controller,
        control_interval=plant.CONTROL,
        horizon=2 * plant.CONTROL * plant.LOOKS,
    )
    controller.setpoints = plant._setpoints("mode1")
    theirs = loop.run(seed=plant.noise_seed(7))
    np.testing.assert_allclose(ours.measured, theirs.results[-1].measurements, rtol=1e-9)


def test_chance_alone_is_redrawn(domain):
    plan = domain.behaviour("random", PLANTS, steps=6, seeds=[0, 1]).intended(0, 6)
    domain.reset(PLANTS, steps=6, seeds=[3, 4])
    follow(domain, plan[:, :3])
    start = domain.snapshot()
    first = follow(domain, plan[:, 3:])
    domain.restore(start)
    assert np.array_equal(follow(domain, plan[:, 3:]), first)
    domain.restore(start, seeds=[8, 9])
    again = follow(domain, plan[:, 3:])
    assert (again[..., PRESSURE] != first[..., PRESSURE]).all()
    np.testing.assert_allclose(again[..., PRESSURE], first[..., PRESSURE], atol=15)
    assert plant._generators().sum() == 3


def test_setpoints_are_reached(domain):
    domain.reset(PLANTS, steps=25, seeds=[0, 1])
    plan = np.stack([plant.base_handles(name[:5]) for name in PLANTS])[:, None].repeat(25, 1)
    plan[..., 4] += [[1.5], [-1.5]]
    seen = follow(domain, plan)
    np.testing.assert_allclose(seen[:, -5:, TEMPERATURE].mean(1), plan[:, 0, 4], atol=0.1)


def test_free_valves_stand_where_they_are_put():
    one = plant.begin("mode1", 0)
    handles = plant.base_handles("mode1").copy()
    handles[9:] = 30, 40, 60
    one.advance(handles, np.zeros(28))
    np.testing.assert_allclose(one.valves[list(plant.FREE_VALVES.values())], [30, 40, 60])


def test_valves_alone_shut_the_plant_down_and_it_stands_still(domain):
    domain.reset(PLANTS[:1], steps=4, seeds=[0])
    plan = plant.base_handles("mode1")[None, None].repeat(4, 1).copy()
    plan[..., 4] = 200  # a setpoint of 200 degC closes the cooling water
    seen = follow(domain, plan)
    running = seen[0, :, -1]
    assert running[-1] == 0 and (np.diff(running) <= 0).all()
    stopped = int(running.argmin())
    assert (seen[0, stopped:] == seen[0, stopped]).all()
    assert domain.cost(seen)[0, -1] == 100
    assert all(holds.all() for holds in domain.invariants(seen, plan[:, :-1]).values())


def test_a_fault_sets_in_at_its_row(domain):
    faulty = domain.shifted("fault 4")  # warmer cooling water of the reactor
    domain.reset(PLANTS, steps=FAULT_ROW + 3, seeds=[0, 1])
    start = {**domain.snapshot(), "row": np.full(2, FAULT_ROW - 1)}
    plan = np.stack([plant.base_handles(name[:5]) for name in PLANTS])[:, None].repeat(4, 1)
    domain.restore(start)
    usual = follow(domain, plan)
    faulty.restore(start)
    seen = follow(faulty, plan)
    assert np.array_equal(seen[:, 0], usual[:, 0])
    cooling = len(NAMES) + VALVES.index("reactor_cooling_water")
    assert (seen[:, -1, cooling] > usual[:, -1, cooling] + 1).all()
    assert len(domain.shifts) == 28


def test_operators_who_watch_answer_what_they_see(domain):
    watchful, blind = (domain.behaviour(name, PLANTS, steps=5, seeds=[0, 1]) for name in ("confounded", "random"))
    seen = domain.reset(PLANTS, steps=5, seeds=[0, 1])
    seen[:, PRESSURE] = blind.intended(2, 3)[:, 0, 2]
    high = seen.copy()
    high[:, PRESSURE] += 10
    assert np.array_equal(blind.act(2, seen), blind.act(2, high))
    assert (watchful.act(2, high)[:, 0] < watchful.act(2, seen)[:, 0]).all()
    assert np.array_equal(watchful.intended(0, 5), blind.intended(0, 5))


def test_forecasts_that_break_physics_are_found(domain):
    seen = np.repeat(domain.reset(PLANTS[:1], steps=3, seeds=[0])[:, None], 4, axis=1)
    actions = np.zeros((1, 3, 12))
    assert all(holds.all() for holds in domain.invariants(seen, actions).values())
    for name, value, words in (
        ("reactor_pressure", 3100, "the reactor holds its pressure"),
        ("reactor_level", -1, "the reactor is neither empty nor over full"),
        ("stripper_underflow_G_concentration", 104, "G and H make up no more than the product"),
    ):
        broken = seen.copy()
        broken[0, 2, NAMES.index(name)] = value
        assert [said for said, holds in domain.invariants(broken, actions).items() if not holds.all()] == [words]


def test_what_cannot_be_asked_is_refused(domain):
    with pytest.raises(QuestionError, match="no plant 'mode9#000'"):
        domain.static(["mode9#000"])
    with pytest.raises(QuestionError, match="no shift 'fault 29'"):
        domain.shifted("fault 29")
    domain.reset(PLANTS, steps=1, seeds=[0, 1])
    with pytest.raises(QuestionError, match="must be known"):
        domain.step(np.full((2, 12), np.nan))


def test_a_copy_goes_on_by_itself():
    one = plant.begin("mode3", 5)
    twin = one.copy()
    handles = plant.base_handles("mode3")
    one.advance(handles, np.zeros(28))
    before = twin.simulator.time
    assert before == 0 and one.simulator.time > 0
    twin.advance(handles, np.zeros(28))
    assert np.array_equal(one.measured, twin.measured)
