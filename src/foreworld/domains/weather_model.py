"""The two-scale model of Lorenz (1996) for N atmospheres at once.

E. N. Lorenz, "Predictability: a problem partly solved", ECMWF Seminar on Predictability, 1996. Sizes and constants are
those of D. S. Wilks, QJRMS 131, 2005, and H. M. Arnold, I. M. Moroz and T. N. Palmer, Phil. Trans. R. Soc. A 371, 2013.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

SECTORS, CELLS = 8, 32  # slow variables around a circle of latitude, and fast ones in each sector
SCALE = 10.0  # b: fast variables are as many times smaller than slow ones
SUBSTEP = 1 / 180  # model time units; long-run statistics are those of substeps four times shorter
TOGETHER = 32  # episodes that are integrated side by side

State = Float[np.ndarray, "episode state"]
"""The 8 slow variables X, then the 256 fast ones Y around the circle."""


@dataclass(frozen=True)
class Parameters:
    """How each atmosphere's scales belong together.

    Attributes:
        coupling: h, strength of the exchange between the scales.
        speed: c, how many times faster the fast variables are.
    """

    coupling: Float[np.ndarray, " episode"]
    speed: Float[np.ndarray, " episode"]

    def of(self, episodes: slice) -> "Parameters":
        """Those of some episodes."""
        return Parameters(self.coupling[episodes], self.speed[episodes])


def derivative(state: State, forcing: Float[np.ndarray, " episode"], p: Parameters) -> State:
    """dX/dt and dY/dt in model time units (eqs. 2 and 3 of Arnold et al. 2013).

    dX[k] = -X[k-1] (X[k-2] - X[k+1]) - X[k] + F - (h c / b) sum of Y in sector k
    dY[j] = -c b Y[j+1] (Y[j+2] - Y[j-1]) - c Y[j] + (h c / b) X[sector of j]

    Advection and the exchange conserve the energy of both scales together; forcing feeds it, damping drains it.
    """
    exchange = (p.coupling * p.speed / SCALE)[:, None]
    speed = p.speed[:, None]
    x, y = state[:, :SECTORS], state[:, SECTORS:]
    # Around the circle: one neighbour more on the side that is looked back at, two on the other.
    slow = np.concatenate([x[:, -2:], x, x[:, :1]], axis=1)
    fast = np.concatenate([y[:, -1:], y, y[:, :2]], axis=1)
    # Sums along the last, contiguous axis have the same bits however many episodes run side by side.
    drain = y.reshape(len(y), SECTORS, CELLS).sum(axis=2)
    dx = slow[:, 1:-2] * (slow[:, 3:] - slow[:, :-3]) - x + forcing[:, None] - exchange * drain
    dy = fast[:, 2:-1] * (fast[:, :-3] - fast[:, 3:])
    dy *= SCALE * speed
    dy -= speed * y
    dy += np.repeat(exchange * x, CELLS, axis=1)
    return np.concatenate([dx, dy], axis=1)


def advance(
    state: State, forcing: Float[np.ndarray, " episode"], p: Parameters, *, duration: float, substep: float = SUBSTEP
) -> State:
    """The state after so many model time units of constant forcing, by classical fourth-order Runge-Kutta steps."""
    count = max(round(duration / substep), 1)
    # In parts that fit in the cache: of a thousand episodes, every temporary would be fetched from memory.
    parts = [slice(start, start + TOGETHER) for start in range(0, len(state), TOGETHER)]
    after = [_advance(state[part], forcing[part], p.of(part), duration / count, count) for part in parts]
    return np.concatenate(after) if after else state


def _advance(state: State, forcing: Float[np.ndarray, " episode"], p: Parameters, h: float, count: int) -> State:
    for _ in range(count):
        k1 = derivative(state, forcing, p)
        k2 = derivative(state + h / 2 * k1, forcing, p)
        k3 = derivative(state + h / 2 * k2, forcing, p)
        k4 = derivative(state + h * k3, forcing, p)
        state = state + h / 6 * (k1 + 2 * (k2 + k3) + k4)
    return state
