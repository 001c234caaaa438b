"""A lung tumour under chemotherapy and radiotherapy: Gompertz growth, log-kill and the linear-quadratic model.

    V[t+1] = V[t] (1 + rho ln(K / V[t]) - beta_c C[t] - (alpha d[t] + beta d[t]^2) + e[t+1])
    C[t] = C[t-1] / 2 + chemotherapy dose[t]

with volume V (cm^3), carrying capacity K, drug concentration C, radiation dose d (Gy) and e ~ N(0, 0.01^2) a day.
Geng, Paganetti and Grassberger, Scientific Reports 7, 13542 (2017), with the population and the daily noise of the
benchmark built on it (Lim 2018; Bica 2020; Melnychuk 2022). One day a step; arrays have one entry a patient.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

NOISE = 0.01  # of the daily growth rate
CELLS = 5.8e8  # per cm^3
CHEMO_DOSE, RADIO_DOSE = 5.0, 2.0  # one application; Gy
CHEMO_LEFT = 0.5  # of the concentration after a day
ALPHA_BETA = 10.0  # alpha / beta
ALPHA_MEAN, RHO_MEAN = 0.0398, 7.0e-5  # before negative values are rejected
ALPHA_SPREAD, RHO_SPREAD, CORRELATION = 0.168, 7.23e-3, 0.87
CHEMO_MEAN, CHEMO_SPREAD = 0.028, 0.0007
RESPONSE = 0.1  # by which types 1 and 3 answer better to radiation and to the drug, of the mean before rejection
TYPES = ("type1", "type2", "type3")
# Patients counted, mean and deviation of the log diameter, smallest and largest diameter (cm).
STAGES = {
    "I": (1432, 1.72, 4.70, 0.3, 5.0),
    "II": (128, 1.96, 1.63, 0.3, 13.0),
    "IIIA": (1306, 1.91, 9.40, 0.3, 13.0),
    "IIIB": (7248, 2.76, 6.87, 0.3, 13.0),
    "IV": (12840, 3.86, 8.82, 0.3, 13.0),
}


def volume_of(diameter):
    """Volume (cm^3) of a sphere of this diameter (cm)."""
    return np.pi / 6 * np.asarray(diameter, float) ** 3


def diameter_of(volume):
    """Diameter (cm) of a sphere of this volume (cm^3); negative volumes have none."""
    return np.cbrt(6 / np.pi * np.maximum(volume, 0))


LARGEST = 13.0  # cm; the patient dies.
LETHAL = float(volume_of(LARGEST))
CAPACITY = float(volume_of(30.0))


@dataclass(frozen=True)
class Patients:
    """Who N patients are.

    Attributes:
        kind: patient type, 0 to 2, known to everyone.
        stage: index into STAGES.
        rho: growth rate (1/day).
        alpha: radiosensitivity (1/Gy); `beta` is a tenth of it (1/Gy^2).
        beta_c: chemosensitivity (1/concentration).
    """

    kind: Int[np.ndarray, " patient"]
    stage: Int[np.ndarray, " patient"]
    rho: Float[np.ndarray, " patient"]
    alpha: Float[np.ndarray, " patient"]
    beta_c: Float[np.ndarray, " patient"]

    @property
    def theta(self) -> Float[np.ndarray, "patient 3"]:
        """(rho, beta_c, alpha): what is hidden, in which a day's growth is linear; see `regressors`."""
        return np.stack([self.rho, self.beta_c, self.alpha], axis=1)


def draw_patients(count: int, rng: np.random.Generator, kind: Int[np.ndarray, " patient"] | None = None) -> Patients:
    """Patients of the benchmark's population, of these types or of types in equal shares."""
    from scipy.special import ndtr, ndtri

    kind = rng.integers(0, len(TYPES), count) if kind is None else kind
    shares = np.array([stage[0] for stage in STAGES.values()], float)
    stage = rng.choice(len(STAGES), count, p=shares / shares.sum())
    cross = CORRELATION * ALPHA_SPREAD * RHO_SPREAD
    covariance = [[ALPHA_SPREAD**2, cross], [cross, RHO_SPREAD**2]]
    drawn = np.full((count, 2), -1.0)
    while (bad := (drawn <= 0).any(1)).any():
        drawn[bad] = rng.multivariate_normal([ALPHA_MEAN, RHO_MEAN], covariance, int(bad.sum()))
    lowest = ndtr(-CHEMO_MEAN / CHEMO_SPREAD)
    beta_c = CHEMO_MEAN + CHEMO_SPREAD * ndtri(rng.uniform(lowest, 1, count))
    return Patients(
        kind=kind,
        stage=stage,
        rho=drawn[:, 1],
        alpha=drawn[:, 0] + np.where(kind == 0, RESPONSE * ALPHA_MEAN, 0.0),
        beta_c=beta_c + np.where(kind == 2, RESPONSE * CHEMO_MEAN, 0.0),
    )


def first_diameter(
    stage: Int[np.ndarray, " patient"], level: Float[np.ndarray, " patient"]
) -> Float[np.ndarray, " patient"]:
    """Diameter (cm) at diagnosis: this quantile (0 to 1) of the stage's truncated log-normal."""
    from scipy.special import ndtr, ndtri

    _, mean, spread, low, high = np.array(list(STAGES.values())).T[:, stage]
    below, above = (ndtr((np.log(end) - mean) / spread) for end in (low, high))
    return np.clip(np.exp(mean + spread * ndtri(below + level * (above - below))), low, high)


def regressors(
    volume: Float[np.ndarray, "*case"], concentration: Float[np.ndarray, "*case"], radio: Float[np.ndarray, "*case"]
) -> Float[np.ndarray, "*case 3"]:
    """x with V[t+1] / V[t] - 1 = x . (rho, beta_c, alpha) + e; radio is a dose (Gy). Not finite for volumes <= 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.log(CAPACITY / volume)
    return np.stack([growth, -concentration, -(radio + radio**2 / ALPHA_BETA)], axis=-1)


def grow(
    volume: Float[np.ndarray, "*case"],
    concentration: Float[np.ndarray, "*case"],
    radio: Float[np.ndarray, "*case"],
    theta: Float[np.ndarray, "*#case 3"],
    noise: Float[np.ndarray, "*#case"] | float = 0.0,
) -> Float[np.ndarray, "*case"]:
    """The volume a day later, before anyone dies or recovers; it may be negative, and is NaN where it was before."""
    x = regressors(volume, concentration, radio)
    with np.errstate(invalid="ignore"):
        return volume * (1 + (x * theta).sum(-1) + noise)


def settle(
    volume: Float[np.ndarray, " patient"], chance: Float[np.ndarray, " patient"]
) -> Float[np.ndarray, " patient"]:
    """Death at the lethal volume, and recovery (volume 0) with probability exp(-cells); `chance` is uniform."""
    recovered = chance < np.exp(-np.maximum(volume, 0) * CELLS)
    return np.where(recovered, 0.0, np.minimum(volume, LETHAL))


@cache
def prior(kind: int) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
    """Mean and covariance of (rho, beta_c, alpha) over patients of a type, from a large fixed sample."""
    theta = draw_patients(400_000, np.random.default_rng(0), np.full(400_000, kind)).theta
    return theta.mean(0), np.cov(theta, rowvar=False)
