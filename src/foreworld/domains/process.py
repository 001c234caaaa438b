"""The Tennessee Eastman plant: what moves of its operators do to 41 measurements (tep-studio)."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable
from foreworld.domains import process_plant as plant
from foreworld.domains import process_policy as habits
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study, pack, places
from foreworld.errors import QuestionError

MODES = ("mode1", "mode3")
PLANTS = 30  # of each mode
FAULT_ROW = 10  # an hour of health first, as in the published sets of faulty runs
SHUTDOWN = 3000.0  # kPa, of the reactor
HOTTEST = 175.0  # degC, where the reactor shuts down
TARGETS = {
    "reactor_pressure": (0.0, 3500.0),
    "reactor_level": (0.0, 100.0),
    "stripper_underflow": (0.0, None),
    "stripper_underflow_G_concentration": (0.0, 100.0),
}
MEASURED = {
    **dict.fromkeys(("feed_A_flow",), "kscmh"),
    **dict.fromkeys(("feed_D_flow", "feed_E_flow"), "kg/h"),
    **dict.fromkeys(("feed_AC_flow", "recycle_flow", "reactor_feed_flow"), "kscmh"),
    "reactor_pressure": "kPa",
    "reactor_level": "%",
    "reactor_temperature": "degC",
    "purge_flow": "kscmh",
    "separator_temperature": "degC",
    "separator_level": "%",
    "separator_pressure": "kPa",
    "separator_underflow": "m3/h",
    "stripper_level": "%",
    "stripper_pressure": "kPa",
    "stripper_underflow": "m3/h",
    "stripper_temperature": "degC",
    "stripper_steam_flow": "kg/h",
    "compressor_work": "kW",
    "reactor_cooling_water_outlet_temperature": "degC",
    "condenser_cooling_water_outlet_temperature": "degC",
    **{f"reactor_feed_{part}_concentration": "mol%" for part in "ABCDEF"},
    **{f"purge_{part}_concentration": "mol%" for part in "ABCDEFGH"},
    **{f"stripper_underflow_{part}_concentration": "mol%" for part in "DEFGH"},
}
VALVES = ("d_feed", "e_feed", "a_feed", "ac_feed", "purge", "separator_underflow", "stripper_underflow")
VALVES += ("reactor_cooling_water", "separator_cooling_water")
HANDLES = {
    "production_rate": "m3/h",
    "product_G": "mol%",
    "pressure": "kPa",
    "level": "%",
    "temperature": "degC",
    "separator": "%",
    "stripper": "%",
    "A_share": "%",
    "AC_share": "%",
    "compressor_recycle_valve": "%",
    "stripper_steam_valve": "%",
    "agitator_speed": "%",
}
NAMES = tuple(MEASURED)

SCHEMA = Schema(
    id="run",
    time="hour",
    time_unit="h",
    variables=(
        *(
            Variable(name=name, role="observation", unit=unit, low=low, high=high, target=name in TARGETS)
            for name, unit in MEASURED.items()
            for low, high in [TARGETS.get(name, (None, None))]
        ),
        *(Variable(name=f"{name}_valve", role="observation", unit="%", low=0, high=100) for name in VALVES),
        Variable(name="running", role="observation", kind="binary"),
        *(Variable(name=f"set_{name}", role="action", unit=unit) for name, unit in HANDLES.items()),
        Variable(name="mode", role="static", kind="categorical", categories=MODES),
    ),
)


def _moved(handle: int, by: float) -> Intervention:
    """One handle elsewhere throughout the plan."""
    name, unit = list(HANDLES.items())[handle]

    def rewrite(instances: Sequence[str], actions: Actions) -> Actions:
        changed = actions.copy()
        changed[..., handle] += by
        return changed

    return Intervention(
        f"the {name.replace('_', ' ')} set {abs(by):g} {unit} {'lower' if by < 0 else 'higher'}", rewrite
    )


class Process:
    """Sixty plants under their controllers, six minutes a step.

    Twelve valves that nobody watches shut the plant down within about an hour, so that a plan for the valves alone is
    none. The twelve actions are the degrees of freedom that the controllers leave: nine setpoints, and the three valves
    that no loop moves. The positions of the other nine are observed. A plant that has shut down stands still: `running`
    is 0 and its measurements stay as they were. Plants differ by operating mode, which is known, and by the feed, the
    cooling water and their unrest, which are not; in a regime `fault n` the disturbance IDV(n) of the paper sets in
    after an hour.
    """

    about = About(
        name="process",
        field="engineering",
        summary="41 measurements of the Tennessee Eastman plant under its controllers, and 28 faults",
        source="tep-studio: the revised process (Downs and Vogel 1993; Bathelt 2015), controllers of Ricker 1996",
        licence="BSD-3-Clause",
        extra="process",
        distribution="tep-studio",
    )
    schema = SCHEMA
    step_time = plant.CONTROL * plant.LOOKS
    policies: tuple[str, ...] = ("random", "confounded")
    shifts: tuple[str, ...] = tuple(f"fault {number}" for number in range(1, plant.FAULTS + 1))
    baselines: Mapping[str, FitBaseline] = {}
    study = Study(steps=240, first=96, horizon=36)
    instances: tuple[str, ...] = tuple(f"{mode}#{index:03d}" for mode in MODES for index in range(PLANTS))
    interventions: Mapping[str, Intervention] = {
        "hotter": _moved(habits.TEMPERATURE, 2.0),
        "less pressure": _moved(habits.PRESSURE, -60.0),
        "less product": _moved(habits.PRODUCTION, -3.0),
        "more recycle": _moved(9, 8.0),
        "less level": _moved(habits.LEVEL, -10.0),
    }

    def __init__(self, regime: str = ""):
        if regime not in ("", *self.shifts):
            raise QuestionError(f"no shift '{regime}' here; there are {', '.join(self.shifts)}")
        plant.load()
        self.regime = regime
        self._fault = np.zeros(plant.FAULTS)
        if regime:
            self._fault[self.shifts.index(regime)] = 1

    def shifted(self, name: str) -> "Process":
        """`fault 1` to `fault 28`."""
        return Process(name)

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """The operating mode (an index)."""
        return np.array([[float(MODES.index(self._mode(name)))] for name in instances]).reshape(-1, 1)

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Begin in the mode's steady state; the seed of an episode decides its noise and its random disturbances."""
        self._plants = [plant.begin(self._mode(name), seed) for name, seed in zip(instances, seeds, strict=True)]
        self._disturbances = self._drawn(instances)
        self._row = np.zeros(len(instances), dtype=np.int64)
        self._steps = np.full(len(instances), steps)
        return self._observe()

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """Six minutes under nine setpoints and three valve positions."""
        if not np.isfinite(actions).all():
            raise QuestionError("setpoints and valve positions must be known")
        if (self._row >= self._steps).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        at_fault = (self._row >= FAULT_ROW)[:, None] * self._fault
        for one, handles, disturbances in zip(self._plants, actions, self._disturbances + at_fault, strict=True):
            one.advance(handles, disturbances)
        self._row = self._row + 1
        return self._observe()

    def snapshot(self) -> Snapshot:
        """A copy of each plant; see `foreworld.domains.base.Snapshot`."""
        return {
            "plant": pack([one.copy() for one in self._plants]),
            "disturbances": self._disturbances,
            "row": self._row,
            "steps": self._steps,
        }

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot, with the same noise and disturbances or, given seeds, with others from now on."""
        self._plants = [one.copy() for one in snapshot["plant"]]
        self._disturbances, self._row, self._steps = snapshot["disturbances"], snapshot["row"], snapshot["steps"]
        for one, seed in zip(self._plants, seeds or [], strict=seeds is not None):
            one.redraw(seed)

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`random` (moves never look at the plant) or `confounded` (pressure and level are answered on top)."""
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        return habits.Operators(
            schedule=self._schedules(instances, steps, seeds),
            pressure=NAMES.index("reactor_pressure"),
            level=NAMES.index("reactor_level"),
            watchful=policy == "confounded",
        )

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Other moves of all handles, as the `random` policy makes them."""
        return self._schedules(instances, actions.shape[1], seeds)

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """The limits of the reactor, and what a flow and a fraction can be."""
        pressure, level, flow, product = (observations[..., NAMES.index(name)] for name in TARGETS)
        heat = observations[..., NAMES.index("reactor_temperature")]
        other = observations[..., NAMES.index("stripper_underflow_H_concentration")]
        running = observations[..., -1]
        stated = {
            "the reactor holds its pressure": ~((pressure < 0) | (pressure > SHUTDOWN) & (running != 0)).any(-1),
            "the reactor is neither empty nor over full": ~((level < 0) | (level > 100)).any(-1),
            "the reactor stays below its temperature limit": ~((heat > HOTTEST) & (running != 0)).any(-1),
            "product leaves and never comes back": ~(flow < 0).any(-1),
            "G and H make up no more than the product": ~((product < 0) | (product + np.maximum(other, 0) > 101)).any(
                -1
            ),
        }
        return {words: np.asarray(holds) for words, holds in stated.items()}

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """Squared distance from where an operator is at ease: 1 for 100 kPa, 10% of level or 10% of production off.

        The pressure counts above 2800 kPa alone, the level from 65%, the product from 23 m3/h; a plant that stands
        still costs 100.
        """
        pressure, level, flow, _ = (observations[..., NAMES.index(name)] for name in TARGETS)
        apart = (np.maximum(pressure - 2800, 0) / 100) ** 2 + ((level - 65) / 10) ** 2 + ((flow - 23) / 2.3) ** 2
        return np.where(observations[..., -1] == 0, 100.0, apart)

    def _observe(self) -> Float[np.ndarray, "episode observation"]:
        rows = [(*one.measured, *one.valves[plant.LED_VALVES], float(one.running)) for one in self._plants]
        return np.array(rows)

    def _schedules(self, instances: Sequence[str], steps: int, seeds: Sequence[int]) -> Actions:
        bases = [plant.base_handles(self._mode(name)) for name in instances]
        pairs = zip(bases, seeds, strict=True)
        return np.stack([habits.schedule(base, steps, np.random.default_rng(seed)) for base, seed in pairs])

    def _drawn(self, instances: Sequence[str]) -> Float[np.ndarray, "episode 28"]:
        """What is not known of a plant, in units of the paper's disturbances.

        The composition of the feed (IDV 1, 2), temperatures of a feed and of the cooling waters (3 to 5), and how much
        composition, cooling waters and kinetics wander (8, 11 to 13).
        """
        drawn = np.zeros((len(instances), plant.FAULTS))
        for row, name in enumerate(instances):
            rng = np.random.default_rng([41, self.instances.index(name)])
            drawn[row, [0, 1]] = rng.uniform(-0.2, 0.2, 2)
            drawn[row, [2, 3, 4]] = rng.uniform(-1, 1, 3)
            drawn[row, [7, 10, 11, 12]] = rng.uniform(0, 0.4, 4)
        return drawn

    def _mode(self, name: str) -> str:
        places([name], self.instances, "plant")
        return name.partition("#")[0]
