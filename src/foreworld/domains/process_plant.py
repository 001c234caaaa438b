"""One Tennessee Eastman plant under its decentralised controllers: a thin layer over tep-studio.

The plant is the revised Tennessee Eastman process (Downs and Vogel, Comput. Chem. Eng. 17(3), 1993; Bathelt, Ricker and
Jelali, IFAC-PapersOnLine 48(8), 2015), the controllers are Ricker's (J. Process Control 6(4), 1996). Left to its valves
alone it shuts down within about an hour. The controllers leave twelve degrees of freedom, as many as there are valves:
nine setpoints and three valves that no loop moves.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from foreworld.errors import MissingExtraError

CONTROL = 0.002  # h, between two looks of the controllers
LOOKS = 50  # in a row
FAULTS = 28
SETPOINTS = (
    "production_rate",
    "pct_g",
    "reactor_pressure",
    "reactor_level",
    "reactor_temperature",
    "separator_level",
    "stripper_level",
    "ya",
    "yac",
)
FREE_VALVES = {"compressor_recycle_valve": 4, "stripper_steam_valve": 8, "reactor_agitator_speed": 11}
LED_VALVES = [index for index in range(12) if index not in FREE_VALVES.values()]
# Measurements; process disturbances by a generator of their own, whatever the solver does; disturbances of any size.
FLAGS = 0x0F | 0x20 | 0x40 | 0x80


def load() -> Any:
    """tep-studio.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec("tep_studio") is None:
        raise MissingExtraError("the process domain", "process")
    import tep_studio

    return tep_studio


@dataclass
class Plant:
    """A plant at work; `look` moves it on.

    Attributes:
        simulator, controller: of tep-studio.
        measured: the last 41 measurements.
        valves: the last 12 positions (%).
        running: false once it has shut down: from then on it stands still.
    """

    simulator: Any
    controller: Any
    measured: Float[np.ndarray, "41"]
    valves: Float[np.ndarray, "12"]
    running: bool = True

    def advance(self, handles: Float[np.ndarray, "12"], disturbances: Float[np.ndarray, "28"]) -> None:
        """One row under setpoints and free valves (see `base_handles`) and disturbances, 1 the size in the paper."""
        named = dict(zip(SETPOINTS, map(float, handles), strict=False))
        self.controller.setpoints = replace(self.controller.setpoints, **named)
        nominal = self.controller.registry.nominal.static_mv
        for _ in range(LOOKS):
            if not self.running:
                return
            valves, _ = self.controller.compute_action(self.measured, time=self.simulator.time)
            for handle, (name, place) in zip(handles[len(SETPOINTS) :], FREE_VALVES.items(), strict=True):
                valves[place] += handle - nominal[name]
            self.valves = np.clip(valves, 0, 100)
            result = self.simulator.advance(self.valves, control_interval=CONTROL, disturbances=disturbances)
            self.measured = result.measurements
            self.running = not result.shutdown_status["terminated"]

    def copy(self) -> "Plant":
        """Another plant in the same state that goes on by itself."""
        simulator = load().TennesseeEastmanProcess(ms_flag=FLAGS)
        simulator.restore(self.simulator.snapshot())
        controller = copy.copy(self.controller)
        controller._state = dict(controller._state)  # the memory of the loops; its values never change
        return Plant(simulator, controller, self.measured, self.valves, self.running)

    def redraw(self, seed: int) -> None:
        """New noise and new disturbances from now on."""
        state = self.simulator.snapshot()
        memory = np.frombuffer(state.model_bytes, dtype=np.uint8).copy()
        whole = memory[: len(memory) // 8 * 8].view(np.float64)
        whole[_generators()] = noise_seed(seed)
        self.simulator.restore(replace(state, model_bytes=memory.tobytes()))


def begin(mode: str, seed: int) -> Plant:
    """A plant in an operating mode (`mode1` to `mode6`) with its own chance, its controllers bumpless."""
    package = load()
    simulator = package.TennesseeEastmanProcess(ms_flag=FLAGS)
    measured, _ = simulator.reset(mode=mode, seed=noise_seed(seed))
    controller = package.RickerMultiLoopController(enable_overrides=True, setpoints=_setpoints(mode))
    controller.reset(measured)
    return Plant(simulator, controller, measured, simulator.state[38:50].copy())


@cache
def base_handles(mode: str) -> Float[np.ndarray, "12"]:
    """Nine setpoints and three free valves (%) of an operating mode."""
    setpoints = _setpoints(mode)
    nominal: Mapping[str, float] = load().RickerMultiLoopController().registry.nominal.static_mv
    return np.array([getattr(setpoints, name) for name in SETPOINTS] + [nominal[name] for name in FREE_VALVES])


def noise_seed(seed: int) -> float:
    """An odd state for the simulator's congruential generators, which have the modulus 2^32."""
    return float(np.random.default_rng(seed).integers(2**31, 2**32) | 1)


@cache
def _setpoints(mode: str) -> Any:
    load()
    from tep_studio.simulation.modes import mode_setpoints

    return mode_setpoints(mode)


@cache
def _generators() -> Bool[np.ndarray, " number"]:
    """Which numbers of the simulator's memory are its random generators: those that a seed alone decides."""
    memories = []
    for seed in (3.0, 5.0):
        simulator = load().TennesseeEastmanProcess(ms_flag=FLAGS)
        simulator.reset(seed=seed)
        memory = np.frombuffer(simulator.snapshot().model_bytes, dtype=np.uint8)
        memories.append(memory[: len(memory) // 8 * 8].view(np.float64))
    return memories[0] != memories[1]
