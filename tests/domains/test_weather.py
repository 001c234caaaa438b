import numpy as np
import pytest

from foreworld.domains import weather_model as model
from foreworld.domains.analogue import Analogue
from foreworld.domains.base import join, take
from foreworld.domains.collect import branch, branch_effects, collect, draw_origins
from foreworld.domains.weather import ENERGY, PEAK, STRONGEST, WEAKEST, Weather
from foreworld.errors import QuestionError
from foreworld.evidence.metrics import crps

NAMES = ("atmosphere#003", "atmosphere#010", "atmosphere#044")


@pytest.fixture(scope="module")
def domain() -> Weather:
    return Weather()


def follow(domain, plan):
    return np.stack([domain.step(plan[:, step]) for step in range(plan.shape[1])], axis=1)


def start(episodes: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.concatenate([rng.normal(3, 3, (episodes, 8)), rng.normal(0, 0.2, (episodes, 256))], axis=1)


def test_the_equations_are_those_of_the_paper_variable_by_variable():
    (state,), h, b, c, forcing = start(1), 0.9, 10.0, 7.0, 18.0
    x, y = state[:8], state[8:]
    expected = np.empty(264)
    for k in range(8):
        drain = sum(y[j] for j in range(32 * k, 32 * k + 32))
        expected[k] = -x[k - 1] * (x[k - 2] - x[(k + 1) % 8]) - x[k] + forcing - h * c / b * drain
    for j in range(256):
        advection = -c * b * y[(j + 1) % 256] * (y[(j + 2) % 256] - y[j - 1])
        expected[8 + j] = advection - c * y[j] + h * c / b * x[j // 32]
    p = model.Parameters(np.array([h]), np.array([c]))
    np.testing.assert_allclose(
        model.derivative(state[None], np.array([forcing]), p)[0], expected, rtol=1e-12, atol=1e-12
    )


def test_advection_and_exchange_conserve_energy():
    state, p = start(5), model.Parameters(np.linspace(0.5, 1, 5), np.linspace(4, 10, 5))
    change = np.einsum("es,es->e", state, model.derivative(state, np.full(5, 18.0), p))
    x, y = state[:, :8], state[:, 8:]
    np.testing.assert_allclose(change, 18 * x.sum(1) - (x**2).sum(1) - p.speed * (y**2).sum(1))


def test_the_integration_is_of_fourth_order():
    forcing, p = np.full(5, 20.0), model.Parameters(np.ones(5), np.full(5, 10.0))
    state = model.advance(start(5), forcing, p, duration=2.0)
    exact, *errors = (model.advance(state, forcing, p, duration=0.05, substep=h) for h in (1 / 3200, 1 / 400, 1 / 800))
    coarse, fine = (np.abs(values - exact).max() for values in errors)
    assert 12 < coarse / fine < 20


def test_an_episode_does_not_depend_on_which_others_run(domain):
    plan = domain.behaviour("random", NAMES, steps=20, seeds=[0, 1, 2]).intended(0, 20)
    first = domain.reset(NAMES, steps=20, seeds=[3, 4, 5])
    together = follow(domain, plan)
    assert np.array_equal(domain.reset(NAMES[1:2], steps=20, seeds=[4]), first[1:2])
    assert np.array_equal(follow(domain, plan[1:2]), together[1:2])


def test_a_restored_state_goes_on_bit_by_bit(domain):
    plan = domain.behaviour("random", NAMES, steps=40, seeds=[0, 1, 2]).intended(0, 40)
    domain.reset(NAMES, steps=40, seeds=[3, 4, 5])
    follow(domain, plan[:, :10])
    early = domain.snapshot()
    middle = follow(domain, plan[:, 10:20])
    late = domain.snapshot()
    rest = follow(domain, plan[:, 20:30])
    domain.restore(join([take(late, [2, 0]), take(early, [1, 1])]))
    again = follow(domain, np.stack([plan[2, 20:30], plan[0, 20:30], plan[1, 10:20], plan[1, 10:20]]))
    assert np.array_equal(again[:2], rest[[2, 0]]) and np.array_equal(again[2:], middle[[1, 1]])


def test_new_chance_grows_from_unnoticeable_to_another_weather(domain):
    domain.reset(domain.instances[:8], steps=30, seeds=range(8))
    here, plan, states = domain.snapshot(), np.full((8, 30, 1), STRONGEST), []
    for seeds in (None, range(100, 108)):
        domain.restore(here, seeds=seeds)
        for steps in (3, 27):
            follow(domain, plan[:, :steps])
            states.append(domain.snapshot()["state"][:, :8])
    soon, late = np.abs(states[2] - states[0]).mean(), np.abs(states[3] - states[1]).mean()
    assert 0.001 < soon < 1 < 3 < late


@pytest.mark.parametrize("policy", ["random", "confounded"])
@pytest.mark.parametrize("shift", ["", "slow convection", "noisy instruments"])
def test_invariants_hold_while_policies_are_at_work(domain, policy, shift):
    world = domain.shifted(shift) if shift else domain
    for episode in collect(world, policy=policy, instances=domain.instances[:6], steps=25):
        for statement, holds in world.invariants(episode.observations, episode.actions).items():
            assert holds, statement


def test_invariants_notice_what_cannot_be(domain):
    observations = np.full((4, 3, 10), np.nan)
    observations[..., ENERGY], observations[..., PEAK] = 20.0, 10.0
    observations[1, 2, ENERGY], observations[2, 0, ENERGY], observations[3, 1, PEAK] = -1, 500, 6
    broken = np.array([~holds for holds in domain.invariants(observations, np.full((4, 2, 1), 18.0)).values()])
    assert not broken[:, 0].any() and broken[:, 1:].any(axis=0).all()


def test_stronger_forcing_feeds_energy_and_extremes(domain):
    asked = draw_origins(domain, ids=domain.instances[:12], per_episode=1, rows=(3, 3))
    for name, sign in (("strong", 1), ("weak", -1)):
        done, undone = branch_effects(domain, interventions=[name], origins=asked, horizon=12)
        effect = (done.truth - undone.truth)[:, 6:].mean(axis=(0, 1))
        assert (sign * effect > (4, 1)).all()


def test_weak_coupling_leaves_more_energy_to_the_slow_scale(domain):
    energy = []
    for world in (domain, domain.shifted("weak coupling")):
        world.reset(domain.instances[:8], steps=12, seeds=range(8))
        energy.append(follow(world, np.full((8, 12, 1), 18.0))[..., ENERGY].mean())
    assert energy[1] > 1.15 * energy[0]


def test_the_state_of_the_weather_turns_the_confounded_policy_down(domain):
    policy = domain.behaviour("confounded", NAMES, steps=5, seeds=[0, 1, 2])
    observations = np.zeros((3, 10))
    observations[1, ENERGY] = 40
    intended, done = policy.intended(2, 3)[:, 0], policy.act(2, observations)
    assert np.array_equal(done[[0, 2]], intended[[0, 2]]) and WEAKEST < done[1, 0] < intended[1, 0]


def test_analogues_know_the_weather_and_the_plan(domain):
    train, test = domain.instances[:7], domain.instances[8:14]
    baseline = Analogue.fit(collect(domain, instances=train, steps=60), 6)
    asked = draw_origins(domain, ids=test, per_episode=3, rows=(8, 12))
    cases = branch(domain, origins=asked, horizon=6, alternatives=2)
    samples = baseline.forecast(cases.histories, cases.plan, members=100)
    climate = np.random.default_rng(0).permutation(baseline.future[:, -1])[:100, None, None]
    ours, theirs = (
        crps(np.broadcast_to(values, samples.shape), cases.truth).mean(axis=0)[:, ENERGY]
        for values in (samples, climate)
    )
    assert ours.mean() < 0.7 * theirs.mean()


@pytest.mark.parametrize("bad", [np.nan, -0.1, 41.0])
def test_impossible_forcings_are_refused(domain, bad):
    domain.reset(NAMES, steps=5, seeds=[0, 1, 2])
    with pytest.raises(QuestionError, match=r"forcing must be known and lie in \[0, 30\]"):
        domain.step(np.array([[18.0], [bad], [18.0]]))


def test_unknown_names_and_too_many_steps_are_refused(domain):
    with pytest.raises(QuestionError, match="no atmosphere 'moon'"):
        domain.reset(["moon"], steps=5, seeds=[0])
    with pytest.raises(QuestionError, match="no policy 'greedy'"):
        domain.behaviour("greedy", NAMES, steps=5, seeds=[0, 1, 2])
    with pytest.raises(QuestionError, match="no shift 'ice age'"):
        domain.shifted("ice age")
    domain.reset(NAMES, steps=1, seeds=[0, 1, 2])
    domain.step(np.full((3, 1), 18.0))
    with pytest.raises(QuestionError, match="fewer steps"):
        domain.step(np.full((3, 1), 18.0))
