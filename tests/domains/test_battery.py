import numpy as np
import pytest

from foreworld.data.plan import cut
from foreworld.domains import battery_cell as cell
from foreworld.domains.battery import ROW, SUBSTEPS, Battery
from foreworld.domains.collect import branch_effects, collect
from foreworld.errors import QuestionError
from foreworld.testing import check_domain

NAMES = ("new#003", "used#010", "worn#017")


@pytest.fixture(scope="module")
def domain() -> Battery:
    return Battery()


def test_it_is_a_domain(domain):
    check_domain(domain, instances=1, steps=6)


def test_the_cell_is_pybamms():
    import pybamm

    currents = np.repeat(np.random.default_rng(0).uniform(-5, 7.5, 5), 6)
    cells = cell.Cells(np.ones(1), np.full(1, 0.005), np.full(1, 20.0))
    air = np.full(1, 25.0)
    state = cell.initial(np.full(1, 0.6), air)
    window = cell._export().window
    stoichiometry = [low + 0.6 * (high - low) for low, high in ((window[0], window[1]), (window[3], window[2]))]
    fixed: dict[str, float] = dict(zip(cell.INPUTS[1:], (298.15, 20.0, 0.005, *cell._export().active), strict=True))
    for side, share in zip(("negative", "positive"), stoichiometry, strict=True):
        most = pybamm.ParameterValues("Chen2020")[f"Maximum concentration in {side} electrode [mol.m-3]"]
        fixed[f"Initial concentration in {side} electrode [mol.m-3]"] = share * most
    simulation, solution = cell.built(fixed, pybamm.IDAKLUSolver(rtol=1e-8, atol=1e-8)), None
    for current in currents:
        given = {cell.INPUTS[0]: float(current)}
        solution = simulation.step(ROW, starting_solution=solution, inputs=given, save=False)
        for _ in range(SUBSTEPS):
            state = cell.advance(state, cells, np.full(1, current), air)
        volts = cell.voltage(state, cells, np.full(1, current), air)[0]
        assert volts == pytest.approx(solution["Voltage [V]"].entries[-1], abs=5e-4)
        kelvin = solution["Volume-averaged cell temperature [K]"].entries[-1]
        assert cell.temperature(state)[0] == pytest.approx(kelvin - cell.KELVIN, abs=5e-3)


@pytest.mark.parametrize("requested", [-5.0, 7.5])
def test_the_management_system_holds_the_limits_and_stops_no_earlier(requested):
    cells = cell.Cells(np.array([1.0, 0.8]), np.array([0.002, 0.03]), np.array([20.0, 8.0]))
    air = np.array([30.0, 0.0])
    state = cell.initial(np.full(2, 0.8 if requested < 0 else 0.2), air)
    limit = cell.HIGHEST if requested < 0 else cell.LOWEST
    flowed = eased = np.zeros(2, dtype=bool)
    for _ in range(160):
        state, flowed = cell.managed(state, cells, np.full(2, requested), air)
        volts = cell.voltage(state, cells, flowed, air)
        assert ((volts >= cell.LOWEST) & (volts <= cell.HIGHEST)).all()
        eased = np.abs(flowed) < np.abs(requested) - 0.01
        assert (~eased | (np.abs(volts - limit) < 0.01)).all()
    assert eased.all() and (flowed * requested >= 0).all()


def test_a_hot_cell_is_spared():
    cells, air = cell.Cells(np.ones(3), np.full(3, 0.005), np.full(3, 20.0)), np.full(3, 20.0)
    state = cell.initial(np.full(3, 0.5), np.array([54.0, 57.5, 61.0]))
    _, flowed = cell.managed(state, cells, np.full(3, 4.0), air)
    np.testing.assert_allclose(flowed, [4, 2, 0], atol=1e-9)


def test_a_charge_that_flows_is_counted_and_warms(domain):
    domain.reset(NAMES, steps=40, seeds=[1, 2, 3])
    rows = [domain.step(np.full((3, 1), 5.0)) for _ in range(20)]
    np.testing.assert_allclose(rows[-1][:, 3], 5.0 * 20 * ROW / 3600)
    assert (rows[-1][:, 1] > rows[0][:, 1] + 1).all()
    assert (rows[-1][:, 0] < rows[0][:, 0]).all()


def test_worn_cells_fall_further_and_only_their_cycles_show(domain):
    cycles = domain.static(domain.instances)[:, 0]
    assert cycles[:20].max() <= 300 <= cycles[20:40].max() and cycles[40:].min() >= 600
    drawn = domain._drawn(domain.instances)
    assert np.corrcoef(cycles, drawn[:, 1])[0, 1] < -0.7 and np.corrcoef(cycles, drawn[:, 2])[0, 1] > 0.5
    assert domain._drawn(["worn#017", "new#003"]).tolist() == drawn[[57, 3]].tolist()


def test_shifts_are_what_they_say(domain):
    ends = []
    for world in (domain, domain.shifted("cold"), domain.shifted("aged")):
        world.reset(NAMES, steps=6, seeds=[0, 1, 2])
        ends.append([world.step(np.full((3, 1), 4.0)) for _ in range(6)][-1])
    usual, cold, aged = ends
    assert (np.abs(cold[:, 4] - 5) < 5).all() and (usual[:, 4] > 10).all()
    assert (cold[:, 0] < usual[:, 0] - 0.02).all() and (aged[:, 0] < usual[:, 0] - 0.07).all()
    with pytest.raises(QuestionError, match="no shift 'hot'"):
        domain.shifted("hot")


def test_a_fast_charge_raises_voltage_and_rest_cools(domain):
    origins = [(name, 6) for name in NAMES]
    done, undone = branch_effects(domain, interventions=["fast charge"], origins=origins, horizon=8)
    rests, _ = branch_effects(domain, interventions=["rest"], origins=origins, horizon=8)
    assert (done.truth[:, -1, 0] >= rests.truth[:, -1, 0]).all()
    assert (done.truth[:, -1, 1] > rests.truth[:, -1, 1]).all()
    assert np.abs(done.truth - undone.truth).max() > 0.1


def test_forecasts_that_break_physics_are_found(domain):
    observations = np.tile([3.7, 25.0, 0.0, 0.0, 25.0], (4, 5, 1))
    actions = np.zeros((4, 4, 1))
    observations[0, 2, 0] = 4.3
    observations[1, 3:, 1] = 35
    actions[2, :2, 0], actions[2, 2:, 0] = -3, 3  # and the voltage does not move
    broken = {words: (~holds).tolist() for words, holds in domain.invariants(observations, actions).items()}
    assert broken["the voltage stays within the window"] == [True, False, False, False]
    assert broken["heat comes and goes slowly"] == [False, True, False, False]
    assert broken["the voltage falls when charge turns to discharge"] == [False, False, True, False]


def test_the_equivalent_circuit_forecasts_other_cells(domain):
    train = collect(domain, instances=domain.instances[::15], steps=120)
    test = collect(domain, instances=("new#005", "worn#006"), steps=120)
    cases = cut(test, [(index, row) for index in range(2) for row in (70, 84, 98)], 20)
    circuit = domain.baselines["equivalent circuit"](train, 20)
    drawn = circuit.forecast(cases.histories, cases.plan, members=50)
    error = drawn.mean(0) - cases.truth
    last = np.stack([history.observations[-1, :2] for history in cases.histories])[:, None]
    assert (np.square(error).mean((0, 1)) < 0.2 * np.square(last - cases.truth).mean((0, 1))).all()
    assert drawn.shape == (50, 6, 20, 2) and (drawn.std(0) > 0).all()


def test_what_cannot_be_asked_is_refused(domain):
    with pytest.raises(QuestionError, match="no cell 'old#000'"):
        domain.static(["old#000"])
    with pytest.raises(QuestionError, match="no policy 'greedy'"):
        domain.behaviour("greedy", NAMES, steps=3, seeds=[0, 1, 2])
    domain.reset(NAMES, steps=1, seeds=[0, 1, 2])
    with pytest.raises(QuestionError, match="must be known"):
        domain.step(np.array([[1.0], [np.nan], [0.0]]))
    domain.step(np.zeros((3, 1)))
    with pytest.raises(QuestionError, match="fewer steps"):
        domain.step(np.zeros((3, 1)))
