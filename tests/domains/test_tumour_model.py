import numpy as np
import pytest

from foreworld.domains import tumour_model as model


def test_the_volumes_are_those_of_the_published_benchmark():
    assert pytest.approx(1150.3465, abs=1e-4) == model.LETHAL
    assert pytest.approx(14137.17, abs=0.01) == model.CAPACITY
    np.testing.assert_allclose(model.diameter_of(model.volume_of([0.0, 0.3, 13.0])), [0.0, 0.3, 13.0])
    assert model.diameter_of(np.array(-1.0)) == 0


def test_the_population_has_the_published_moments():
    people = model.draw_patients(200_000, np.random.default_rng(1))
    usual = people.kind == 1
    assert (people.rho > 0).all() and (people.alpha > 0).all() and (people.beta_c > 0).all()
    # Published means after negative values are rejected.
    assert people.alpha[usual].mean() == pytest.approx(0.175, abs=0.002)
    assert people.rho[usual].mean() == pytest.approx(0.0062, abs=0.0001)
    assert people.beta_c[usual].mean() == pytest.approx(0.028, abs=1e-5)
    assert people.alpha[people.kind == 0].mean() - people.alpha[usual].mean() == pytest.approx(0.00398, abs=0.0015)
    assert people.beta_c[people.kind == 2].mean() - people.beta_c[usual].mean() == pytest.approx(0.0028, abs=2e-5)
    shares = np.bincount(people.stage) / len(people.stage)
    np.testing.assert_allclose(shares, np.array([1432, 128, 1306, 7248, 12840]) / 22954, atol=0.004)


def test_the_first_diameter_keeps_to_the_limits_of_its_stage():
    level = np.linspace(0, 1, 101)
    for index, (_, mean, spread, low, high) in enumerate(model.STAGES.values()):
        diameter = model.first_diameter(np.full(101, index), level)
        assert diameter[0] == pytest.approx(low) and diameter[-1] == pytest.approx(high)
        assert (np.diff(diameter) > 0).all()
        # A truncated normal on the logarithmic scale is nearly uniform there when it is so wide.
        middle = np.log(diameter[50])
        assert abs(middle - (np.log(low) + np.log(high)) / 2) < 0.4 + 1.5 * (spread < 2), (mean, spread)


def test_a_day_is_the_published_equation():
    theta = np.array([[0.01, 0.03, 0.2]])
    after = model.grow(np.array([100.0]), np.array([7.5]), np.array([2.0]), theta, np.array([0.004]))
    radiation = 0.2 * 2 + 0.02 * 2**2
    expected = 100 * (1 + 0.01 * np.log(model.CAPACITY / 100) - 0.03 * 7.5 - radiation + 0.004)
    assert after[0] == pytest.approx(expected)


def test_death_and_recovery_are_where_they_should_be():
    volume = np.array([-0.2, 1e-12, 1e-7, 5.0, 1150.0, 1200.0])
    settled = model.settle(volume, np.full(6, 0.5))
    np.testing.assert_array_equal(settled, [0.0, 0.0, 1e-7, 5.0, 1150.0, model.LETHAL])
