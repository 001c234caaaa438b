import numpy as np
import pytest

pytest.importorskip("fair")

from foreworld.domains import emissions_model as model
from foreworld.domains import emissions_paths as paths
from foreworld.domains.base import join, take
from foreworld.domains.collect import branch_effects, collect, draw_origins
from foreworld.domains.emissions import CONCENTRATION, ETA, GAMMA, TEMPERATURE, XI, Emissions, draw_climates
from foreworld.errors import QuestionError

NAMES = ("climate#003", "climate#040", "climate#077")


@pytest.fixture(scope="module")
def domain() -> Emissions:
    return Emissions()


def follow(domain, plan):
    return np.stack([domain.step(plan[:, step]) for step in range(plan.shape[1])], axis=1)


def fair_run(climates, response, emissions, years):
    """The same climates under the same emissions [year, gas], by `fair.FAIR.run`."""
    from fair import FAIR
    from fair.interface import fill, initialise
    from fair.io import read_properties

    count, c = len(climates.sensitivity), model.constants()
    fair = FAIR()
    fair.define_time(years[0], years[-1] + 1, 1)
    fair.define_scenarios(["path"])
    fair.define_configs([str(index) for index in range(count)])
    species, properties = read_properties(species=[*model.SPECIES, *model.FORCERS])
    properties["CO2"]["input_mode"], properties["N2O"]["input_mode"] = "emissions", "concentration"
    fair.define_species(species, properties)
    fair.allocate()
    fair.fill_species_configs()
    every = np.ones((1, 1, count))
    for column, name in enumerate(("CO2", "CH4", "Sulfur")):
        fill(fair.emissions, emissions[:, column, None, None] * every, specie=name)
    nitrous = np.interp(np.append(years, years[-1] + 1), *model.N2O_PATH)
    fill(fair.concentration, nitrous[:, None, None] * every, specie="N2O")
    for column, name in enumerate(("CO2", "CH4", "N2O")):
        fill(fair.species_configs["forcing_scale"], climates.gases[:, column], specie=name)
    fill(fair.species_configs["forcing_scale"], climates.ozone, specie="Ozone")
    for name in model.FORCERS[:2]:
        fill(fair.species_configs["forcing_scale"], climates.aerosol, specie=name)
    for name, column in (("iirf_0", 0), ("iirf_uptake", 1), ("iirf_airborne", 1), ("iirf_temperature", 2)):
        fill(fair.species_configs[name], c[name][0] * climates.uptake[:, column], specie="CO2")
    layers = {
        "ocean_heat_capacity": climates.capacity,
        "ocean_heat_transfer": np.column_stack([response.feedback, climates.transfer]),
        "deep_ocean_efficacy": climates.efficacy,
        "gamma_autocorrelation": GAMMA,
        "forcing_4co2": 2 * model.DOUBLING,
        "stochastic_run": False,
        "use_seed": False,
        "seed": 0,
        "sigma_eta": ETA,
        "sigma_xi": XI,
    }
    for name, values in layers.items():
        fill(fair.climate_configs[name], values)
    initialise(fair.concentration, fair.species_configs["baseline_concentration"])
    for name in ("forcing", "temperature", "cumulative_emissions", "airborne_emissions", "ocean_heat_content_change"):
        initialise(getattr(fair, name), 0)
    fair.run(progress=False)
    return fair


def test_years_are_those_of_a_whole_run_of_fair(domain):
    years = np.arange(1750, 2101)
    emissions = paths.history(years + 0.5)
    emissions[years > 2040] *= [-0.2, 0.4, 0.3]
    climates = draw_climates(domain.instances).take(np.array([0, 20, 50, 90]))
    response = model.respond(climates, eta=ETA, xi=XI, gamma=GAMMA)
    fair = fair_run(climates, response, emissions, years)
    state = model.preindustrial(4)
    for year, emitted in zip(years, emissions, strict=True):
        state = model.advance(
            state, climates, response, np.repeat(emitted[None], 4, 0), np.full(4, year), np.zeros((4, 4))
        )
    np.testing.assert_allclose(state.layers[:, 1:], fair.temperature[-1, 0].to_numpy(), rtol=1e-10)
    np.testing.assert_allclose(state.concentration, fair.concentration[-1, 0, :, :2].to_numpy(), rtol=1e-10)
    np.testing.assert_allclose(state.heat * 1e21, fair.ocean_heat_content_change[-1, 0].to_numpy(), rtol=1e-8)
    assert np.ptp(fair.ebms.tcr.to_numpy()) > 0.3  # they are different climates


def test_the_noise_of_a_year_is_that_of_fair():
    from fair.energy_balance_model import EnergyBalanceModel

    climates = draw_climates(("climate#000",))
    response = model.respond(climates, eta=ETA, xi=XI, gamma=GAMMA)
    theirs = EnergyBalanceModel(
        ocean_heat_capacity=climates.capacity[0],
        ocean_heat_transfer=[response.feedback[0], *climates.transfer[0]],
        deep_ocean_efficacy=climates.efficacy[0],
        gamma_autocorrelation=GAMMA,  # pyright: ignore[reportArgumentType]
        sigma_eta=ETA,
        sigma_xi=XI,
        stochastic_run=True,
        seed=0,
        n_timesteps=40_000,
    ).stochastic_d
    expected, ours = np.cov(theirs.T), response.noise[0] @ response.noise[0].T
    spread = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(ours / np.outer(spread, spread), expected / np.outer(spread, spread), atol=0.03)


def test_the_past_ends_where_the_world_is(domain):
    domain.reset(domain.instances, steps=23, seeds=range(96))
    past = paths.history(1951.5 + 3 * np.arange(23))
    last = follow(domain, np.repeat(past[None], 96, axis=0))[:, -1]
    assert np.median(last[:, TEMPERATURE]) == pytest.approx(0.9, abs=0.15)  # of 1.1 K; other gases made the rest
    assert np.median(last[:, CONCENTRATION]) == pytest.approx(410, abs=8)
    assert np.median(last[:, 2]) == pytest.approx(1866, abs=30)
    assert np.median(last[:, 3]) == pytest.approx(0.8, abs=0.3)


def test_an_episode_does_not_depend_on_which_others_run(domain):
    plan = domain.behaviour("random", NAMES, steps=12, seeds=[0, 1, 2]).intended(0, 12)
    first = domain.reset(NAMES, steps=12, seeds=[3, 4, 5])
    together = follow(domain, plan)
    assert np.array_equal(domain.reset(NAMES[1:2], steps=12, seeds=[4]), first[1:2])
    assert np.array_equal(follow(domain, plan[1:2]), together[1:2])


def test_a_restored_state_goes_on_bit_by_bit(domain):
    plan = domain.behaviour("random", NAMES, steps=30, seeds=[0, 1, 2]).intended(0, 30)
    domain.reset(NAMES, steps=30, seeds=[3, 4, 5])
    follow(domain, plan[:, :5])
    early = domain.snapshot()
    middle = follow(domain, plan[:, 5:12])
    late = domain.snapshot()
    rest = follow(domain, plan[:, 12:19])
    domain.restore(join([take(late, [2, 0]), take(early, [1, 1])]))
    again = follow(domain, np.stack([plan[2, 12:19], plan[0, 12:19], plan[1, 5:12], plan[1, 5:12]]))
    assert np.array_equal(again[:2], rest[[2, 0]]) and np.array_equal(again[2:], middle[[1, 1]])


def test_new_chance_is_weather_and_not_another_climate(domain):
    domain.reset(domain.instances[:1] * 60, steps=12, seeds=[0] * 60)
    start = domain.snapshot()
    domain.restore(start, seeds=range(1, 61))
    plan = np.repeat(paths.history(1951.5 + 3 * np.arange(12))[None], 60, axis=0)
    futures = follow(domain, plan)[:, -1]
    assert 0.05 < futures[:, TEMPERATURE].std() < 0.2 and futures[:, CONCENTRATION].std() < 2
    domain.reset(domain.instances, steps=12, seeds=[0] * 96)
    climates = follow(domain, np.repeat(plan[:1], 96, axis=0))[:, -1]
    assert climates[:, TEMPERATURE].std() > 1.5 * futures[:, TEMPERATURE].std()


def test_interventions_do_what_physics_says(domain):
    asked = draw_origins(domain, ids=domain.instances[::6], per_episode=1, rows=(22, 22))
    signs = {"net zero": -1, "half methane": -1, "clean air": 1, "double aerosols": -1}
    for name, sign in signs.items():
        done, undone = branch_effects(domain, interventions=[name], origins=asked, horizon=12)
        effect = (done.truth - undone.truth)[:, -1, TEMPERATURE]
        # Where CO2 is removed already, reaching zero means to remove less.
        assert np.mean(sign * effect > 0) > (0.6 if name == "net zero" else 0.99)
        assert sign * effect.mean() > 0.05


@pytest.mark.parametrize(("policy", "shift"), [("random", ""), ("confounded", ""), ("random", "high sensitivity")])
def test_invariants_hold_while_policies_are_at_work(domain, policy, shift):
    world = domain.shifted(shift) if shift else domain
    for episode in collect(world, policy=policy, instances=domain.instances[::2], steps=45):
        for statement, holds in world.invariants(episode.observations, episode.actions).items():
            assert holds, (episode.id, statement)


def test_invariants_notice_carbon_from_nowhere(domain):
    observations = np.full((3, 2, 4), np.nan)
    observations[:, :, CONCENTRATION], observations[:, :, TEMPERATURE] = 400, 1
    observations[1, 1, CONCENTRATION], observations[2, 1, TEMPERATURE] = 430, 3
    broken = np.array([~holds for holds in domain.invariants(observations, np.full((3, 1, 3), 40.0)).values()])
    assert broken.any(axis=0).tolist() == [False, True, True]


def test_a_longer_schedule_begins_with_the_shorter_one():
    for seed in range(20):
        short, long = (paths.schedule(steps, np.random.default_rng(seed)) for steps in (10, 66))
        assert np.array_equal(short, long[:10])


def test_the_confounded_policy_cuts_carbon_when_it_is_hot(domain):
    policy = domain.behaviour("confounded", NAMES, steps=5, seeds=[0, 1, 2])
    observations = np.zeros((3, 4))
    observations[1, TEMPERATURE] = 2.5
    intended, done = policy.intended(2, 3)[:, 0], policy.act(2, observations)
    assert np.array_equal(done[[0, 2]], intended[[0, 2]]) and np.array_equal(done[1, 1:], intended[1, 1:])
    assert done[1, 0] == pytest.approx(0.6 * intended[1, 0])


def test_what_cannot_be_done_is_refused(domain):
    domain.reset(NAMES, steps=1, seeds=[0, 1, 2])
    with pytest.raises(QuestionError, match="emissions must be known and lie within the bounds"):
        domain.step(np.array([[40.0, 300, 80], [40, -1, 80], [40, 300, 80]]))
    domain.step(np.full((3, 3), 40.0))
    with pytest.raises(QuestionError, match="fewer steps"):
        domain.step(np.full((3, 3), 40.0))
    with pytest.raises(QuestionError, match="no climate 'mars'"):
        domain.reset(["mars"], steps=5, seeds=[0])
    with pytest.raises(QuestionError, match="no shift 'ice age'"):
        domain.shifted("ice age")
