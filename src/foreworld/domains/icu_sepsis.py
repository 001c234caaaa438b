"""Sepsis in intensive care, as states and chances that were counted in MIMIC-III (the package icu-sepsis)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study, places
from foreworld.domains.schedules import Planned, draw_blocks
from foreworld.errors import MissingExtraError, QuestionError

PATIENTS, FEATURES, LEVELS = 200, 47, 5
DEATH, SURVIVAL = 713, 714  # states in which an episode ends
BLOCK = (1, 4)  # steps that a random dose is kept

_DOSES = tuple(str(level) for level in range(LEVELS))
SCHEMA = Schema(
    id="patient",
    time="step",
    time_unit="steps",
    variables=(
        Variable(name="sofa", role="observation", unit="points", low=0, high=24, target=True),
        Variable(name="dead", role="observation", kind="binary", target=True),
        Variable(name="survived", role="observation", kind="binary", target=True),
        *(Variable(name=f"feature_{number:02d}", role="observation") for number in range(1, FEATURES + 1)),
        Variable(name="fluids", role="action", kind="categorical", categories=_DOSES),
        Variable(name="vasopressors", role="action", kind="categorical", categories=_DOSES),
    ),
)


@dataclass(frozen=True)
class _Tables:
    """The package's tables: chances of the next state, of the first, the clinicians' policy, and what states mean."""

    transitions: Float[np.ndarray, "716 25 716"]
    first: Float[np.ndarray, " 716"]
    clinicians: Float[np.ndarray, "716 25"]
    features: Float[np.ndarray, "716 47"]
    sofa: Float[np.ndarray, " 716"]


class IcuSepsis:
    """A patient is in one of 713 states, or has died or survived, which is final.

    Shown of a state are its SOFA score and the 47 standardised features of its centre, which the package does not name.
    Doses are levels from 0 to 4; where clinicians gave a dose too rarely to tell what follows, the package has what
    follows on average. Patients differ by chance alone.
    """

    about = About(
        name="icu-sepsis",
        field="medicine",
        summary="states of sepsis patients under fluids and vasopressors, counted in real records",
        source="ICU-Sepsis (Choudhary, Gupta and Thomas 2024), from MIMIC-III",
        licence="MIT",
        extra="sepsis",
        distribution="icu-sepsis",
    )
    schema = SCHEMA
    step_time = 1.0
    policies: tuple[str, ...] = ("random", "confounded")
    instances: tuple[str, ...] = tuple(f"patient#{number:03d}" for number in range(PATIENTS))
    interventions: Mapping[str, Intervention] = {
        "vasopressors": Intervention("the highest dose of vasopressors", lambda names, plan: _with(plan, 1)),
        "fluids": Intervention("the highest dose of fluids", lambda names, plan: _with(plan, 0)),
        "nothing": Intervention("neither", lambda names, plan: np.zeros_like(plan)),
    }
    shifts: tuple[str, ...] = ("sicker",)
    baselines: Mapping[str, FitBaseline] = {}
    study = Study(steps=20, first=2, horizon=8, episodes=3)

    def __init__(self, regime: str = ""):
        if regime not in ("", *self.shifts):
            raise QuestionError(f"no shift '{regime}' here; there are {', '.join(self.shifts)}")
        self.regime, self._tables = regime, _tables()
        first = self._tables.first * (self._tables.sofa if regime == "sicker" else 1.0)
        self._first = (first / first.sum()).cumsum()

    def shifted(self, name: str) -> "IcuSepsis":
        """`sicker`: states are the likelier on admission, the higher their SOFA score."""
        return IcuSepsis(name)

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """Nothing is known of a patient but the state."""
        places(instances, self.instances)
        return np.empty((len(instances), 0))

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Admission; the seed of an episode decides its first state and all later chance."""
        places(instances, self.instances)
        self._row = np.zeros(len(instances), dtype=np.int64)
        self._chance = np.stack([np.random.default_rng([seed, 0]).random(steps) for seed in seeds])
        level = np.array([np.random.default_rng([seed, 1]).random() for seed in seeds])
        self._state = np.minimum(np.searchsorted(self._first, level), DEATH - 1)
        return self._observe()

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """A step under doses of fluids and vasopressors, from 0 to 4."""
        if not np.isin(actions, range(LEVELS)).all():
            raise QuestionError("fluids and vasopressors are levels from 0 to 4")
        if (self._row >= self._chance.shape[1]).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        dose = actions.astype(np.int64) @ np.array([LEVELS, 1])
        below = self._tables.transitions[self._state, dose].cumsum(1)
        chance = self._chance[np.arange(len(dose)), self._row] * below[:, -1]
        after = (chance[:, None] >= below).sum(1)
        self._state = np.where(self._state < DEATH, after, self._state)
        self._row = self._row + 1
        return self._observe()

    def snapshot(self) -> Snapshot:
        """Arrays with one row an episode; see `foreworld.domains.base.Snapshot`."""
        return {"row": self._row, "chance": self._chance, "state": self._state}

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot, with the same chance or, given seeds, with new chance from now on."""
        self._row, self._chance, self._state = snapshot["row"], snapshot["chance"], snapshot["state"]
        if seeds is not None:
            new = np.stack([np.random.default_rng([seed, 0]).random(self._chance.shape[1]) for seed in seeds])
            past = np.arange(self._chance.shape[1]) < self._row[:, None]
            self._chance = np.where(past, self._chance, new)

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`random` (doses never look at the patient) or `confounded` (what clinicians did in the state)."""
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        places(instances, self.instances)
        plans = np.stack([_schedule(steps, np.random.default_rng(seed)) for seed in seeds])
        if policy == "random":
            return Planned(plans)
        chance = np.stack([np.random.default_rng([seed, 2]).random(steps) for seed in seeds])
        return _Clinicians(plans, chance, self._tables)

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Other doses for each episode, as the `random` policy draws them."""
        return np.stack([_schedule(actions.shape[1], np.random.default_rng(seed)) for seed in seeds])

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """A score that a state can have, and that death and survival are final and have none."""
        sofa, dead, survived = (observations[..., column] for column in range(3))
        over = (dead == 1) | (survived == 1)
        back = ((dead[..., :-1] == 1) & (dead[..., 1:] == 0)) | ((survived[..., :-1] == 1) & (survived[..., 1:] == 0))
        return {
            "the score is one that a state has": ~np.any((sofa < 0) | (sofa > self._tables.sofa.max()), axis=-1),
            "nobody has both died and survived": ~np.any((dead == 1) & (survived == 1), axis=-1),
            "after the end there is no score, and no way back": ~np.any(over & (sofa != 0) & ~np.isnan(sofa), axis=-1)
            & ~np.any(back, axis=-1),
        }

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """1 for the dead; for the others the score as a share of the highest possible one."""
        return np.where(observations[..., 1] == 1, 1.0, observations[..., 0] / 24)

    def _observe(self) -> Float[np.ndarray, "episode observation"]:
        ends = np.stack([self._state == DEATH, self._state == SURVIVAL], axis=1)
        return np.concatenate([self._tables.sofa[self._state, None], ends, self._tables.features[self._state]], axis=1)


@dataclass(frozen=True)
class _Clinicians(Planned):
    """Behaviour of N episodes: doses drawn as clinicians gave them in the state, which its features tell."""

    chance: Float[np.ndarray, "episode step"]
    tables: _Tables

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        # A weighted sum of the features is as good as all of them: no two states have the same.
        mix = np.sqrt(np.arange(2, FEATURES + 2))
        state = np.abs((observations[:, 3:] * mix).sum(1)[:, None] - (self.tables.features * mix).sum(1)).argmin(1)
        below = self.tables.clinicians[state].cumsum(1)
        # After the end nothing was given.
        dose = (self.chance[:, step, None] * below[:, -1:] >= below).sum(1) % (LEVELS * LEVELS)
        return np.stack([dose // LEVELS, dose % LEVELS], axis=1).astype(float)


@cache
def _tables() -> _Tables:
    """Read without importing the package, which needs the old gym."""
    spec = find_spec("icu_sepsis")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("the icu-sepsis domain", "sepsis")
    names = ("tx_mat", "d_0", "expert_policy", "state_cluster_centers", "sofa_scores")
    with ZipFile(Path(spec.submodule_search_locations[0], "envs", "assets", "dynamics.npz")) as kept:
        tables = [np.lib.format.read_array(kept.open(f"{name}.npy"), allow_pickle=False) for name in names]
    return _Tables(*tables)


def _schedule(steps: int, rng: np.random.Generator) -> Float[np.ndarray, "step 2"]:
    """Doses that never look at the patient."""
    return draw_blocks(steps, rng, levels=LEVELS, actions=2, lasting=BLOCK)


def _with(plan: Actions, column: int) -> Actions:
    changed = plan.astype(float)
    changed[..., column] = LEVELS - 1
    return changed
