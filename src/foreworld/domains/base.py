"""Where trajectories come from: the protocol that every simulator behind foreworld speaks, N episodes at a time.

What a recorded trajectory can never show is what else could have happened. A domain can: its state is saved and
restored, so that one moment is continued under several plans, with the same chance (a counterfactual) or with new
chance (an intervention).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema

Snapshot = dict[str, np.ndarray]
"""Everything that decides how N episodes go on, chance included: named arrays whose first axis is the episode."""

Actions = Float[np.ndarray, "episode step action"]
Rewrite = Callable[[Sequence[str], Actions], Actions]
"""An intervention: the instances and what they would have done -> what they do instead."""


@dataclass(frozen=True)
class About:
    """What a domain is and where it comes from.

    Attributes:
        name, summary: for lists of domains.
        source: the simulator and the publication behind it.
        licence: of that simulator.
        extra: the optional part of foreworld that it needs.
    """

    name: str
    summary: str
    source: str
    licence: str
    extra: str


@runtime_checkable
class Behaviour(Protocol):
    """A policy at work in N episodes: what was done in the data, not what is best."""

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """The actions that leave the observations of a step."""
        ...

    def intended(self, start: int, stop: int) -> Actions:
        """What will be done from step `start` up to `stop` unless an observation calls for something else."""
        ...


@runtime_checkable
class Domain(Protocol):
    """A simulator of N parallel episodes.

    Attributes:
        about: name, source and licence.
        schema: what its columns mean; the domain has no known-future variables.
        instances: the patients, assets or markets that an episode can be about; names without a slash.
        step_time: time between rows, in the schema's time unit.
        policies: names of its behaviours, the default first.
        interventions: named rewrites of a plan for which effects are worth knowing.
    """

    about: About
    schema: Schema
    instances: tuple[str, ...]
    step_time: float
    policies: tuple[str, ...]
    interventions: Mapping[str, Rewrite]

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """The constant facts about these instances."""
        ...

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Begin one episode for each instance named (repeats allowed), of at most so many steps."""
        ...

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """Act in every episode and observe."""
        ...

    def snapshot(self) -> Snapshot:
        """The present state; it stays valid whatever happens afterwards."""
        ...

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot: with the chance stored in it, or with new chance from these seeds, one an episode."""
        ...

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """A policy for one episode of each instance."""
        ...

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Other plans, drawn at random, that could have been followed in place of the actions given."""
        ...

    def invariants(self) -> dict[str, Bool[np.ndarray, " episode"]]:
        """Statements that hold in every state of a correct simulation, and whether they do now."""
        ...

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """How bad an observation is; zero is best."""
        ...


def take(snapshot: Snapshot, episodes: Sequence[int] | np.ndarray) -> Snapshot:
    """Some episodes of a snapshot, in this order; repeating one is how to branch it."""
    return {name: values[np.asarray(episodes)] for name, values in snapshot.items()}


def join(snapshots: Sequence[Snapshot]) -> Snapshot:
    """The episodes of several snapshots side by side, taken at whatever steps after a reset with one `steps`."""
    return {name: np.concatenate([snapshot[name] for snapshot in snapshots]) for name in snapshots[0]}


def derive_seed(seed: int, *words: str | int) -> int:
    """A seed in [0, 2**32) for one purpose, so that an episode does not depend on which others are simulated."""
    entropy = [seed, *"/".join(str(word) for word in words).encode()]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
