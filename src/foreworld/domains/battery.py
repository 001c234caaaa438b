"""Lithium-ion cells: what a current does to voltage and temperature of sixty cells of different age (PyBaMM)."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Forecaster
from foreworld.data.schema import Schema, Variable
from foreworld.domains import battery_cell as cell
from foreworld.domains import battery_policy as habits
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study, places
from foreworld.errors import QuestionError

SUBSTEPS = 6
ROW = SUBSTEPS * cell.SUBSTEP  # s
VOLTAGE_NOISE, TEMPERATURE_NOISE, CURRENT_NOISE = 0.002, 0.1, 0.01  # V, K, A: standard deviations of the sensors
AIR_SPREAD, AIR_MEMORY = 1.5, 1800.0  # K and s: the air's temperature wanders about its mean
COLD = 5.0  # degC, of the air in the regime `cold`
WORN_OUT = (0.8, 0.02)  # capacity left and ohms gained in the regime `aged`
WARM = 45.0  # degC, from where on heat is worth avoiding

SCHEMA = Schema(
    id="cell",
    time="second",
    time_unit="s",
    variables=(
        Variable(name="voltage", role="observation", unit="V", low=2.45, high=4.25, target=True),
        Variable(name="temperature", role="observation", unit="degC", low=-40, high=100, target=True),
        Variable(name="flowed", role="observation", unit="A"),
        Variable(name="discharged", role="observation", unit="A h"),
        Variable(name="air", role="observation", unit="degC"),
        Variable(name="current", role="action", unit="A"),
        Variable(name="cycles", role="static", unit="cycles", low=0),
    ),
)


def _equivalent_circuit(episodes: Episodes, horizon: int) -> Forecaster:
    from foreworld.domains import battery_circuit  # needs SciPy, which is slow to import

    return battery_circuit.fit(episodes, horizon)


class Battery:
    """Sixty cells on a bench, half a minute a step.

    The action is the current that is requested, positive for discharge. A battery management system passes it on as far
    as the voltage stays within 2.5 and 4.2 V and the temperature below 60 degC (see `battery_cell.managed`); `flowed`
    is what its sensor measured in the last seconds of the step, `discharged` what it has counted since the beginning.
    A cell begins at rest. Its cycles are known; what they did to it, and how well it is cooled, is not.
    """

    about = About(
        name="battery",
        field="engineering",
        summary="voltage and temperature of 60 lithium-ion cells under charge and discharge",
        source="PyBaMM (Sulzer 2021): SPMe with lumped temperature (Marquis 2019), LG M50 cell (Chen 2020)",
        licence="BSD-3-Clause",
        extra="battery",
        distribution="pybamm",
    )
    schema = SCHEMA
    step_time = ROW
    policies: tuple[str, ...] = ("random", "confounded")
    shifts: tuple[str, ...] = ("cold", "aged")
    baselines: Mapping[str, FitBaseline] = {"equivalent circuit": _equivalent_circuit}
    study = Study(steps=480, first=96, horizon=36)
    instances: tuple[str, ...] = tuple(
        f"{group}#{index:03d}" for group in ("new", "used", "worn") for index in range(20)
    )
    interventions: Mapping[str, Intervention] = {
        "fast charge": Intervention("a charge at 5 A", lambda names, plan: np.full_like(plan, -habits.CHARGE[1])),
        "rest": Intervention("no current", lambda names, plan: np.zeros_like(plan)),
        "half": Intervention("half the current", lambda names, plan: plan / 2),
    }

    def __init__(self, regime: str = ""):
        if regime not in ("", *self.shifts):
            raise QuestionError(f"no shift '{regime}' here; there are {', '.join(self.shifts)}")
        cell.built()
        self.regime = regime

    def shifted(self, name: str) -> "Battery":
        """`cold` (air at 5 degC) or `aged` (a fifth of the capacity gone, 20 milliohms gained)."""
        return Battery(name)

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """Cycles."""
        return self._drawn(instances)[:, :1]

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Begin at rest; the seed of an episode decides its charge, the wandering of the air and the sensors' noise."""
        self._instance = np.array([self._place(name) for name in instances])
        generators = [np.random.default_rng(seed) for seed in seeds]
        charge = np.array([rng.uniform(0.25, 0.75) for rng in generators])
        self._chance = np.stack([rng.standard_normal((steps + 1, 4)) for rng in generators])
        self._row = np.zeros(len(instances), dtype=np.int64)
        self._discharged = np.zeros(len(instances))
        self._wander = AIR_SPREAD * self._chance[:, 0, 3]
        self._settle()
        self._state = cell.initial(charge, self._air())
        return self._observe(np.zeros(len(instances)))

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """Half a minute of a requested current (A)."""
        if not np.isfinite(actions).all():
            raise QuestionError("the current must be known")
        if (self._row + 1 >= self._chance.shape[1]).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        requested, air, flowed = actions[:, 0], self._air(), np.zeros(len(actions))
        for _ in range(SUBSTEPS):
            self._state, flowed = cell.managed(self._state, self._cells, requested, air)
            self._discharged = self._discharged + flowed * cell.SUBSTEP / 3600
        self._row = self._row + 1
        keeps = np.exp(-ROW / AIR_MEMORY)
        gust = self._chance[np.arange(len(actions)), self._row, 3]
        self._wander = keeps * self._wander + np.sqrt(1 - keeps**2) * AIR_SPREAD * gust
        return self._observe(flowed)

    def snapshot(self) -> Snapshot:
        """Arrays with one row an episode; see `foreworld.domains.base.Snapshot`."""
        return {
            "instance": self._instance,
            "row": self._row,
            "chance": self._chance,
            "state": self._state,
            "discharged": self._discharged,
            "wander": self._wander,
        }

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot, with the same noise and the same air or, given seeds, with others from now on."""
        self._instance, self._row = snapshot["instance"], snapshot["row"]
        self._state, self._chance = snapshot["state"], snapshot["chance"]
        self._discharged, self._wander = snapshot["discharged"], snapshot["wander"]
        if seeds is not None:
            fresh = np.stack([np.random.default_rng(seed).standard_normal(self._chance.shape[1:]) for seed in seeds])
            later = np.arange(self._chance.shape[1]) > self._row[:, None]
            self._chance = np.where(later[..., None], fresh, self._chance)
        self._settle()

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`random` (requests never look at the cell) or `confounded` (low, full and warm cells are treated gently)."""
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        plans = [habits.schedule(steps, np.random.default_rng(seed)) for seed in seeds]
        return habits.Uses(np.stack(plans), careful=policy == "confounded")

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Another drive, charge or rest for each episode, as the `random` policy begins one."""
        steps = actions.shape[1]
        return np.stack([habits.schedule(steps, np.random.default_rng(seed)) for seed in seeds])[..., None]

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """The window of the management system, the inertia of heat, and the drop when charge turns to discharge.

        With five standard deviations of the sensors' noise to spare. The most heat that a current within the limits
        makes, or the air takes away, is 4 K a step.
        """
        voltage, temperature = observations[..., 0], observations[..., 1]
        spare = 5 * VOLTAGE_NOISE
        outside = (voltage < cell.LOWEST - spare) | (voltage > cell.HIGHEST + spare)
        turns = habits.reversals(actions, 1.0) & (np.diff(voltage)[..., 1:] >= 0)
        stated = {
            "the voltage stays within the window": ~outside.any(-1),
            "the temperature stays below its limit": ~(temperature > cell.HOTTEST + 5 * TEMPERATURE_NOISE).any(-1),
            "heat comes and goes slowly": ~(np.abs(np.diff(temperature)) > 4 + 10 * TEMPERATURE_NOISE).any(-1),
            "the voltage falls when charge turns to discharge": ~turns.any(-1),
        }
        return {words: np.asarray(holds) for words, holds in stated.items()}

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """How far from full, as a share of the window, and 1 for every 5 K above 45 degC."""
        voltage, temperature = observations[..., 0], observations[..., 1]
        missing = np.maximum(cell.HIGHEST - voltage, 0) / (cell.HIGHEST - cell.LOWEST)
        return missing + np.maximum(temperature - WARM, 0) / 5

    def _observe(self, flowed: Float[np.ndarray, " episode"]) -> Float[np.ndarray, "episode observation"]:
        noise = self._chance[np.arange(len(self._row)), self._row]
        voltage = cell.voltage(self._state, self._cells, flowed, self._air())
        columns = (
            voltage + VOLTAGE_NOISE * noise[:, 0],
            cell.temperature(self._state) + TEMPERATURE_NOISE * noise[:, 1],
            flowed + CURRENT_NOISE * noise[:, 2],
            self._discharged,
            self._air(),
        )
        return np.stack(columns, axis=1)

    def _air(self) -> Float[np.ndarray, " episode"]:
        return self._mean_air + self._wander

    def _settle(self) -> None:
        """What follows from the instances."""
        drawn = self._drawn([self.instances[index] for index in self._instance])
        capacity, resistance, self._mean_air = drawn[:, 1].copy(), drawn[:, 2].copy(), drawn[:, 4]
        if self.regime == "aged":
            capacity, resistance = capacity * WORN_OUT[0], resistance + WORN_OUT[1]
        if self.regime == "cold":
            self._mean_air = np.full(len(drawn), COLD)
        self._cells = cell.Cells(capacity, resistance, drawn[:, 3])

    def _drawn(self, instances: Sequence[str]) -> Float[np.ndarray, "episode fact"]:
        """Cycles, capacity left, contact resistance (ohm), cooling (W/m2/K) and mean temperature of the air (degC).

        A cell loses about a tenth of its capacity and gains 10 milliohms in 500 cycles, one more and another less.
        """
        rows = []
        for name in instances:
            place = self._place(name)
            rng = np.random.default_rng([26, place])
            cycles = np.round((place // 20) * 300 + rng.uniform(0, 300))
            wear = cycles / 500 * rng.lognormal(0, 0.3)
            resistance = 0.004 * rng.lognormal(0, 0.4) + 0.01 * wear * rng.lognormal(0, 0.3)
            capacity = (1 - 0.1 * wear) * (1 + 0.01 * rng.standard_normal())
            rows.append((cycles, capacity, resistance, rng.uniform(8, 30), rng.uniform(15, 32)))
        return np.array(rows)

    def _place(self, name: str) -> int:
        return int(places([name], self.instances, "cell")[0])
