"""What battery engineers forecast with: an equivalent circuit and one thermal mass, fitted to recorded cells.

Thevenin's model with one RC pair (Hu, Li and Peng, J. Power Sources 198, 2012) over the charge d that is missing,

    V = OCV(d) - s (R0 I + R1 u),  d' = d + I dt,  u' = alpha u + (1 - alpha) I,

where the open-circuit voltage is piecewise linear and s scales the resistances of one cell; and a lumped temperature,

    T' = T + a (T_air - T) + b I^2.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.signal import lfilter

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Cases, Forecaster, Plan, cut
from foreworld.domains.battery_cell import HIGHEST, LOWEST

KNOTS = np.linspace(-0.5, 6.5, 29)  # A h missing
MISSING = np.linspace(-0.4, 6.0, 161)
MEMORIES = (30.0, 90.0, 270.0)  # s, of the RC pair
COOLINGS = np.geomspace(0.005, 0.2, 24)  # share of a difference in temperature that is gone after a row
ROUNDS = 12  # of fitting the curve to the cells and the cells to the curve
RECENT = 240  # rows of a history that are looked at
TRUST = 100.0  # the training cells' heat weighs as much as so many A^4 of evidence of the cell's own
CASES = 400


@dataclass(frozen=True)
class Cell:
    """The state of one cell at the end of a history, and what is its own.

    Attributes:
        missing: charge (A h). resistance: scale s. memory: current u of the RC pair (A).
        temperature, air: degC. cooling, heating: a and b.
    """

    missing: float
    resistance: float
    memory: float
    temperature: float
    air: float
    cooling: float
    heating: float


@dataclass(frozen=True)
class EquivalentCircuit:
    """A fitted circuit; `spread` is the standard deviation of its errors in training by step and target."""

    ocv: Float[np.ndarray, " knot"]
    ohmic: float
    polarisation: float
    keeps: float
    heating: float
    row_time: float
    spread: Float[np.ndarray, "step 2"]

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """Voltage (V) and temperature (degC): the circuit's path, and normal errors of the size seen in training."""
        mean = self.path(histories, plan)
        draws = np.random.default_rng(seed).standard_normal((members, len(mean), 1, 2))
        return mean + draws * self.spread[: plan.horizon]

    def path(self, histories: Episodes, plan: Plan) -> Float[np.ndarray, "episode step target"]:
        """The circuit's answer, the current kept within the window as the management system keeps it."""
        cells = [self.locate(episode) for episode in histories]
        state = {name: np.array([getattr(cell, name) for cell in cells]) for name in Cell.__dataclass_fields__}
        missing, memory, heat = state["missing"], state["memory"], state["temperature"]
        first, second = state["resistance"] * self.ohmic, state["resistance"] * self.polarisation
        answer = np.empty((len(cells), plan.horizon, 2))
        for step in range(plan.horizon):
            free = np.interp(missing, KNOTS, self.ocv) - second * self.keeps * memory
            total = first + second * (1 - self.keeps)
            current = np.clip(plan.actions[:, step, 0], (free - HIGHEST) / total, (free - LOWEST) / total)
            missing = missing + current * self.row_time / 3600
            memory = self.keeps * memory + (1 - self.keeps) * current
            voltage = np.interp(missing, KNOTS, self.ocv) - first * current - second * memory
            heat = heat + state["cooling"] * (state["air"] - heat) + state["heating"] * current**2
            answer[:, step] = np.stack([np.clip(voltage, LOWEST, HIGHEST), heat], axis=1)
        return answer

    def locate(self, episode: Episode) -> Cell:
        """Where a cell stands: the missing charge and the scale of its resistances that explain its recent voltages."""
        voltage, temperature, current, counted, air = episode.observations[-RECENT:, :5].T
        memory = _memory(current, self.keeps)
        drop = self.ohmic * current + self.polarisation * memory
        weight = 0.97 ** np.arange(len(voltage))[::-1]
        over = np.interp(MISSING[:, None] + counted - counted[-1], KNOTS, self.ocv) - voltage
        # A weak pull towards s = 1, for histories without much current.
        scale = np.clip((over @ (weight * drop) + 0.002) / ((weight * drop) @ drop + 0.002), 0.4, 3)
        lost = np.square(over - scale[:, None] * drop) @ weight
        best = int(lost.argmin())
        now, cooling, heating = _thermal(temperature, air, current**2, self.heating)
        return Cell(MISSING[best], float(scale[best]), float(memory[-1]), now, float(air[-1]), cooling, heating)


def fit(episodes: Episodes, horizon: int) -> Forecaster:
    """A circuit for recorded cells: the columns are those of the domain `battery`."""
    circuit = min((_fit_voltage(episodes, memory) for memory in MEMORIES), key=lambda found: found[1])[0]
    cases = _cases(episodes, horizon)
    spread = np.std(cases.truth - circuit.path(cases.histories, cases.plan), axis=0)
    return EquivalentCircuit(**{**vars(circuit), "spread": spread})


def _fit_voltage(episodes: Episodes, memory: float) -> tuple[EquivalentCircuit, float]:
    """Alternate between the curve and resistances of all cells and the charge that each began with.

    Returns:
        The circuit and its mean squared error (V^2).
    """
    row_time = float(np.median(np.diff(episodes[0].time)))
    keeps = float(np.exp(-row_time / memory))
    rows = [episode.observations for episode in episodes]
    drops = [np.stack([row[:, 2], _memory(row[:, 2], keeps)], axis=1) for row in rows]
    began = np.array([np.clip((4.15 - row[0, 0]) * 5, 0, 5) for row in rows])
    target = np.concatenate([row[:, 0] for row in rows])
    roughness = 0.3 * np.pad(np.diff(np.eye(len(KNOTS)), 2, axis=0), ((0, 0), (0, 2)))
    found, error = np.zeros(len(KNOTS) + 2), np.inf
    for _ in range(ROUNDS):
        missing = np.concatenate([start + row[:, 3] for start, row in zip(began, rows, strict=True)])
        design = np.concatenate([_hats(missing), -np.concatenate(drops)], axis=1)
        system, right = np.concatenate([design, roughness]), np.concatenate([target, np.zeros(len(roughness))])
        found = np.linalg.lstsq(system, right, rcond=None)[0]
        error = float(np.square(design @ found - target).mean())
        began = np.array([_began(row, drop, found) for row, drop in zip(rows, drops, strict=True)])
    pairs = [_thermal(row[:, 1], row[:, 4], row[:, 2] ** 2, None)[2] for row in rows]
    ohmic, polarisation = np.maximum(found[-2:], 1e-4)
    circuit = EquivalentCircuit(
        found[:-2], ohmic, polarisation, keeps, float(np.median(pairs)), row_time, np.zeros((0, 2))
    )
    return circuit, error


def _began(row: np.ndarray, drop: np.ndarray, found: np.ndarray) -> float:
    """The charge missing at first that explains an episode best."""
    every = slice(None, None, 4)
    expected = np.interp(MISSING[:, None] + row[every, 3], KNOTS, found[:-2]) - drop[every] @ found[-2:]
    return float(MISSING[np.square(expected - row[every, 0]).sum(1).argmin()])


def _thermal(
    temperature: np.ndarray, air: np.ndarray, squared: np.ndarray, usual: float | None
) -> tuple[float, float, float]:
    """The temperature now, a and b that explain a history best; b leans towards the usual one."""
    best = (np.inf, float(temperature[-1]), float(COOLINGS[0]), usual or 0.0)
    for cooling in COOLINGS:
        keeps = 1 - cooling
        fades = keeps ** np.arange(len(temperature))
        warmed = lfilter([0, cooling], [1, -keeps], air)
        heated = lfilter([1], [1, -keeps], squared) - squared[0] * fades
        design = np.stack([fades, heated], axis=1)
        pull = 0.0 if usual is None else TRUST
        system = design.T @ design + np.diag([1e-9, pull + 1e-9])
        level, heating = np.linalg.solve(system, design.T @ (temperature - warmed) + np.array([0, pull * (usual or 0)]))
        error = float(np.square(design @ [level, heating] + warmed - temperature).sum())
        if error < best[0]:
            best = (error, float(level * fades[-1] + heating * heated[-1] + warmed[-1]), float(cooling), float(heating))
    return best[1], best[2], max(best[3], 0.0)


def _memory(current: np.ndarray, keeps: float) -> Float[np.ndarray, " row"]:
    return np.asarray(lfilter([1 - keeps], [1, -keeps], current))


def _hats(missing: Float[np.ndarray, " row"]) -> Float[np.ndarray, "row knot"]:
    """The piecewise linear basis on KNOTS."""
    width = KNOTS[1] - KNOTS[0]
    return np.maximum(1 - np.abs(np.clip(missing, KNOTS[0], KNOTS[-1])[:, None] - KNOTS) / width, 0)


def _cases(episodes: Episodes, horizon: int) -> Cases:
    """Questions spread evenly over the training episodes."""
    places = [
        (index, row)
        for index, episode in enumerate(episodes)
        for row in range(min(96, episode.steps - horizon), episode.steps - horizon + 1, max(horizon // 2, 1))
    ]
    return cut(episodes, places[:: max(1, len(places) // CASES)], horizon)
