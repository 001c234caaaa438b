"""What planners search in: anything that says what follows from candidate actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

Actions = Float[Tensor, "episode candidate step action"]


@dataclass(frozen=True)
class Futures:
    """Calibrated futures of plans, in native units; categories as indices.

    Attributes:
        pooled: of the ensemble.
        by_member: of each of its members alone.
    """

    pooled: Float[Tensor, "sample episode candidate step target"]
    by_member: Float[Tensor, "member draw episode candidate step target"]


@runtime_checkable
class Rollout(Protocol):
    """What planners search in: a world model, or an exact one."""

    def search(self, actions: Actions) -> Float[Tensor, "sample episode candidate step target"]:
        """A few futures of each candidate, in native units; differentiable, and quick."""
        ...

    def settle(self, actions: Actions) -> Futures:
        """The futures that an answer rests on, fully calibrated."""
        ...

    def take(self, episodes: Sequence[int]) -> "Rollout":
        """The same, behind some of the histories."""
        ...
