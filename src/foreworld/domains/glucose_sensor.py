"""The continuous glucose monitor of simglucose 0.2.11, a GuardianRT, for N episodes at once.

The error model is that of Breton and Kovatchev, J Diabetes Sci Technol 2(5), 2008, with the package's constants.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from foreworld.domains.glucose_model import column

SENSOR = "GuardianRT"
SAMPLE_TIME = 5  # min
LOWEST, HIGHEST = 39.0, 600.0  # mg/dL
KNOT_TIME = 15  # min
BLOCK = 10  # intervals between knots that are interpolated together
AHEAD = 2  # knots after the present interval that a redrawn future keeps, since the spline bends towards them before
SAMPLES = BLOCK * KNOT_TIME // SAMPLE_TIME  # of a block


def draw_innovations(seeds: Sequence[int], samples: int) -> Float[np.ndarray, "episode knot"]:
    """Standard normal innovations for at least so many samples, as the package draws them for a seed in [0, 2**32)."""
    blocks = -(-samples // SAMPLES)
    return np.stack([np.random.RandomState(seed).standard_normal(1 + BLOCK * blocks) for seed in seeds])


def redraw(
    innovations: Float[np.ndarray, "episode knot"], sample: Int[np.ndarray, " episode"], seeds: Sequence[int]
) -> Float[np.ndarray, "episode knot"]:
    """The same past with another future: innovations that come after a sample are replaced.

    A spline bends what lies before a knot as well. With every later knot replaced the error of the present reading
    would move by a tenth of its deviation (1.2 mg/dL, a third of what it moves in a step), and futures would begin at
    another reading than their history ends with. With `AHEAD` more knots kept it moves by a hundredth.

    Args:
        innovations: of each episode.
        sample: the last sample that has been read.
        seeds: for the new innovations.
    """
    fresh = np.stack([np.random.RandomState(seed).standard_normal(innovations.shape[1]) for seed in seeds])
    # Sample i lies (i + 1) * 5 minutes after the first knot; the knot that closes its interval is settled as well.
    settled = -(-(sample + 1) * SAMPLE_TIME // KNOT_TIME) + AHEAD
    return np.where(np.arange(innovations.shape[1]) > settled[:, None], fresh, innovations)


def noise(innovations: Float[np.ndarray, "episode knot"]) -> Float[np.ndarray, "episode sample"]:
    """The sensor's error (mg/dL) in every five-minute sample, as `simglucose.sensor.noise_gen.CGMNoise`.

    A first-order autoregression every 15 minutes, e' = pacf (e + innovation), is made skewed and heavy-tailed by
    Johnson's SU transform, xi + lambda sinh((e - gamma) / delta), and interpolated by cubic splines of 150 minutes.
    """
    names = ("PACF", "gamma", "lambda", "delta", "xi")
    pacf, gamma, scale, delta, xi = (column("sensor_params.csv", name, [SENSOR])[0] for name in names)
    e = innovations.copy()
    for knot in range(1, e.shape[1]):
        e[:, knot] = pacf * (e[:, knot - 1] + innovations[:, knot])
    knots = xi + scale * np.sinh((e - gamma) / delta)
    blocks = np.stack([knots[:, first : first + BLOCK + 1] for first in range(0, e.shape[1] - 1, BLOCK)], axis=1)
    # A sum in fixed order, not a matrix product: an episode's bits must not depend on how many run beside it.
    weights = spline_weights()
    samples = sum(blocks[:, :, knot, None] * weights[:, knot] for knot in range(BLOCK + 1))
    return np.reshape(samples, (len(e), -1))


@cache
def spline_weights() -> Float[np.ndarray, "sample knot"]:
    """The cubic spline through the knots of a block as a linear map: the value at each sample, the first knot left out.

    The ends are "not-a-knot". With second derivatives M (in units of the knot distance) the spline satisfies
    M[i-1] + 4 M[i] + M[i+1] = 6 (y[i-1] - 2 y[i] + y[i+1]) (de Boor, A Practical Guide to Splines, chapter IV).
    """
    size = BLOCK + 1
    left, right = np.zeros((size, size)), np.zeros((size, size))
    for row in range(1, BLOCK):
        left[row, row - 1 : row + 2] = 1, 4, 1
        right[row, row - 1 : row + 2] = 6, -12, 6
    left[0, :3] = left[-1, -3:] = 1, -2, 1
    bend = np.linalg.solve(left, right)
    time = np.arange(1, SAMPLES + 1) * SAMPLE_TIME / KNOT_TIME
    knot = np.ceil(time).astype(int)
    u = (time - (knot - 1))[:, None]
    value = np.eye(size)
    straight = (1 - u) * value[knot - 1] + u * value[knot]
    return straight + ((1 - u) ** 3 - (1 - u)) / 6 * bend[knot - 1] + (u**3 - u) / 6 * bend[knot]


def read(glucose: Float[np.ndarray, " episode"], error: Float[np.ndarray, " episode"]) -> Float[np.ndarray, " episode"]:
    """The sensor's reading (mg/dL), within its range."""
    return np.clip(glucose + error, LOWEST, HIGHEST)
