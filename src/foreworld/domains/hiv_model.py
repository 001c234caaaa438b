"""HIV in a patient: cells, virus and immune response under two drugs (Adams et al., Math. Biosci. Eng. 1(2), 2004).

With T1, T2 target cells (CD4 lymphocytes, macrophages) per mL, T1*, T2* infected ones, V free virus and E cytotoxic
lymphocytes, under a reverse transcriptase inhibitor of efficacy e1 and a protease inhibitor of efficacy e2:

    T1'  = l1 - d1 T1 - (1 - e1) k1 V T1
    T2'  = l2 - d2 T2 - (1 - f e1) k2 V T2
    T1*' = (1 - e1) k1 V T1 - delta T1* - m1 E T1*
    T2*' = (1 - f e1) k2 V T2 - delta T2* - m2 E T2*
    V'   = (1 - e2) N delta (T1* + T2*) - c V - [(1 - e1) r1 k1 T1 + (1 - f e1) r2 k2 T2] V
    E'   = lE + bE I / (I + Kb) E - dE I / (I + Kd) E - deltaE E,   I = T1* + T2*

The state is kept as natural logarithms, in which every quantity stays above zero and errors are relative. It is stiff:
after a rebound of the virus, macrophages are infected within minutes. So it is integrated by RODAS, a Rosenbrock method
of order 4 (L-stable, stiffly accurate; Hairer and Wanner, Solving ODEs II, section IV.10), each episode with its own
step sizes, so that it does not depend on those beside it.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

State = Float[np.ndarray, "episode 6"]
"""Natural logarithms of T1, T2, T1*, T2*, V and E (1/mL)."""

EFFICACY = (0.7, 0.3)  # e1 and e2 of a drug that is taken
TOLERANCE = 1e-5  # relative error of a step
_LONGEST, _SHORTEST = 2.0, 1e-10  # d, of an integration step
HEALTHY = (967839.0, 621.0, 76.0, 6.0, 415.0, 353108.0)
UNHEALTHY = (163573.0, 5.0, 11945.0, 46.0, 63919.0, 24.0)
"""The two stable steady states of an untreated patient with infection: the immune system in control, and not."""

_GAMMA = 0.25
_A = (
    (),
    (1.544,),
    (0.9466785280815826, 0.2557011698983284),
    (3.314825187068521, 2.896124015972201, 0.9986419139977817),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1.0),
)
_C = (
    (),
    (-5.6688,),
    (-2.430093356833875, -0.2063599157091915),
    (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
    (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
    (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054),
)


@dataclass(frozen=True)
class Patients:
    """The constants of N patients, each a number or an array [N]; the defaults are those of the source.

    Attributes:
        l1, l2, lE: production of T1, T2 and E (1/mL/d).
        d1, d2, delta, deltaE, c: death of T1, T2, infected cells and E, and clearance of virus (1/d).
        k1, k2: infection (mL/d).
        f: how much weaker the first drug is in macrophages.
        m1, m2: killing of infected cells by E (mL/d).
        N: virions from an infected cell. r1, r2: virions that infect a cell.
        bE, dE: largest birth and death of E (1/d). Kb, Kd: infected cells at half of it (1/mL).
    """

    l1: np.ndarray | float = 1e4
    l2: np.ndarray | float = 31.98
    d1: np.ndarray | float = 0.01
    d2: np.ndarray | float = 0.01
    k1: np.ndarray | float = 8e-7
    k2: np.ndarray | float = 1e-4
    f: np.ndarray | float = 0.34
    delta: np.ndarray | float = 0.7
    m1: np.ndarray | float = 1e-5
    m2: np.ndarray | float = 1e-5
    N: np.ndarray | float = 100.0
    c: np.ndarray | float = 13.0
    r1: np.ndarray | float = 1.0
    r2: np.ndarray | float = 1.0
    lE: np.ndarray | float = 1.0
    bE: np.ndarray | float = 0.3
    Kb: np.ndarray | float = 100.0
    dE: np.ndarray | float = 0.25
    Kd: np.ndarray | float = 500.0
    deltaE: np.ndarray | float = 0.1

    def take(self, places: np.ndarray) -> "Patients":
        """Some of them."""
        values = (getattr(self, field.name) for field in fields(self))
        return Patients(*(value[places] if isinstance(value, np.ndarray) else value for value in values))


def advance(state: State, patients: Patients, taken: Float[np.ndarray, "episode 2"], days: float) -> State:
    """The state after some days on these drugs (1 taken, 0 not)."""
    left = np.full(len(state), days)
    step = np.full(len(state), min(0.01, days))
    state = state.copy()
    while (going := np.flatnonzero(left > _SHORTEST)).size:
        some, drugs = patients.take(going), taken[going]
        tried = np.minimum(step[going], left[going])
        moved, error = _rodas(state[going], some, drugs, tried)
        good = error <= 1
        done = going[good]
        state[done] = moved[good]
        left[done] -= tried[good]
        # The usual controller of order 4: no more than six times as long, no less than a fifth.
        factor = 0.9 * np.maximum(error, 1e-10) ** -0.25
        step[going] = np.clip(tried * np.clip(factor, 0.2, 6.0), _SHORTEST, _LONGEST)
    return state


def slopes(state: State, patients: Patients, taken: Float[np.ndarray, "episode 2"]) -> State:
    """The derivative of the logarithms (1/d): d ln y_i / dt = f_i(y) / y_i."""
    p = patients
    t1, t2, i1, i2, virus, immune = np.exp(state).T
    first, second, made = _rates(p, taken)
    infected = i1 + i2
    birth, death = p.bE * infected / (infected + p.Kb), p.dE * infected / (infected + p.Kd)
    return np.stack(
        [
            p.l1 / t1 - p.d1 - first * virus,
            p.l2 / t2 - p.d2 - second * virus,
            first * virus * t1 / i1 - p.delta - p.m1 * immune,
            second * virus * t2 / i2 - p.delta - p.m2 * immune,
            made * infected / virus - p.c - p.r1 * first * t1 - p.r2 * second * t2,
            p.lE / immune + birth - death - p.deltaE,
        ],
        axis=1,
    )


def jacobian(
    state: State, patients: Patients, taken: Float[np.ndarray, "episode 2"]
) -> Float[np.ndarray, "episode 6 6"]:
    """Of `slopes`: every term is a product of powers, and so is its derivative by a logarithm."""
    p = patients
    t1, t2, i1, i2, virus, immune = np.exp(state).T
    first, second, made = _rates(p, taken)
    infected = i1 + i2
    gain1, gain2 = first * virus * t1 / i1, second * virus * t2 / i2
    spread = p.bE * p.Kb / (infected + p.Kb) ** 2 - p.dE * p.Kd / (infected + p.Kd) ** 2
    found = np.zeros((len(state), 6, 6))
    found[:, 0, 0], found[:, 0, 4] = -p.l1 / t1, -first * virus
    found[:, 1, 1], found[:, 1, 4] = -p.l2 / t2, -second * virus
    found[:, 2, 0], found[:, 2, 2], found[:, 2, 4], found[:, 2, 5] = gain1, -gain1, gain1, -p.m1 * immune
    found[:, 3, 1], found[:, 3, 3], found[:, 3, 4], found[:, 3, 5] = gain2, -gain2, gain2, -p.m2 * immune
    found[:, 4, 0], found[:, 4, 1] = -p.r1 * first * t1, -p.r2 * second * t2
    found[:, 4, 2], found[:, 4, 3] = made * i1 / virus, made * i2 / virus
    found[:, 4, 4] = -made * infected / virus
    found[:, 5, 2], found[:, 5, 3], found[:, 5, 5] = spread * i1, spread * i2, -p.lE / immune
    return found


def _rates(patients: Patients, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Infection of either kind of cell (mL/d) and virions from an infected cell (1/d), under drugs."""
    e1, e2 = (taken * EFFICACY).T
    p = patients
    return (1 - e1) * p.k1, (1 - p.f * e1) * p.k2, (1 - e2) * p.N * p.delta


def _rodas(
    state: State, patients: Patients, taken: Float[np.ndarray, "episode 2"], step: Float[np.ndarray, " episode"]
) -> tuple[State, Float[np.ndarray, " episode"]]:
    """One step of RODAS and its error in units of the tolerance; infinite where the step was far too long."""
    slope = slopes(state, patients, taken)
    inverse = np.linalg.inv(np.eye(6) / (_GAMMA * step)[:, None, None] - jacobian(state, patients, taken))
    parts: list[np.ndarray] = []
    with np.errstate(over="ignore", invalid="ignore"):
        for a, c in zip(_A, _C, strict=True):
            if a:
                place = state + sum(factor * part for factor, part in zip(a, parts, strict=True))
                slope = slopes(np.minimum(place, 60.0), patients, taken)
            carried = sum((factor * part for factor, part in zip(c, parts, strict=True)), np.zeros_like(state))
            parts.append(np.einsum("eij,ej->ei", inverse, slope + carried / step[:, None]))
        moved = state + sum(factor * part for factor, part in zip((*_A[5][:4], 1.0, 1.0), parts, strict=True))
        error = np.abs(parts[5]).max(1) / TOLERANCE
    bad = ~(np.isfinite(moved).all(1) & np.isfinite(error))
    return moved, np.where(bad, np.inf, error)
