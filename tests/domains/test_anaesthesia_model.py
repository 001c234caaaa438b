from dataclasses import replace

import numpy as np
import pytest

from foreworld.domains import anaesthesia_model as model


def one(age: float, height: float, weight: float, male: float) -> model.Bodies:
    return model.Bodies(*(np.array([value], float) for value in (age, height, weight, male)))


MAN, WOMAN = one(40, 170, 70, 1), one(65, 160, 58, 0)
DRUGS = {"propofol": model.schnider, "remifentanil": model.minto}
# From python-anesthesia-simulator 1.0.0, run apart.
BIS_AT_2 = [73.6833632249, 68.2795273411, 53.8540940936]
TOLERANCE_AT_2 = [0.0010289077376, 0.101022787502, 0.955837516043]
EFFECT_SITE = {"propofol": [2.31450977103, 3.46896639559], "remifentanil": [3.92251714002, 6.93060310583]}


def infuse(kinetics: model.Kinetics, rates, minutes: float = 1.0) -> np.ndarray:
    """Concentrations after each step, [step, compartment]."""
    step, levels, rows = model.transition(kinetics, minutes), np.zeros((4, 1)), []
    for rate in rates:
        levels = model.advance(levels, np.array([rate], float), step)
        rows.append(levels[:, 0])
    return np.array(rows)


def test_lean_mass_and_kinetics_are_the_published_ones():
    assert MAN.lean[0] == pytest.approx(55.30, abs=0.01)
    assert WOMAN.lean[0] == pytest.approx(42.61, abs=0.01)
    propofol, remifentanil = model.schnider(MAN), model.minto(MAN)
    expected = {"v1": 4.27, "v2": 23.983, "v3": 238, "cl1": 1.638, "cl2": 1.602, "cl3": 0.836, "ke0": 0.456}
    assert {name: value[0] for name, value in vars(propofol).items()} == pytest.approx(expected, abs=2e-3)
    expected = {"v1": 5.122, "v2": 9.853, "v3": 5.42, "cl1": 2.606, "cl2": 2.05, "cl3": 0.076, "ke0": 0.595}
    assert {name: value[0] for name, value in vars(remifentanil).items()} == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("drug", DRUGS)
def test_a_constant_infusion_ends_at_rate_over_clearance_everywhere(drug):
    for bodies in (MAN, WOMAN):
        kinetics = DRUGS[drug](bodies)
        levels = infuse(kinetics, [8.0] * 30, minutes=600.0)[-1]
        np.testing.assert_allclose(levels, 8.0 / kinetics.cl1[0], rtol=1e-4)


@pytest.mark.parametrize("drug", DRUGS)
def test_nothing_is_lost_where_nothing_is_cleared(drug):
    kinetics = replace(DRUGS[drug](MAN), cl1=np.zeros(1))
    levels = infuse(kinetics, [3.0] * 7 + [0.0] * 20)[-1]
    held = levels[:3] @ np.array([kinetics.v1[0], kinetics.v2[0], kinetics.v3[0]])
    assert held == pytest.approx(21.0)


@pytest.mark.parametrize("drug", DRUGS)
def test_steps_of_any_length_agree_with_an_integrator(drug):
    from scipy.integrate import solve_ivp

    k = DRUGS[drug](WOMAN)
    v1, v2, v3, cl1, cl2, cl3, ke0 = (float(value[0]) for value in vars(k).values())

    def change(_, c):
        into = 9.0 - cl1 * c[0] - cl2 * (c[0] - c[1]) - cl3 * (c[0] - c[2])
        return [into / v1, cl2 * (c[0] - c[1]) / v2, cl3 * (c[0] - c[2]) / v3, ke0 * (c[0] - c[3])]

    truth = solve_ivp(change, (0, 24), np.zeros(4), rtol=1e-10, atol=1e-12).y[:, -1]
    for minutes in (1.0, 4.0, 24.0):
        np.testing.assert_allclose(infuse(k, [9.0] * int(24 / minutes), minutes)[-1], truth, rtol=1e-6)


def test_the_bis_is_additive_in_the_sense_of_loewe():
    typical, level = model.typical_response(3), np.array([1.0, 0.5, 0.0])
    halved = model.bis(4.47 * level, 19.3 * (1 - level), typical)
    np.testing.assert_allclose(halved, 97.4 / 2)
    twice = model.bis(2 * 4.47 * level, 2 * 19.3 * (1 - level), typical)
    np.testing.assert_allclose(twice, 97.4 / (1 + 2**1.43))
    assert model.bis(np.zeros(1), np.zeros(1), model.typical_response(1))[0] == 97.4


def test_tolerance_needs_propofol_and_much_less_of_it_with_remifentanil():
    typical = model.typical_response(4)
    remifentanil = np.array([0.0, 1.07 * 1.05, 3.0, 8.0])
    assert (model.tolerance(np.zeros(4), remifentanil, typical) == 0).all()
    # The opioid divides the stimulus by 1 + (c / (C50 pre))^slope: at c = C50 pre, half the propofol is enough.
    enough = 8.04 * 1.05 / (1 + (remifentanil / (1.07 * 1.05)) ** 0.97)
    np.testing.assert_allclose(model.tolerance(enough, remifentanil, typical), 0.5)
    assert enough[1] == pytest.approx(8.04 * 1.05 / 2) and (np.diff(enough) < 0).all()


def test_surfaces_are_those_of_another_implementation():
    """BIS and tolerance that python-anesthesia-simulator 1.0.0 gives at propofol 2 ug/mL."""
    remifentanil, typical = np.array([0.1, 2.0, 8.0]), model.typical_response(3)
    np.testing.assert_allclose(model.bis(np.full(3, 2.0), remifentanil, typical), BIS_AT_2, rtol=1e-9)
    np.testing.assert_allclose(model.tolerance(np.full(3, 2.0), remifentanil, typical), TOLERANCE_AT_2, rtol=1e-9)


def test_concentrations_are_those_of_another_implementation():
    """Effect sites by python-anesthesia-simulator 1.0.0 under 10 mg/min and 15 ug/min, after 5 and 20 minutes."""
    for drug, rate in (("propofol", 10.0), ("remifentanil", 15.0)):
        levels = infuse(DRUGS[drug](WOMAN), [rate] * 20)
        np.testing.assert_allclose(levels[[4, 19], 3], EFFECT_SITE[drug], rtol=1e-9)
