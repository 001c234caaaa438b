"""Bodies in contact: what the domains share that MuJoCo simulates (Todorov, Erez and Tassa, IROS 2012)."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from foreworld.errors import MissingExtraError


def robotics(what: str) -> Path:
    """The folder of the installed gymnasium-robotics. It is located, not imported: its import prints warnings.

    Raises:
        MissingExtraError: it or MuJoCo is not installed.
    """
    spec = find_spec("gymnasium_robotics")
    if spec is None or not spec.submodule_search_locations or find_spec("mujoco") is None:
        raise MissingExtraError(what, "robotics")
    return Path(spec.submodule_search_locations[0]) / "envs"


class Simulation:
    """A MuJoCo model at work: the state between steps goes out and comes in as one array of numbers.

    Attributes:
        model, data: MuJoCo's own.
    """

    def __init__(self, model: Any):
        self.library = import_module("mujoco")
        self.model, self.data = model, self.library.MjData(model)
        # The integration state is all that a step depends on. The solver begins at the last acceleration, which is a
        # part of it: without it two futures of one state part in the last bits, and contacts make them differ in all.
        self._parts = self.library.mjtState.mjSTATE_INTEGRATION
        self._size = self.library.mj_stateSize(model, self._parts)

    def begin(self, positions: Float64[np.ndarray, " position"]) -> None:
        """At rest in these generalised positions."""
        self.library.mj_resetData(self.model, self.data)
        self.data.qpos[:] = positions
        self.library.mj_forward(self.model, self.data)

    def save(self) -> Float64[np.ndarray, " state"]:
        """The present state, from which `load` goes on bit by bit."""
        state = np.empty(self._size)
        self.library.mj_getState(self.model, self.data, state, self._parts)
        return state

    def load(self, state: Float64[np.ndarray, " state"]) -> None:
        """Go on from a saved state; what follows from it (places of bodies, contacts) is known after the next step."""
        self.library.mj_setState(self.model, self.data, state, self._parts)

    def step(self, count: int = 1) -> None:
        """So many steps of the integrator under the present controls."""
        self.library.mj_step(self.model, self.data, nstep=count)
