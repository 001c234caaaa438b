import numpy as np
import pytest

from foreworld.domains import glucose_model as model
from foreworld.errors import MissingExtraError

# Two of each group, among them those in which the solvers differ most.
PATIENTS = ("adolescent#006", "adolescent#010", "adult#006", "adult#007", "child#005", "child#007")


def day(seed: int = 0, minutes: int = 24 * 60):
    """Minutes of carbohydrate (g) and insulin (U/min) with overlapping meals, boluses and a suspended pump."""
    rng = np.random.default_rng(seed)
    ratio = model.column("Quest.csv", "CR", PATIENTS)
    insulin = np.tile(model.parameters(PATIENTS).steady_basal / 60, (minutes, 1))
    insulin[rng.integers(minutes) :][:120] = 0
    carbs = np.zeros_like(insulin)
    for patient in range(len(PATIENTS)):
        for start in rng.choice(minutes, 6, replace=False):
            grams = rng.uniform(4, 90)
            carbs[start, patient] += grams
            insulin[start : start + 5, patient] += grams / ratio[patient] / 5 * rng.uniform(0.3, 1.3)
    return carbs, insulin


def simulate(carbs, insulin, patients=PATIENTS, **options):
    bodies, p = model.initial(patients), model.parameters(patients)
    states = [bodies.x]
    for minute in range(len(carbs)):
        bodies = model.minute(bodies, p, carbs[minute], insulin[minute], **options)
        states.append(bodies.x)
    return np.stack(states)


def test_agrees_with_the_package_minute_by_minute(original):
    carbs, insulin = day()
    ours, p = simulate(carbs, insulin), model.parameters(PATIENTS)
    theirs = np.empty_like(ours)
    for index, name in enumerate(PATIENTS):
        patient = original.patient(name)
        theirs[0, :, index] = patient.state
        for minute in range(len(carbs)):
            patient.step(original.Action(CHO=carbs[minute, index], insulin=insulin[minute, index]))
            theirs[minute + 1, :, index] = patient.state
    readings = theirs[:, 12] / p.Vg
    assert readings.max() - readings.min() > 150
    assert np.abs(ours[:, 12] / p.Vg - readings).max() < 0.1
    # Insulin (pmol/kg, pmol/L) is linear and nearly exact; the stomach (mg) carries the error of fixed steps.
    assert np.abs(ours[:, 5:12] - theirs[:, 5:12]).max() < 1e-2
    assert np.abs(ours[:, :3] - theirs[:, :3]).max() < 100


def test_smaller_steps_converge_to_a_limit_near_the_default():
    carbs, insulin = day(seed=1, minutes=300)
    fine, default = simulate(carbs, insulin, substeps=16), simulate(carbs, insulin)
    assert np.abs(simulate(carbs, insulin, substeps=8) - fine).max() < np.abs(default - fine).max() / 10


def test_a_fasting_patient_stays_at_the_steady_state():
    minutes = 300
    basal = np.tile(model.parameters(PATIENTS).steady_basal / 60, (minutes, 1))
    states = simulate(np.zeros_like(basal), basal)
    np.testing.assert_allclose(states[-1], states[0], rtol=1e-4, atol=1e-3)


def test_food_is_eaten_and_nothing_of_it_is_lost():
    p, bodies, none = model.parameters(PATIENTS), model.initial(PATIENTS), np.zeros(len(PATIENTS))
    absorbed = none
    for minute in range(600):
        bodies = model.minute(bodies, p, np.full(len(PATIENTS), 23.0) if minute == 10 else none, none)
        absorbed = absorbed + p.kabs * bodies.x[2]
    np.testing.assert_allclose(absorbed + bodies.x[:3].sum(axis=0), 23_000, rtol=0.01)
    assert (bodies.eaten == 23).all()


def test_bits_do_not_depend_on_how_many_patients_run_together():
    carbs, insulin = day(seed=2, minutes=200)
    together = simulate(carbs, insulin)
    for index in (0, 5):
        alone = simulate(carbs[:, [index]], insulin[:, [index]], PATIENTS[index : index + 1])
        assert np.array_equal(alone[:, :, 0], together[:, :, index])


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    model.table.cache_clear()
    monkeypatch.setattr(model, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"foreworld\[glucose\]"):
        model.parameters(PATIENTS)
