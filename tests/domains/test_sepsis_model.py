import numpy as np
import pytest

from foreworld.domains import sepsis_model as model
from foreworld.domains import sepsis_policy as habits

HEALTHY, DIABETIC = 0, 1
NOTHING, ANTIBIOTICS, VASOPRESSORS, VENTILATION = 0, 4, 2, 1


def chances(vital: int, diabetic: int, before: int, given: int, level: int) -> list[float]:
    """Of the next level of one vital."""
    return model.moves()[vital][diabetic, before, given, level].tolist()


@pytest.mark.parametrize("released", [False, True])
def test_chances_are_chances(released):
    joint = model.transitions(released)
    assert joint.min() >= 0
    np.testing.assert_allclose(joint.sum(-1), 1, atol=1e-12)
    np.testing.assert_allclose(model.first().sum(1), 1)


@pytest.mark.parametrize(
    ("vital", "diabetic", "before", "given", "level", "expected"),
    [
        (0, HEALTHY, NOTHING, ANTIBIOTICS, 2, [0, 0.5, 0.5]),
        (0, HEALTHY, ANTIBIOTICS, NOTHING, 1, [0, 0.9, 0.1]),
        (0, HEALTHY, NOTHING, NOTHING, 1, [0.1, 0.8, 0.1]),
        (0, HEALTHY, NOTHING, NOTHING, 0, [0.9, 0.1, 0]),
        (1, HEALTHY, NOTHING, ANTIBIOTICS, 2, [0, 0.5, 0.5]),
        (1, HEALTHY, NOTHING, VASOPRESSORS, 0, [0.3, 0.7, 0]),
        (1, DIABETIC, NOTHING, VASOPRESSORS, 0, [0.1, 0.5, 0.4]),
        (1, DIABETIC, NOTHING, VASOPRESSORS, 1, [0, 0.1, 0.9]),
        (1, HEALTHY, VASOPRESSORS, NOTHING, 2, [0, 0.1, 0.9]),
        (1, DIABETIC, VASOPRESSORS, NOTHING, 2, [0, 0.05, 0.95]),
        # Antibiotics act first: high falls with 0.5, and then 0.7 of what is normal rises again.
        (1, HEALTHY, NOTHING, ANTIBIOTICS | VASOPRESSORS, 2, [0, 0.15, 0.85]),
        (2, HEALTHY, NOTHING, VENTILATION, 0, [0.3, 0.7]),
        (2, HEALTHY, VENTILATION, NOTHING, 1, [0.1, 0.9]),
        (2, HEALTHY, NOTHING, ANTIBIOTICS, 1, [0.1, 0.9]),
        (3, HEALTHY, NOTHING, ANTIBIOTICS, 2, [0, 0.1, 0.8, 0.1, 0]),
        (3, DIABETIC, NOTHING, NOTHING, 2, [0, 0.3, 0.4, 0.3, 0]),
        (3, DIABETIC, NOTHING, VASOPRESSORS, 2, [0, 0, 0.5, 0.5, 0]),
        (3, HEALTHY, NOTHING, VASOPRESSORS, 2, [0, 0, 1, 0, 0]),
    ],
)
def test_vitals_move_as_described(vital, diabetic, before, given, level, expected):
    np.testing.assert_allclose(chances(vital, diabetic, before, given, level), expected, atol=1e-12)


def test_the_released_code_drops_glucose_where_it_should_raise_it():
    normal = model.moves(released=True)[3][HEALTHY, NOTHING, NOTHING, 2]
    np.testing.assert_allclose(normal, [0, 0.2, 0.8, 0, 0], atol=1e-12)
    highest = model.moves(released=True)[3][HEALTHY, NOTHING, NOTHING, 4]
    np.testing.assert_allclose(highest, [0, 0.1, 0, 0.1, 0.8], atol=1e-12)
    np.testing.assert_array_equal(model.moves(released=True)[3][DIABETIC], model.moves()[3][DIABETIC])


def test_three_abnormal_vitals_kill_and_none_without_treatment_is_a_discharge():
    vitals = np.array([[0, 0, 0, 2], [0, 0, 1, 2], [1, 1, 1, 2], [1, 1, 1, 2]])
    np.testing.assert_array_equal(model.outcome(vitals, np.array([0, 0, 0, 4])), [-1, 0, 1, 0])
    assert (model.first()[:, model.outcome(model.levels(), np.zeros(90, int)) != 0] == 0).all()


def test_the_physician_of_the_released_code_is_worth_what_was_published():
    """0.324 in 1000 patients, with an interval of 0.289 to 0.369: value of 20 steps, exactly."""
    acts = np.full((2, 8, 90, 8), habits.SLIP / 7)
    np.put_along_axis(acts, habits.physician(True)[..., None], 1 - habits.SLIP, axis=-1)
    every = np.broadcast_to(model.levels(), (8, 90, 4))
    ends, value = model.outcome(every, np.arange(8)[:, None]), np.zeros((2, 8, 90))
    for _ in range(20):
        ahead = np.where(ends == 0, value, ends)
        worth = np.einsum("dbgvn,dgn->dbgv", model.transitions(True), ahead)
        value = np.einsum("dbvg,dbgv->dbv", acts, worth)
    found = (model.first() * value[:, 0]).sum(1) @ [1 - model.DIABETIC, model.DIABETIC]
    assert 0.289 < found < 0.369


def test_sets_of_treatments_have_numbers():
    every = np.arange(8)
    np.testing.assert_array_equal(habits.treatment(habits.switches(every)), every)
    np.testing.assert_array_equal(habits.switches(np.array([ANTIBIOTICS])), [[1, 0, 0]])
