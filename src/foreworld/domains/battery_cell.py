"""A lithium-ion cell, many at once: the equations are PyBaMM's, only the time stepping is ours.

The single-particle model with electrolyte (SPMe; Marquis et al., J. Electrochem. Soc. 166(15), 2019) with a lumped
temperature and the parameters of the 5 Ah LG M50 cell (Chen et al., J. Electrochem. Soc. 167, 2020), where diffusion in
the particles slows down in the cold as O'Regan et al. measured (Electrochimica Acta 425, 2022); discretised by PyBaMM
and exported as one CasADi function. PyBaMM's own solver takes one cell through 30 s in about 5 ms; the fixed
steps here take it in half a millisecond and stay within 0.5 mV of it.
"""

import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float

from foreworld.errors import MissingExtraError

SUBSTEP = 5.0  # s
LOWEST, HIGHEST = 2.5, 4.2  # V, of the cell's data sheet
HOT, HOTTEST = 55.0, 60.0  # degC: the management system eases the current from the one and stops it at the other
KELVIN = 273.15
REFERENCE = 298.15  # K, the unit of temperature in PyBaMM's scaled state
BISECTIONS = 10  # to less than a hundredth of an ampere
GAMMA = 1 - np.sqrt(0.5)  # L-stable
INPUTS = (
    "Current function [A]",
    "Ambient temperature [K]",
    "Total heat transfer coefficient [W.m-2.K-1]",
    "Contact resistance [Ohm]",
    "Negative electrode active material volume fraction",
    "Positive electrode active material volume fraction",
)
ACTIVATION = {"Negative particle diffusivity [m2.s-1]": 2092.0, "Positive particle diffusivity [m2.s-1]": 1449.0}  # K
NEGATIVE, POSITIVE, ELECTROLYTE, TEMPERATURE = slice(2, 22), slice(22, 42), slice(42, 102), 102  # rows of the state


@dataclass(frozen=True)
class Cells:
    """What makes N cells differ; every array has shape [N].

    Attributes:
        capacity: active material left in both electrodes, as a fraction of a new cell's.
        resistance: of the contacts (ohm).
        cooling: heat transfer coefficient to the air (W/m2/K).
    """

    capacity: np.ndarray
    resistance: np.ndarray
    cooling: np.ndarray


@dataclass(frozen=True)
class _Exported:
    """PyBaMM's discretised cell as CasADi functions of one state and the six INPUTS."""

    advance: Any
    voltage: Any
    active: tuple[float, float]
    window: tuple[float, ...]
    rest: np.ndarray


def initial(charge: Float[np.ndarray, " cell"], air: Float[np.ndarray, " cell"]) -> Float[np.ndarray, "cell state"]:
    """Cells at rest, at a state of charge between 0 and 1 and as warm as the air (degC)."""
    exported = _export()
    empty_negative, full_negative, full_positive, empty_positive = exported.window
    state = np.tile(exported.rest, (len(charge), 1))
    state[:, NEGATIVE] = (empty_negative + charge * (full_negative - empty_negative))[:, None]
    state[:, POSITIVE] = (empty_positive + charge * (full_positive - empty_positive))[:, None]
    state[:, TEMPERATURE] = (air + KELVIN) / REFERENCE
    return state


def temperature(state: Float[np.ndarray, "cell state"]) -> Float[np.ndarray, " cell"]:
    """degC."""
    return state[:, TEMPERATURE] * REFERENCE - KELVIN


def voltage(
    state: Float[np.ndarray, "cell state"],
    cells: Cells,
    current: Float[np.ndarray, " cell"],
    air: Float[np.ndarray, " cell"],
) -> Float[np.ndarray, " cell"]:
    """Between the terminals while a current flows (V); discharge is positive."""
    return _call(_export().voltage, state, _inputs(cells, current, air))[:, 0]


def advance(
    state: Float[np.ndarray, "cell state"],
    cells: Cells,
    current: Float[np.ndarray, " cell"],
    air: Float[np.ndarray, " cell"],
) -> Float[np.ndarray, "cell state"]:
    """One SUBSTEP under a constant current (A), by the second-order Rosenbrock W-method ROS2 (Verwer et al., SIAM J.
    Sci. Comput. 20(4), 1999): with W = 1 - gamma h A, where A keeps the diffusion in each particle and in the
    electrolyte and the cooling of the Jacobian,

        W k1 = f(y),  W k2 = f(y + h k1) - 2 k1,  y' = y + h (3/2 k1 + 1/2 k2).
    """
    return _call(_export().advance, state, _inputs(cells, current, air))


def managed(
    state: Float[np.ndarray, "cell state"],
    cells: Cells,
    requested: Float[np.ndarray, " cell"],
    air: Float[np.ndarray, " cell"],
) -> tuple[Float[np.ndarray, "cell state"], Float[np.ndarray, " cell"]]:
    """One SUBSTEP under what a battery management system lets through of a requested current.

    A hot cell gets less, and no current takes the voltage out of the cell's window: at the limit the voltage is held
    and the current falls, as in the second phase of a charge.

    Returns:
        (state, current that flowed).
    """
    current = requested * np.clip((HOTTEST - temperature(state)) / (HOTTEST - HOT), 0, 1)
    after = advance(state, cells, current, air)
    over = np.flatnonzero(_margin(voltage(after, cells, current, air), current) < 0)
    if over.size:
        some = Cells(cells.capacity[over], cells.resistance[over], cells.cooling[over])
        current[over] = _hold(state[over], some, current[over], air[over])
        after[over] = advance(state[over], some, current[over], air[over])
    return after, current


def _margin(reached: Float[np.ndarray, " cell"], current: Float[np.ndarray, " cell"]) -> Float[np.ndarray, " cell"]:
    """Volts left to the limit that a current moves towards, within 0.5 V; the model has no solution far beyond it."""
    left = np.where(current < 0, HIGHEST - reached, reached - LOWEST)
    return np.where(np.abs(reached) < 5, np.clip(left, -0.5, 0.5), -0.5)


def _hold(
    state: Float[np.ndarray, "cell state"], cells: Cells, current: Float[np.ndarray, " cell"], air: np.ndarray
) -> Float[np.ndarray, " cell"]:
    """The most of a current that does not break the limit, by bisection.

    A secant fails here: where a particle's surface is full or empty, the voltage is a cliff.
    """
    allowed, refused = np.zeros_like(current), np.ones_like(current)
    for _ in range(BISECTIONS):
        share = (allowed + refused) / 2
        trial = share * current
        kept = _margin(voltage(advance(state, cells, trial, air), cells, trial, air), trial) >= 0
        allowed, refused = np.where(kept, share, allowed), np.where(kept, refused, share)
    return allowed * current


def _inputs(cells: Cells, current: np.ndarray, air: np.ndarray) -> Float[np.ndarray, "cell input"]:
    negative, positive = _export().active
    columns = (
        current,
        air + KELVIN,
        cells.cooling,
        cells.resistance,
        negative * cells.capacity,
        positive * cells.capacity,
    )
    return np.stack(columns, axis=1)


def _call(function: Any, state: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    return np.array(function(state.T, inputs.T)).T


def built(fixed: dict[str, float] | None = None, solver: Any = None) -> Any:
    """A `pybamm.Simulation` of the cell with some of INPUTS fixed and the others left open.

    Raises:
        MissingExtraError: PyBaMM is not installed.
    """
    if find_spec("pybamm") is None:
        raise MissingExtraError("the battery domain", "battery")
    os.environ.setdefault("PYBAMM_DISABLE_TELEMETRY", "true")
    import pybamm

    def thawed(usual: float, activation: float) -> Any:
        return lambda _, kelvin: usual * pybamm.exp(activation * (1 / REFERENCE - 1 / kelvin))

    values = pybamm.ParameterValues("Chen2020")
    for name, activation in ACTIVATION.items():
        values[name] = thawed(values[name], activation)
    values.update({name: "[input]" for name in INPUTS} | (fixed or {}))
    cell = pybamm.lithium_ion.SPMe({"thermal": "lumped", "contact resistance": "true"})
    cell.events = []  # the management system sees to the limits
    return pybamm.Simulation(cell, parameter_values=values, solver=solver)


@cache
def _export() -> _Exported:
    simulation = built()
    import casadi
    import pybamm

    new = pybamm.ParameterValues("Chen2020")
    usual = {name: new[name] for name in INPUTS[-2:]} | dict.fromkeys(INPUTS[:4], 0.0)
    simulation.build(inputs=usual)
    discretised = simulation.built_model
    rest = discretised.concatenated_initial_conditions.evaluate(inputs=usual | {INPUTS[1]: REFERENCE}).ravel()
    time, state, inputs = casadi.MX.sym("t"), casadi.MX.sym("y", len(rest)), casadi.MX.sym("u", len(INPUTS))
    named = {name: inputs[index] for index, name in enumerate(INPUTS)}
    symbols = (discretised.concatenated_rhs, discretised.get_processed_variable("Voltage [V]"))
    expressions = [symbol.to_casadi(time, state, inputs=named) for symbol in symbols]
    both = casadi.Function("cell", [state, inputs], expressions).expand()
    state, inputs = casadi.SX.sym("y", len(rest)), casadi.SX.sym("u", len(INPUTS))
    rate, volts = both.call([state, inputs])
    return _Exported(
        advance=casadi.Function("advance", [state, inputs], [_ros2(casadi, state, rate)], {"cse": True}),
        voltage=casadi.Function("voltage", [state, inputs], [volts]),
        active=(usual[INPUTS[-2]], usual[INPUTS[-1]]),
        window=tuple(map(float, pybamm.lithium_ion.get_min_max_stoichiometries(new))),
        rest=rest,
    )


def _ros2(casadi: Any, state: Any, rate: Any) -> Any:
    """The state after one SUBSTEP as a CasADi expression, see `advance`."""
    parts = [
        _tridiagonal(-GAMMA * SUBSTEP * casadi.jacobian(rate[rows], state[rows]))
        for rows in (NEGATIVE, POSITIVE, ELECTROLYTE)
    ]
    cooling = 1 - GAMMA * SUBSTEP * casadi.jacobian(rate[TEMPERATURE], state[TEMPERATURE])

    def solve(right: Any) -> Any:
        blocks = zip(parts, (NEGATIVE, POSITIVE, ELECTROLYTE), strict=True)
        return casadi.vertcat(right[:2], *[part(right[rows]) for part, rows in blocks], right[TEMPERATURE] / cooling)

    first = solve(rate)
    second = solve(casadi.substitute(rate, state, state + SUBSTEP * first) - 2 * first)
    return state + SUBSTEP * (1.5 * first + 0.5 * second)


def _tridiagonal(matrix: Any) -> Any:
    """A solver of (1 + matrix) x = b by the Thomas algorithm, for a symbolic matrix with three diagonals."""
    import casadi

    size = matrix.shape[0]
    pivots, above = [1 + matrix[0, 0]], []
    for row in range(1, size):
        above.append(matrix[row - 1, row] / pivots[-1])
        pivots.append(1 + matrix[row, row] - matrix[row, row - 1] * above[-1])

    def solve(right: Any) -> Any:
        solution = [right[0] / pivots[0]]
        for row in range(1, size):
            solution.append((right[row] - matrix[row, row - 1] * solution[-1]) / pivots[row])
        for row in range(size - 2, -1, -1):
            solution[row] -= above[row] * solution[row + 1]
        return casadi.vertcat(*solution)

    return solve
