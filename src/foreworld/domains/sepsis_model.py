"""Sepsis in a few vital signs: the simulator of Oberst and Sontag (ICML 2019), written anew from its description.

Four vital signs are low, normal or high, three treatments are on or off, and one patient in five is diabetic. In a step
the vitals move independently of each other:

    antibiotics     on: heart rate and blood pressure high -> normal, 0.5 each; withdrawn: normal -> high, 0.1 each
    ventilation     on: oxygen low -> normal, 0.7; withdrawn: normal -> low, 0.1
    vasopressors    on: blood pressure a level up, 0.7; of a diabetic normal -> high 0.9, low -> normal 0.5, low -> high
                    0.4, and glucose a level up, 0.5; withdrawn: blood pressure a level down, 0.1 (diabetic: 0.05)
    by themselves   a level up or down, 0.1 each way (glucose of a diabetic 0.3), except for vitals that a treatment
                    acts on which is on or was just withdrawn (glucose: which is on)

Who then has three abnormal vitals dies; who has none and needs no treatment is discharged. So the next vitals are drawn
from a product of four small matrices, and the whole transition tensor is known exactly.

The code that was released with the paper (clinicalml/gumbel-max-scm) has a slip: where the glucose of a patient without
diabetes should move a level up, it moves to `low` at most, so that normal glucose falls with 0.2 and high glucose falls
to `low` at once. The published figures were made with it: `released` is that world.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, Int

LEVELS = (3, 3, 2, 5)  # of heart rate, blood pressure, oxygen and glucose
NORMAL = np.array([1, 1, 1, 2])
VITALS = int(np.prod(LEVELS))
TREATMENTS = 8  # sets of antibiotics, vasopressors and ventilation: 4 a + 2 v + o
DIABETIC = 0.2  # of the patients
FIRST = (
    (0.25, 0.5, 0.25),
    (0.25, 0.5, 0.25),
    (0.2, 0.8),
    ((0.05, 0.15, 0.6, 0.15, 0.05), (0.01, 0.05, 0.15, 0.6, 0.19)),
)

Vitals = Int[np.ndarray, "*episode 4"]
"""Levels of heart rate, blood pressure, oxygen and glucose, 0 the lowest."""


def levels() -> Int[np.ndarray, "90 4"]:
    """All combinations of vitals, in the order of their numbers."""
    return np.stack(np.unravel_index(np.arange(VITALS), LEVELS), axis=1)


def number(vitals: Vitals) -> Int[np.ndarray, "*episode"]:
    """The number of a combination of vitals, from 0 to 89."""
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(vitals, -1, 0)), LEVELS))


def outcome(vitals: Vitals, treatment: Int[np.ndarray, "*#episode"]) -> Int[np.ndarray, "*episode"]:
    """-1 for death, 1 for discharge and 0 for a patient who stays, after a step under a set of treatments."""
    abnormal = (vitals != NORMAL).sum(-1)
    return np.where(abnormal >= 3, -1, np.where((abnormal == 0) & (treatment == 0), 1, 0))


@cache
def moves(released: bool = False) -> tuple[Float[np.ndarray, "2 8 8 level level"], ...]:
    """How each vital moves: by diabetes, the set of treatments before and the one given, from level to level."""
    found = tuple(np.empty((2, TREATMENTS, TREATMENTS, count, count)) for count in LEVELS)
    for diabetic in range(2):
        for before in range(TREATMENTS):
            for given in range(TREATMENTS):
                for vital, matrix in enumerate(_moves(bool(diabetic), _switched(before), _switched(given))):
                    found[vital][diabetic, before, given] = matrix
                if released and not diabetic and not given & 2:
                    found[3][diabetic, before, given] = _drift(5, 0.0, 0.1) - 0.1 * np.eye(5) + _capped()
    return found


@cache
def transitions(released: bool = False) -> Float[np.ndarray, "2 8 8 90 90"]:
    """Chances of the next vitals, by diabetes, treatments before, treatments given and vitals."""
    rate, pressure, oxygen, glucose = moves(released)
    joint = np.einsum("dbgij,dbgkl,dbgmn,dbgop->dbgikmojlnp", rate, pressure, oxygen, glucose)
    return joint.reshape(2, TREATMENTS, TREATMENTS, VITALS, VITALS)


@cache
def first() -> Float[np.ndarray, "2 90"]:
    """Chances of the vitals on admission, by diabetes: as in the table, of those who are neither dead nor well."""
    tables = [[np.array(part if vital < 3 else FIRST[3][d]) for vital, part in enumerate(FIRST)] for d in range(2)]
    joint = np.stack([np.einsum("i,j,k,l->ijkl", *table).ravel() for table in tables])
    joint = joint * (outcome(levels(), np.zeros(VITALS, dtype=int)) == 0)
    return joint / joint.sum(1, keepdims=True)


def _switched(treatment: int) -> tuple[bool, bool, bool]:
    """Antibiotics, vasopressors, ventilation."""
    return bool(treatment & 4), bool(treatment & 2), bool(treatment & 1)


def _moves(diabetic: bool, before: tuple[bool, bool, bool], given: tuple[bool, bool, bool]) -> list[np.ndarray]:
    """A matrix a vital; where two treatments act on one, antibiotics act first."""
    antibiotics, vasopressors, ventilation = given
    touched = [on or was for on, was in zip(given, before, strict=True)]
    rate, pressure, oxygen, glucose = (np.eye(count) for count in LEVELS)
    if touched[0]:
        moved = _shift(3, 2, 1, 0.5) if antibiotics else _shift(3, 1, 2, 0.1)
        rate, pressure = rate @ moved, pressure @ moved
    if touched[1]:
        pressure = pressure @ _pressed(diabetic, vasopressors)
    if touched[2]:
        oxygen = oxygen @ (_shift(2, 0, 1, 0.7) if ventilation else _shift(2, 1, 0, 0.1))
    if not vasopressors:
        glucose = _drift(5, 0.3, 0.3) if diabetic else _drift(5, 0.1, 0.1)
    elif diabetic:
        glucose = _drift(5, 0.5, 0.0)
    rate = rate if touched[0] else _drift(3, 0.1, 0.1)
    pressure = pressure if touched[0] or touched[1] else _drift(3, 0.1, 0.1)
    oxygen = oxygen if touched[2] else _drift(2, 0.1, 0.1)
    return [rate, pressure, oxygen, glucose]


def _pressed(diabetic: bool, on: bool) -> np.ndarray:
    """What vasopressors do to the blood pressure, or their withdrawal."""
    if not on:
        return _drift(3, 0.0, 0.05 if diabetic else 0.1)
    if not diabetic:
        return _drift(3, 0.7, 0.0)
    return np.array([[0.1, 0.5, 0.4], [0.0, 0.1, 0.9], [0.0, 0.0, 1.0]])


def _capped() -> np.ndarray:
    """The slip of the released code: with 0.1, from any level to the next one, but to the second at most."""
    matrix = np.zeros((5, 5))
    matrix[np.arange(5), np.minimum(np.arange(5) + 1, 1)] = 0.1
    return matrix


def _shift(count: int, start: int, end: int, chance: float) -> np.ndarray:
    """From one level to another."""
    matrix = np.eye(count)
    matrix[start, start], matrix[start, end] = 1 - chance, chance
    return matrix


def _drift(count: int, up: float, down: float) -> np.ndarray:
    """A level up or down; at the ends there is one way only."""
    matrix = up * np.eye(count, k=1) + down * np.eye(count, k=-1)
    return matrix + np.diag(1 - matrix.sum(1))
