"""Where trajectories come from: the protocol that every simulator behind foreworld speaks, N episodes at a time.

What a recorded trajectory can never show is what else could have happened. A domain can: its state is saved and
restored, so that one moment is continued under several plans, with the same chance (a counterfactual) or with new
chance (an intervention).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Forecaster
from foreworld.data.schema import Schema
from foreworld.errors import QuestionError

Snapshot = dict[str, np.ndarray]
"""Everything that decides how N episodes go on, chance included: named arrays whose first axis is the episode. They may
hold Python objects (see `pack`): a domain copies them when it saves and again when it restores."""

Actions = Float[np.ndarray, "episode step action"]
Rewrite = Callable[[Sequence[str], Actions], Actions]
"""The instances and what they would have done -> what they do instead."""
FitBaseline = Callable[[Episodes, int], Forecaster]
"""Recorded episodes and a horizon in steps -> a forecaster."""


@dataclass(frozen=True)
class About:
    """What a domain is and where it comes from.

    Attributes:
        name, field, summary: for lists of domains; the field is one of `medicine`, `finance`, `climate`, `engineering`
            and `robotics`, or another.
        source: the simulator or the data, and the publication behind it.
        licence: of that simulator or data.
        extra: the optional part of foreworld that it needs; empty if it needs none.
        distribution: the installed package that does the simulating, whose version and size are listed; empty if the
            equations are here.
    """

    name: str
    field: str
    summary: str
    source: str
    licence: str
    extra: str
    distribution: str = ""


@dataclass(frozen=True)
class Intervention:
    """Something to do otherwise, of which the effect is worth knowing.

    Attributes:
        words: as in "what if ...": `a correction bolus`.
        rewrite: what it makes of a plan.
        doing: an action that must be intended at the moment, as a meal must be before it can be halved; empty if any
            moment will do.
    """

    words: str
    rewrite: Rewrite
    doing: str = ""


@dataclass(frozen=True)
class Study:
    """How a domain is demonstrated and scored: fixed for every model alike.

    Attributes:
        steps: transitions of an episode.
        first: the earliest row that is asked about, so that there is some history.
        horizon: steps to look ahead.
        episodes: episodes of each training instance.
        folds: parts that the instances are split into; one of them is for the test.
    """

    steps: int
    first: int
    horizon: int
    episodes: int = 1
    folds: int = 5


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


def places(asked: Sequence[str], instances: Sequence[str], kind: str = "patient") -> Int[np.ndarray, " episode"]:
    """Positions of instances among all of a domain.

    Raises:
        QuestionError: a name that is none of them.
    """
    unknown = sorted(set(asked) - set(instances))
    if unknown:
        raise QuestionError(f"no {kind} '{unknown[0]}' here; there are {instances[0]} to {instances[-1]}")
    return np.array([instances.index(name) for name in asked], dtype=np.int64)


@runtime_checkable
class Domain(Protocol):
    """A simulator of N parallel episodes.

    Attributes:
        about: name, source and licence.
        schema: what its columns mean; the domain has no known-future variables.
        instances: the patients, assets or markets that an episode can be about; names without a slash.
            `group#number` puts an instance in a group, and every part of a split gets its share of each group.
        step_time: time between rows, in the schema's time unit.
        policies: names of its behaviours, the default first.
        interventions: by name, the main one first.
        shifts: names of the ways in which this world can be another one than that of the training data.
        baselines: by name, what people of the field would forecast with.
        study: how it is demonstrated and scored.
    """

    about: About
    schema: Schema
    instances: tuple[str, ...]
    step_time: float
    policies: tuple[str, ...]
    interventions: Mapping[str, Intervention]
    shifts: tuple[str, ...]
    baselines: Mapping[str, FitBaseline]
    study: Study

    def shifted(self, name: str) -> "Domain":
        """The same domain, same columns and instances, in another regime."""
        ...

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

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """Statements about any stretch of a trajectory that this world never breaks, and whether they hold in these.

        One row more of observations than of actions. A value that is not known (NaN) breaks nothing.
        """
        ...

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """How bad an observation is; zero is best."""
        ...


@runtime_checkable
class Recorded(Protocol):
    """Trajectories of the real world: nobody can branch them, so only forecasts of what was done are scored.

    Attributes:
        about, schema, baselines, study: as of `Domain`; `steps` of the study counts for nothing.
    """

    about: About
    schema: Schema
    baselines: Mapping[str, FitBaseline]
    study: Study

    def split(self, seed: int) -> tuple[Episodes, Episodes]:
        """Episodes to learn from and others to be tested on, later ones or of other subjects."""
        ...


def split(instances: Sequence[str], seed: int, folds: int = 5) -> tuple[list[str], list[str]]:
    """Instances to learn from and to be tested on: part `seed` of so many, with a share of each group before `#`."""
    groups = {name.partition("#")[0]: [] for name in sorted(instances)}
    for name in sorted(instances):
        groups[name.partition("#")[0]].append(name)
    shuffled = [np.random.default_rng([0, place]).permutation(group) for place, group in enumerate(groups.values())]
    test = {str(name) for group in shuffled for name in group[seed % folds :: folds]}
    return [name for name in sorted(instances) if name not in test], sorted(test)


def by_moment(interventions: Mapping[str, Intervention]) -> dict[str, list[str]]:
    """Names of interventions by what someone must be doing: those of a group may begin at the same moments."""
    groups: dict[str, list[str]] = {}
    for name, intervention in interventions.items():
        groups.setdefault(intervention.doing, []).append(name)
    return groups


def pack(objects: Sequence[object]) -> np.ndarray:
    """One object an episode as an array, for the snapshots of simulators that are Python objects."""
    packed = np.empty(len(objects), dtype=object)
    packed[:] = objects
    return packed


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
