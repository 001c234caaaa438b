"""Sepsis: vital signs of two hundred virtual patients under three treatments; one in five has hidden diabetes."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable
from foreworld.domains import sepsis_model as model
from foreworld.domains import sepsis_policy as habits
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study, places
from foreworld.domains.schedules import Planned
from foreworld.errors import QuestionError

PATIENTS = 200
MANY = 0.6  # of the patients are diabetic in the regime `diabetic`
TREATMENTS = ("antibiotics", "vasopressors", "ventilation")
DEAD, DISCHARGED = 4, 5  # columns of the observations
_THREE = ("low", "normal", "high")

SCHEMA = Schema(
    id="patient",
    time="step",
    time_unit="steps",
    variables=(
        Variable(name="heart_rate", role="observation", kind="categorical", categories=_THREE, target=True),
        Variable(name="blood_pressure", role="observation", kind="categorical", categories=_THREE, target=True),
        Variable(name="oxygen", role="observation", kind="categorical", categories=_THREE[:2], target=True),
        Variable(name="glucose", role="observation", kind="categorical", categories=("very low", *_THREE, "very high")),
        Variable(name="dead", role="observation", kind="binary", target=True),
        Variable(name="discharged", role="observation", kind="binary", target=True),
        *(Variable(name=name, role="action", kind="binary") for name in TREATMENTS),
    ),
)


class Sepsis:
    """Two hundred patients in intensive care, treated step by step until they die or are discharged.

    Levels are ordered, so that their numbers can be averaged. After the end nothing changes any more, whatever is done.
    Diabetes is hidden: it changes what vasopressors do, and the physician of the policy `confounded` knows of it.
    """

    about = About(
        name="sepsis",
        field="medicine",
        summary="vital signs of 200 virtual sepsis patients under three treatments, with hidden diabetes",
        source="simulator of Oberst and Sontag 2019",
        licence="Apache-2.0 (own implementation)",
        extra="",
    )
    schema = SCHEMA
    step_time = 1.0
    policies: tuple[str, ...] = ("random", "confounded")
    instances: tuple[str, ...] = tuple(f"patient#{number:03d}" for number in range(PATIENTS))
    interventions: Mapping[str, Intervention] = {
        "vasopressors": Intervention("vasopressors throughout", lambda names, plan: _with(plan, 1)),
        "antibiotics": Intervention("antibiotics throughout", lambda names, plan: _with(plan, 0)),
        "everything": Intervention("all three treatments", lambda names, plan: np.ones_like(plan)),
        "nothing": Intervention("no treatment", lambda names, plan: np.zeros_like(plan)),
    }
    shifts: tuple[str, ...] = ("diabetic", "physician", "released")
    baselines: Mapping[str, FitBaseline] = {}
    study = Study(steps=20, first=2, horizon=8, episodes=3)

    def __init__(self, regime: str = ""):
        if regime not in ("", *self.shifts):
            raise QuestionError(f"no shift '{regime}' here; there are {', '.join(self.shifts)}")
        self.regime = regime
        order = np.random.default_rng(2019).permutation(PATIENTS)
        share = MANY if regime == "diabetic" else model.DIABETIC
        self._diabetic = (order < round(share * PATIENTS)).astype(np.int64)
        if regime == "physician":
            self.policies = ("confounded", "random")

    def shifted(self, name: str) -> "Sepsis":
        """`diabetic` (three in five patients are), `physician` (patients are treated by who knows of diabetes) or
        `released` (with the slip of the published code, see `sepsis_model`)."""
        return Sepsis(name)

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """Nothing is known of a patient."""
        return np.empty((len(places(instances, self.instances)), 0))

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Admission without any treatment; the seed of an episode decides its first vitals and all later chance."""
        self._instance = places(instances, self.instances)
        self._row = np.zeros(len(instances), dtype=np.int64)
        self._chance = np.stack([_draw(seed, steps) for seed in seeds])
        level = np.array([np.random.default_rng([seed, 1]).random() for seed in seeds])
        first = model.first()[self._diabetic[self._instance]].cumsum(1)
        self._vitals = model.levels()[(level[:, None] > first[:, :-1]).sum(1)]
        self._before = np.zeros(len(instances), dtype=np.int64)
        self._outcome = np.zeros(len(instances), dtype=np.int64)
        return self._observe()

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """A step with (1) or without (0) antibiotics, vasopressors and ventilation."""
        if not np.isin(actions, (0, 1)).all():
            raise QuestionError(f"{', '.join(TREATMENTS)} are 0 or 1")
        if (self._row >= self._chance.shape[1]).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        given, diabetic = habits.treatment(actions.astype(float)), self._diabetic[self._instance]
        chance, moved = self._chance[np.arange(len(given)), self._row], self._vitals.copy()
        for vital, matrices in enumerate(model.moves(self.regime == "released")):
            below = matrices[diabetic, self._before, given, self._vitals[:, vital]].cumsum(1)[:, :-1]
            moved[:, vital] = (chance[:, vital, None] > below).sum(1)
        stays = self._outcome == 0
        self._vitals = np.where(stays[:, None], moved, self._vitals)
        self._before = np.where(stays, given, self._before)
        self._outcome = np.where(stays, model.outcome(moved, given), self._outcome)
        self._row = self._row + 1
        return self._observe()

    def snapshot(self) -> Snapshot:
        """Arrays with one row an episode; see `foreworld.domains.base.Snapshot`."""
        state = {"instance": self._instance, "row": self._row, "chance": self._chance}
        return state | {"vitals": self._vitals, "before": self._before, "outcome": self._outcome}

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot, with the same chance or, given seeds, with new chance from now on."""
        self._instance, self._row, self._chance = snapshot["instance"], snapshot["row"], snapshot["chance"]
        self._vitals, self._before, self._outcome = snapshot["vitals"], snapshot["before"], snapshot["outcome"]
        if seeds is not None:
            new = np.stack([_draw(seed, self._chance.shape[1]) for seed in seeds])
            past = np.arange(self._chance.shape[1]) < self._row[:, None]
            self._chance = np.where(past[..., None], self._chance, new)

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`random` (treatments never look at the patient) or `confounded` (a physician who knows of diabetes)."""
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        diabetic = self._diabetic[places(instances, self.instances)]
        generators = [np.random.default_rng(seed) for seed in seeds]
        if policy == "random":
            return Planned(np.stack([habits.schedule(steps, rng) for rng in generators]))
        pairs = [rng.spawn(2) for rng in generators]
        slips = np.stack([rng.random(steps) for rng, _ in pairs])
        others = np.stack([rng.integers(0, model.TREATMENTS - 1, steps) for _, rng in pairs])
        return habits.Physician(diabetic, slips, others, self.regime == "released")

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Other treatments for each episode, as the `random` policy draws them."""
        return np.stack([habits.schedule(actions.shape[1], np.random.default_rng(seed)) for seed in seeds])

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """What death and discharge mean, and that both are final."""
        vitals, dead, discharged = observations[..., :4], observations[..., DEAD], observations[..., DISCHARGED]
        abnormal = ((vitals != model.NORMAL) & ~np.isnan(vitals)).sum(-1)
        back = np.any((dead[..., :-1] == 1) & (dead[..., 1:] == 0), axis=-1)
        left = np.any((discharged[..., :-1] == 1) & (discharged[..., 1:] == 0), axis=-1)
        return {
            "nobody is both dead and discharged": ~np.any((dead == 1) & (discharged == 1), axis=-1),
            "who has three abnormal vitals is dead, and stays so": ~np.any((abnormal >= 3) & (dead == 0), axis=-1)
            & ~back,
            "who is discharged has none, and stays so": ~np.any((discharged == 1) & (abnormal > 0), axis=-1) & ~left,
        }

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """2 for the dead, 1 for who is still treated, 0 for the discharged."""
        return 1.0 + (observations[..., DEAD] == 1) - (observations[..., DISCHARGED] == 1)

    def _observe(self) -> Float[np.ndarray, "episode observation"]:
        ends = np.stack([self._outcome == -1, self._outcome == 1], axis=1)
        return np.concatenate([self._vitals, ends], axis=1).astype(float)


def _draw(seed: int, steps: int) -> Float[np.ndarray, "step 4"]:
    """An episode's chance: a uniform number a vital and step."""
    return np.random.default_rng([seed, 0]).random((steps, 4))


def _with(plan: Actions, column: int) -> Actions:
    changed = plan.astype(float)
    changed[..., column] = 1.0
    return changed
