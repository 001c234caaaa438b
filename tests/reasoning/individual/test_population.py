"""How individuals differ is learnt from others, and what is particular to one from its own history."""

from dataclasses import replace

import numpy as np
import pytest

from foreworld.data.episodes import Episodes
from foreworld.data.plan import cut
from foreworld.model import WorldModel
from foreworld.reasoning.individual.credit import fit_with_credit
from foreworld.reasoning.individual.look import LOOKS, Looks, Terms
from foreworld.reasoning.individual.population import PRIOR, Population

from ...simulated import pushed, pushed_strength, tiny

LEADS = np.array([1, 4])
DEVIATION = np.array([1.5, 0.0, 0.8, 0.5])  # Of the coefficients: the constant, two sums, the present reading.
NOISE = 0.7


def individuals(count: int, looks: int, seed: int, *, apart: int = 8) -> tuple[Looks, np.ndarray]:
    """Misses of so many looks each, and the coefficients behind them."""
    rng = np.random.default_rng(seed)
    b = DEVIATION * rng.normal(size=(count, 1, 1, 4))
    common = np.concatenate([np.ones((count * looks, 2, 1)), rng.normal(size=(count * looks, 2, 2))], axis=2)
    own = rng.normal(size=(count * looks, 1))
    design = np.concatenate([common, np.repeat(own[:, None], 2, axis=1)], axis=2)
    missed = (design * np.repeat(b[:, 0], looks, axis=0)).sum(-1) + NOISE * rng.normal(size=design.shape[:2])
    places = np.full((count, LOOKS), -1)
    places[:, :looks] = np.arange(count * looks).reshape(count, looks)
    rows = np.tile(np.arange(looks) * apart, count)
    steps = np.full(count, looks * apart)
    facts, ones = terms(common, own), np.ones((count * looks, 2, 1))
    return Looks(rows, facts, 0 * ones, ones, missed[..., None], places, steps, np.full(count, apart)), b


def terms(common: np.ndarray, own: np.ndarray, steps: np.ndarray = LEADS) -> Terms:
    """Nothing is known of rows."""
    return Terms(steps, common, own, np.zeros((len(common), 0)))


def asked(count: int, seed: int) -> Terms:
    rng = np.random.default_rng(seed)
    common = np.concatenate([np.ones((count, 2, 1)), rng.normal(size=(count, 2, 2))], axis=2)
    return terms(common, rng.normal(size=(count, 1)))


def test_the_law_of_coefficients_is_found() -> None:
    law = Population.fit(individuals(300, 20, seed=0)[0])
    np.testing.assert_allclose(law.noise, NOISE**2, rtol=0.06)
    np.testing.assert_allclose(np.sqrt(law.variance[:, 0]), [DEVIATION, DEVIATION], atol=0.15)


def test_an_individual_is_known_as_well_as_the_posterior_says() -> None:
    law = Population.fit(individuals(300, 20, seed=0)[0])
    before = np.inf
    for looks in (1, 4, 20):
        found, b = individuals(500, looks, seed=1)
        facts, known = asked(500, seed=2), law.know(found)
        truth = (law.join(facts.common[:, :, None], facts.own[:, None]) * _standard(law, b)).sum(-1)
        error = np.sqrt(np.square(known.own(facts) - truth).mean())
        said = np.sqrt((np.square(known.unsettled(facts)) - 1).mean() * NOISE**2)
        assert error < 0.7 * before and error == pytest.approx(said, rel=0.1)
        before = error


def _standard(law: Population, b: np.ndarray) -> np.ndarray:
    """Coefficients of the standardised terms."""
    scaled = np.concatenate([law.scale, [1.0]]) * b
    scaled[..., 0] = (b[..., :-1] * law.centre).sum(-1) + b[..., 0] * (1 - law.centre[0])
    return scaled


def test_of_an_individual_without_a_history_nothing_is_known() -> None:
    law = Population.fit(individuals(300, 20, seed=0)[0])
    none = individuals(3, 1, seed=1)[0]
    none = replace(none, places=np.full_like(none.places, -1))
    known, facts = law.know(none), asked(3, seed=2)
    assert (known.own(facts) == 0).all()
    prior = 1 + (np.square(law.join(facts.common[:, :, None], facts.own[:, None])) * law.variance).sum(-1) / law.noise
    np.testing.assert_allclose(np.square(known.unsettled(facts)), prior[..., 0], rtol=1e-6)
    assert (known.missed(facts) == 1).all()


def test_whose_misses_are_larger_than_those_of_others_is_noticed() -> None:
    law = Population.fit(individuals(300, 20, seed=0)[0])
    looks, b = individuals(500, 20, seed=1)
    design = np.concatenate([looks.facts.common, np.repeat(looks.facts.own[:, None], 2, axis=1)], axis=2)
    expected = (design * np.repeat(b[:, 0], 20, axis=0)).sum(-1, keepdims=True)
    for times in (1.0, 2.0):
        known = law.know(replace(looks, missed=expected + times * (looks.missed - expected)))
        # Against the looks, of which the four coefficients take up as many, stand those of the usual size.
        size = 1 + (20 - 4) / (20 + PRIOR) * (times**2 - 1)
        facts = asked(500, seed=2)
        assert np.square(known.missed(facts)).mean() == pytest.approx(size, rel=0.05)
    middle = terms(facts.common[:, :1], facts.own, np.array([2]))
    (first, last), between = known.missed(facts)[0], known.missed(middle)[0, 0]
    assert between == pytest.approx((2 * first + last) / 3)


def test_nothing_is_learnt_from_few_individuals_and_nothing_moved() -> None:
    looks = individuals(7, 20, seed=0)[0]
    law = Population.fit(looks)
    known = law.know(looks)
    assert not law.variance.any() and not known.own(asked(7, seed=1)).any()
    assert (known.unsettled(asked(7, seed=1)) == 1).all()


def test_where_individuals_do_not_differ_hardly_anything_is_moved() -> None:
    looks = individuals(100, 20, seed=0)[0]
    same = replace(looks, missed=NOISE * np.random.default_rng(3).normal(size=looks.missed.shape))
    law = Population.fit(same)
    assert np.abs(law.know(same).own(asked(100, seed=1))).mean() < 0.1 * NOISE


def test_between_two_leads_shifts_lie_between_theirs() -> None:
    looks = individuals(50, 20, seed=0)[0]
    known, facts = Population.fit(looks).know(looks), asked(50, seed=1)
    same = terms(np.repeat(facts.common[:, :1], 4, axis=1), facts.own, np.array([1, 2, 4, 9]))
    shift = known.own(same)[..., 0]
    np.testing.assert_allclose(shift[:, 1], (2 * shift[:, 0] + shift[:, 2]) / 3)
    np.testing.assert_allclose(shift[:, 3], shift[:, 2])


def test_it_is_kept_whole() -> None:
    law = Population.fit(individuals(50, 20, seed=0)[0])
    arrays, settings = law.state()
    again = Population.from_state(arrays, settings)
    for one, other in ((law, again), (law.alike, again.alike)):
        for name, value in vars(one).items():
            if name != "alike":
                np.testing.assert_array_equal(getattr(other, name), value)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    data = pushed(40, 40, 0, apart=1.0)
    config = tiny(steps=150, batch=8)
    return WorldModel.fit(data, config=config, baselines={}, watch=False, progress=False)


def test_how_a_new_individual_answers_to_a_dose_is_learnt_from_its_history(model: WorldModel) -> None:
    new = pushed(40, 60, 1, apart=1.0)
    histories = Episodes(new.schema, tuple(episode.until(55) for episode in new))
    strength = pushed_strength(40, 1, apart=1.0)
    plan = cut(new, [(run, 55) for run in range(40)], 4).plan
    strong, none = (replace(plan, actions=np.full_like(plan.actions, value)) for value in (1.0, 0.0))
    truth = strength * (1 - 0.8**4) / 0.2
    nobody = replace(model, population=replace(model.population, variance=np.zeros_like(model.population.variance)))
    error = {}
    for name, some in (("individual", model), ("average", nobody)):
        last = [some.forecast(histories, what, seed=0).mean(0)[:, -1, 0] for what in (strong, none)]
        error[name] = float(np.square(last[0] - last[1] - truth).mean())
    assert error["individual"] < 0.5 * error["average"]


def test_a_longer_history_makes_intervals_narrower(model: WorldModel) -> None:
    new = pushed(40, 60, 1, apart=1.0)
    width = []
    for row in (4, 55):
        histories = Episodes(new.schema, tuple(episode.until(row) for episode in new))
        plan = cut(new, [(run, row) for run in range(40)], 4).plan
        plan = replace(plan, actions=np.ones_like(plan.actions))
        low, high = np.quantile(model.forecast(histories, plan)[..., -1, 0], [0.05, 0.95], axis=0)
        width.append(float((high - low).mean()))
    assert width[1] < 0.8 * width[0]


def test_what_is_learnt_is_given_credit_where_new_individuals_differ_as_much() -> None:
    law = fit_with_credit(individuals(90, 20, seed=0)[0])
    assert (law.credit > 0.9).all()


def test_of_few_individuals_who_do_not_differ_nothing_is_believed() -> None:
    """Of more terms than a history has looks, a law that fits best always finds some that individuals differ by."""
    rng = np.random.default_rng(4)
    looks = individuals(12, 10, seed=0)[0]
    many = np.concatenate([looks.facts.common, rng.normal(size=(120, 2, 30))], axis=2)
    looks = replace(looks, facts=terms(many, looks.facts.own), missed=rng.normal(size=looks.missed.shape))
    believed, blind = fit_with_credit(looks), Population.fit(looks)
    facts = terms(rng.normal(size=(12, 2, 33)), rng.normal(size=(12, 1)))
    moved, believed_moved = (np.square(law.know(looks).own(facts)).mean() for law in (blind, believed))
    assert moved > 0.05 and believed_moved < 0.1 * moved
