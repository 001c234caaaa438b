"""The UVA/Padova type-1-diabetes patient (Dalla Man, Rizza and Cobelli, IEEE TBME 54(10), 2007), many patients at once.

The equations, the meal handling and the thirty virtual patients are those of simglucose 0.2.11 (MIT), whose tables are
read from the installed package. The package integrates one patient with an adaptive solver (dopri5); here N patients
take fixed Runge-Kutta steps together.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from foreworld.errors import MissingExtraError

PMOL_PER_UNIT = 6000.0
EAT_RATE = 5.0  # g/min
# Two steps a minute keep a day with meals within 0.1 mg/dL of the package's solver (benchmarks/glucose_simulator.py).
SUBSTEPS = 2
# The package stops these compartments of the state once they are below zero; the others go on.
FROZEN_BELOW_ZERO = (3, 4, 5, 9, 10, 11, 12)
INSULIN_ACTION = 6  # a difference from the basal level, and the only row of the state that may be negative
NEVER_FROZEN = np.array([[index not in FROZEN_BELOW_ZERO] for index in range(13)])


@dataclass(frozen=True)
class Parameters:
    """Constants of N patients, named as in the package's table `vpatient_params.csv`; every array has shape [N]."""

    # Body weight (kg), volumes of glucose (dL/kg) and insulin (L/kg), basal insulin (pmol/L and pmol/kg/min).
    BW: np.ndarray
    Vg: np.ndarray
    Vi: np.ndarray
    Ib: np.ndarray
    u2ss: np.ndarray
    # Stomach and intestine.
    kabs: np.ndarray
    kmax: np.ndarray
    kmin: np.ndarray
    b: np.ndarray
    d: np.ndarray
    f: np.ndarray
    # Glucose: production, exchange, utilisation, excretion, and the way to the skin.
    kp1: np.ndarray
    kp2: np.ndarray
    kp3: np.ndarray
    k1: np.ndarray
    k2: np.ndarray
    Fsnc: np.ndarray
    Vm0: np.ndarray
    Vmx: np.ndarray
    Km0: np.ndarray
    ke1: np.ndarray
    ke2: np.ndarray
    ksc: np.ndarray
    # Insulin: plasma, liver, action, and the depots under the skin.
    m1: np.ndarray
    m2: np.ndarray
    m4: np.ndarray
    m30: np.ndarray
    p2u: np.ndarray
    ki: np.ndarray
    ka1: np.ndarray
    ka2: np.ndarray
    kd: np.ndarray

    @property
    def steady_basal(self) -> Float[np.ndarray, " patient"]:
        """The basal rate (U/h) that holds a fasting patient at the initial state."""
        return self.u2ss * self.BW / PMOL_PER_UNIT * 60


@dataclass(frozen=True)
class Bodies:
    """The state of N patients at a whole minute. Arrays are replaced, never written to.

    Attributes:
        x: solid and liquid stomach content (mg), intestine (mg), plasma and tissue glucose (mg/kg), plasma insulin
            (pmol/kg), insulin action on utilisation and (two delays) on production (pmol/L), liver insulin (pmol/kg),
            two insulin depots under the skin (pmol/kg), glucose under the skin (mg/kg).
        planned: food announced and not yet eaten (g).
        eaten: food eaten since the present or last meal began (g).
        stomach: stomach content when that meal began (mg).
        eating: whether food was eaten in the minute before.
    """

    x: Float[np.ndarray, "13 patient"]
    planned: Float[np.ndarray, " patient"]
    eaten: Float[np.ndarray, " patient"]
    stomach: Float[np.ndarray, " patient"]
    eating: Bool[np.ndarray, " patient"]


@cache
def table(name: str) -> dict[str, dict[str, str]]:
    """A table of the installed simglucose, row by `Name`. The package is located, not imported: it needs a dead gym.

    Raises:
        MissingExtraError: simglucose is not installed.
    """
    spec = find_spec("simglucose")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("the glucose domain", "glucose")
    with (Path(spec.submodule_search_locations[0]) / "params" / name).open(newline="") as file:
        return {row["Name"]: row for row in csv.DictReader(file)}


def column(name: str, key: str, patients: Sequence[str]) -> Float[np.ndarray, " patient"]:
    """One column of a table of the package, for the patients named."""
    rows = table(name)
    return np.array([float(rows[patient][key]) for patient in patients])


def parameters(patients: Sequence[str]) -> Parameters:
    """The constants of the patients named."""
    return Parameters(
        **{field.name: column("vpatient_params.csv", field.name, patients) for field in fields(Parameters)}
    )


def initial(patients: Sequence[str]) -> Bodies:
    """The package's initial state: the fasting steady state under the steady basal rate."""
    x = np.stack([column("vpatient_params.csv", f"x0_{index:2d}", patients) for index in range(1, 14)])
    zero = np.zeros(len(patients))
    return Bodies(x, planned=zero, eaten=zero, stomach=x[0] + x[1], eating=np.zeros(len(patients), dtype=bool))


def glucose(bodies: Bodies, p: Parameters) -> Float[np.ndarray, " patient"]:
    """Glucose under the skin (mg/dL): what a sensor without error would read."""
    return bodies.x[12] / p.Vg


@dataclass(frozen=True)
class Inputs:
    """What enters N patients in one minute; every array has shape [N].

    Attributes:
        food: carbohydrate eaten (mg/min).
        insulin: insulin infused under the skin (pmol/kg/min).
        meal: carbohydrate of the present meal and what the stomach held before it (mg), the paper's `Dbar`.
        rise, fall: slopes of the two tanh branches of gastric emptying (1/mg), zero without a meal.
    """

    food: np.ndarray
    insulin: np.ndarray
    meal: np.ndarray
    rise: np.ndarray
    fall: np.ndarray


def derivative(x: Float[np.ndarray, "13 patient"], p: Parameters, u: Inputs) -> Float[np.ndarray, "13 patient"]:
    """dx/dt a minute, as in `T1DPatient.model`; the rows of x are described at `Bodies`."""
    solid, liquid, intestine, plasma, tissue, insulin, utilising, delayed, producing, liver, depot1, depot2, skin = x
    stomach = solid + liquid
    shape = np.tanh(u.rise * (stomach - p.b * u.meal)) - np.tanh(u.fall * (stomach - p.d * u.meal))
    emptying = p.kmin + (p.kmax - p.kmin) / 2 * (shape + 2)
    concentration = insulin / p.Vi
    appearance = p.f * p.kabs * intestine / p.BW
    production = np.maximum(p.kp1 - p.kp2 * plasma - p.kp3 * producing, 0)
    excretion = p.ke1 * np.maximum(plasma - p.ke2, 0)
    utilisation = (p.Vm0 + p.Vmx * utilising) * tissue / (p.Km0 + tissue)
    exchange = p.k1 * plasma - p.k2 * tissue

    dx = np.empty_like(x)
    dx[0] = u.food - p.kmax * solid
    dx[1] = p.kmax * solid - emptying * liquid
    dx[2] = emptying * liquid - p.kabs * intestine
    dx[3] = production + appearance - p.Fsnc - excretion - exchange
    dx[4] = exchange - utilisation
    dx[5] = p.m1 * liver + p.ka1 * depot1 + p.ka2 * depot2 - (p.m2 + p.m4) * insulin
    dx[6] = p.p2u * (concentration - p.Ib - utilising)
    dx[7] = p.ki * (concentration - delayed)
    dx[8] = p.ki * (delayed - producing)
    dx[9] = p.m2 * insulin - (p.m1 + p.m30) * liver
    dx[10] = u.insulin - (p.ka1 + p.kd) * depot1
    dx[11] = p.kd * depot1 - p.ka2 * depot2
    dx[12] = p.ksc * (plasma - skin)
    return dx * ((x >= 0) | NEVER_FROZEN)


def runge_kutta(
    x: Float[np.ndarray, "13 patient"], p: Parameters, u: Inputs, substeps: int
) -> Float[np.ndarray, "13 patient"]:
    """The state one minute later, by classical fourth-order Runge-Kutta steps under constant inputs."""
    h = 1.0 / substeps
    for _ in range(substeps):
        k1 = derivative(x, p, u)
        k2 = derivative(x + h / 2 * k1, p, u)
        k3 = derivative(x + h / 2 * k2, p, u)
        k4 = derivative(x + h * k3, p, u)
        x = x + h / 6 * (k1 + 2 * (k2 + k3) + k4)
    return x


def minute(
    bodies: Bodies,
    p: Parameters,
    carbs: Float[np.ndarray, " patient"],
    insulin: Float[np.ndarray, " patient"],
    *,
    substeps: int = SUBSTEPS,
) -> Bodies:
    """One minute of N patients, as `T1DPatient.step`.

    Args:
        bodies: the state before.
        p: the patients' constants.
        carbs: carbohydrate put on the table in this minute (g); it is eaten at 5 g/min.
        insulin: infused in this minute (U/min), basal and bolus together.
        substeps: integration steps a minute.
    """
    served = bodies.planned + carbs
    bite = np.minimum(EAT_RATE, served)
    begins = (bite > 0) & ~bodies.eating
    stomach = np.where(begins, bodies.x[0] + bodies.x[1], bodies.stomach)
    eaten = np.where(begins, 0.0, bodies.eaten) + bite
    meal = stomach + eaten * 1000
    steepness = np.divide(5, 2 * meal, out=np.zeros_like(meal), where=meal > 0)
    u = Inputs(
        food=bite * 1000,
        insulin=insulin * PMOL_PER_UNIT / p.BW,
        meal=meal,
        rise=steepness / (1 - p.b),
        fall=steepness / p.d,
    )
    x = runge_kutta(bodies.x, p, u, substeps)
    return Bodies(x, planned=np.maximum(served - bite, 0), eaten=eaten, stomach=stomach, eating=bite > 0)
