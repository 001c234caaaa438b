"""A hundred and fifty virtual patients: facts that are on the chart, and sensitivities that nobody can see.

Hidden constants are log-normal about the typical ones, with the coefficients of variation that the papers report:
Schnider 1998, Minto 1997 and Bouillon 2004. Three are not theirs. For propofol's ke0 none is reported; 42% is usual in
simulation studies. Bouillon's 89% of remifentanil's C50 for the BIS and 90% of propofol's slope for tolerance, from
twenty volunteers, would give patients whom an opioid alone puts to sleep and others with a slope of twenty: here they
vary like the opioid's C50 for tolerance (26%) and the slope of the BIS (30.4%).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from foreworld.domains.anaesthesia_model import Bodies, Kinetics, Response, minto, schnider, typical_response
from foreworld.domains.base import derive_seed

NAMES = tuple(f"{sex}#{number:03d}" for sex in ("man", "woman") for number in range(75))
AGE = (20.0, 70.0)  # years
MASS_INDEX = (19.0, 32.0)  # kg/m2
HEIGHT = {"man": (177.0, 7.0), "woman": (164.0, 6.5)}  # mean and standard deviation, cm

PROPOFOL = {"v1": 0.0404, "v2": 0.01, "v3": 0.1435, "cl1": 0.1005, "cl2": 0.01, "cl3": 0.1179, "ke0": 0.42}
REMIFENTANIL = {"v1": 0.26, "v2": 0.29, "v3": 0.66, "cl1": 0.14, "cl2": 0.36, "cl3": 0.41, "ke0": 0.68}
RESPONSE = {
    "bis_propofol": 0.182,
    "bis_remifentanil": 0.26,
    "bis_slope": 0.304,
    "tol_remifentanil": 0.26,
    "tol_propofol_slope": 0.304,
    "tol_remifentanil_slope": 0.23,
}
MOST = 2.5  # standard deviations of the logarithm: no patient is farther from the typical one

Constants = TypeVar("Constants", Kinetics, Response)


@dataclass(frozen=True)
class Population:
    """Every patient: facts, the kinetics of both drugs, and sensitivity."""

    bodies: Bodies
    propofol: Kinetics
    remifentanil: Kinetics
    response: Response


@cache
def population(age: tuple[float, float] = AGE, mass_index: tuple[float, float] = MASS_INDEX) -> Population:
    """The patients of NAMES, in order; the same people whatever the ranges of age and body mass index (kg/m2)."""
    rngs = [np.random.default_rng(derive_seed(0, "anaesthesia", name)) for name in NAMES]
    male = np.array([float(name.startswith("man")) for name in NAMES])
    share = np.array([rng.random(2) for rng in rngs])
    normal = np.clip(
        [rng.standard_normal(1 + 2 * len(fields(Kinetics)) + len(fields(Response))) for rng in rngs], -MOST, MOST
    )
    middle, spread = np.array([HEIGHT[name.partition("#")[0]] for name in NAMES]).T
    height = np.round(middle + spread * normal[:, 0])
    index = mass_index[0] + (mass_index[1] - mass_index[0]) * share[:, 1]
    bodies = Bodies(
        age=np.round(age[0] + (age[1] - age[0]) * share[:, 0]),
        height=height,
        weight=np.round(index * (height / 100) ** 2),
        male=male,
    )
    kinetics = len(fields(Kinetics))
    first, second, third = np.split(normal[:, 1:], [kinetics, 2 * kinetics], axis=1)
    return Population(
        bodies=bodies,
        propofol=_vary(schnider(bodies), PROPOFOL, first),
        remifentanil=_vary(minto(bodies), REMIFENTANIL, second),
        response=_vary(typical_response(len(NAMES)), RESPONSE, third),
    )


def _vary(
    typical: Constants, variation: Mapping[str, float], normal: Float[np.ndarray, "patient constant"]
) -> Constants:
    """Log-normal constants whose median is the typical one, by their coefficients of variation."""
    changed = {}
    for column, field in enumerate(fields(typical)):
        spread = np.sqrt(np.log1p(variation.get(field.name, 0.0) ** 2))
        changed[field.name] = getattr(typical, field.name) * np.exp(spread * normal[:, column])
    return replace(typical, **changed)
