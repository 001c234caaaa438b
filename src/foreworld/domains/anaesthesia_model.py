"""Propofol and remifentanil in N patients: kinetics by Schnider and Minto, effects by Bouillon.

A drug moves between a central compartment, into which it is infused and from which it is cleared, and two others, and
acts at an effect site without volume. With concentrations c, volumes V, clearances Cl and an infusion rate R,

    V1 dc1/dt = R - Cl1 c1 - Cl2 (c1 - c2) - Cl3 (c1 - c3)        dce/dt = ke0 (c1 - ce)
    V2 dc2/dt = Cl2 (c1 - c2)                                     V3 dc3/dt = Cl3 (c1 - c3)

which is linear, so that a step under constant rates is exact by a matrix exponential. Volumes are in L, clearances in
L/min and ke0 in 1/min; propofol in mg and ug/mL, remifentanil in ug and ng/mL.

Sources: Schnider et al., Anesthesiology 88, 1998 (propofol; ke0 of 90, 1999); Minto et al., Anesthesiology 86, 1997
(remifentanil); Bouillon et al., Anesthesiology 100, 2004 (effects); James, Research on Obesity, 1976 (lean mass).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Bodies:
    """Facts about N patients: age (years), height (cm), weight (kg), and sex (1 for men)."""

    age: Float[np.ndarray, " patient"]
    height: Float[np.ndarray, " patient"]
    weight: Float[np.ndarray, " patient"]
    male: Float[np.ndarray, " patient"]

    @property
    def lean(self) -> Float[np.ndarray, " patient"]:
        """Lean body mass (kg) by James. It falls with weight beyond a body mass index of 36 (women) and 43 (men)."""
        square = (self.weight / self.height) ** 2
        man, woman = 1.1 * self.weight - 128 * square, 1.07 * self.weight - 148 * square
        return np.where(self.male > 0, man, woman)


@dataclass(frozen=True)
class Kinetics:
    """Constants of one drug in N patients: volumes, clearances, and the rate towards the effect site."""

    v1: Float[np.ndarray, " patient"]
    v2: Float[np.ndarray, " patient"]
    v3: Float[np.ndarray, " patient"]
    cl1: Float[np.ndarray, " patient"]
    cl2: Float[np.ndarray, " patient"]
    cl3: Float[np.ndarray, " patient"]
    ke0: Float[np.ndarray, " patient"]


def schnider(bodies: Bodies) -> Kinetics:
    """Propofol in typical patients."""
    age, one = bodies.age - 53, np.ones_like(bodies.age)
    return Kinetics(
        v1=4.27 * one,
        v2=18.9 - 0.391 * age,
        v3=238 * one,
        cl1=1.89 + 0.0456 * (bodies.weight - 77) - 0.0681 * (bodies.lean - 59) + 0.0264 * (bodies.height - 177),
        cl2=1.29 - 0.024 * age,
        cl3=0.836 * one,
        ke0=0.456 * one,
    )


def minto(bodies: Bodies) -> Kinetics:
    """Remifentanil in typical patients."""
    age, lean = bodies.age - 40, bodies.lean - 55
    return Kinetics(
        v1=5.1 - 0.0201 * age + 0.072 * lean,
        v2=9.82 - 0.0811 * age + 0.108 * lean,
        v3=5.42 * np.ones_like(age),
        cl1=2.6 - 0.0162 * age + 0.0191 * lean,
        cl2=2.05 - 0.0301 * age,
        cl3=0.076 - 0.00113 * age,
        ke0=0.595 - 0.007 * age,
    )


@dataclass(frozen=True)
class Response:
    """Sensitivity of N patients to the effect-site concentrations; the defaults are typical, see `typical_response`.

    Attributes:
        awake: BIS without drugs.
        bis_propofol, bis_remifentanil: concentrations of half the effect on the BIS, ug/mL and ng/mL.
        bis_slope: steepness of that effect.
        tol_propofol, tol_remifentanil: concentrations of half the effect on tolerance of laryngoscopy, at intensity 1.
        tol_propofol_slope, tol_remifentanil_slope: their steepness.
        intensity: of laryngoscopy as a stimulus, before the opioid has weakened it.
    """

    awake: Float[np.ndarray, " patient"]
    bis_propofol: Float[np.ndarray, " patient"]
    bis_remifentanil: Float[np.ndarray, " patient"]
    bis_slope: Float[np.ndarray, " patient"]
    tol_propofol: Float[np.ndarray, " patient"]
    tol_remifentanil: Float[np.ndarray, " patient"]
    tol_propofol_slope: Float[np.ndarray, " patient"]
    tol_remifentanil_slope: Float[np.ndarray, " patient"]
    intensity: Float[np.ndarray, " patient"]


def typical_response(patients: int) -> Response:
    """Bouillon's estimates, for so many patients."""
    values = (97.4, 4.47, 19.3, 1.43, 8.04, 1.07, 5.1, 0.97, 1.05)
    return Response(*(np.full(patients, value) for value in values))


def bis(
    propofol: Float[np.ndarray, " patient"], remifentanil: Float[np.ndarray, " patient"], r: Response
) -> Float[np.ndarray, " patient"]:
    """Bispectral index at effect-site concentrations (ug/mL, ng/mL): 97 awake, 40 to 60 in surgery, 0 flat.

    awake (1 - U^g / (1 + U^g)) with U = cp / C50p + cr / C50r: one drug stands in for the other in the ratio of their
    C50, which is additivity in the sense of Loewe (Bouillon's interaction coefficient beta is 0).
    """
    potency = (propofol / r.bis_propofol + remifentanil / r.bis_remifentanil) ** r.bis_slope
    return r.awake / (1 + potency)


def tolerance(
    propofol: Float[np.ndarray, " patient"], remifentanil: Float[np.ndarray, " patient"], r: Response
) -> Float[np.ndarray, " patient"]:
    """Probability of no response to laryngoscopy at effect-site concentrations (ug/mL, ng/mL).

    The hierarchical model: the opioid weakens the stimulus, post = pre (1 - cr^gr / (cr^gr + (C50r pre)^gr)), and
    propofol must suppress what is left, cp^gp / (cp^gp + (C50p post)^gp). The opioid alone does nothing, and both
    together do far more than each: synergy.
    """
    weakened = (remifentanil / (r.tol_remifentanil * r.intensity)) ** r.tol_remifentanil_slope
    stimulus = r.intensity / (1 + weakened)
    effect = (propofol / (r.tol_propofol * stimulus)) ** r.tol_propofol_slope
    return effect / (1 + effect)


@dataclass(frozen=True)
class Transition:
    """What one step makes of concentrations: c' = decay c + gain R; compartments in the order c1, c2, c3, ce."""

    decay: Float[np.ndarray, "to 4 patient"]
    gain: Float[np.ndarray, "to patient"]


def transition(k: Kinetics, minutes: float) -> Transition:
    """The exact step of so many minutes under a constant rate (mg/min or ug/min)."""
    from scipy.linalg import expm

    system = np.zeros((len(k.v1), 5, 5))  # the fifth row holds the rate, which stays what it is
    system[:, 0, 0] = -(k.cl1 + k.cl2 + k.cl3) / k.v1
    system[:, 0, 1], system[:, 0, 2], system[:, 0, 4] = k.cl2 / k.v1, k.cl3 / k.v1, 1 / k.v1
    system[:, 1, 0], system[:, 1, 1] = k.cl2 / k.v2, -k.cl2 / k.v2
    system[:, 2, 0], system[:, 2, 2] = k.cl3 / k.v3, -k.cl3 / k.v3
    system[:, 3, 0], system[:, 3, 3] = k.ke0, -k.ke0
    step = np.stack([expm(one * minutes) for one in system])
    step = np.ascontiguousarray(np.moveaxis(step, 0, -1))
    return Transition(decay=step[:4, :4], gain=step[:4, 4])


def advance(
    concentrations: Float[np.ndarray, "4 patient"], rate: Float[np.ndarray, " patient"], step: Transition
) -> Float[np.ndarray, "4 patient"]:
    """Concentrations one step later."""
    # A sum in fixed order, not a matrix product: an episode's bits must not depend on how many run beside it.
    moved = sum(step.decay[:, source] * concentrations[source] for source in range(4))
    return moved + step.gain * rate
