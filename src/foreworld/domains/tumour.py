"""Lung cancer under chemotherapy and radiotherapy: ninety virtual patients whose growth and response are hidden."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable
from foreworld.domains import tumour_model as model
from foreworld.domains import tumour_policy as habits
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study
from foreworld.domains.schedules import Planned
from foreworld.domains.tumour_fit import MechanisticODE
from foreworld.errors import QuestionError

PER_TYPE = 30
SEEN = 1e-3  # cm^3, where the logarithm of a volume ends: that of a tumour that is gone has none.
FASTEST_NOISE = 6 * model.NOISE

SCHEMA = Schema(
    id="patient",
    time="day",
    time_unit="d",
    variables=(
        Variable(name="diameter", role="observation", unit="cm", low=0, high=model.LARGEST, target=True),
        Variable(name="log_volume", role="observation", unit="log10 cm³", low=float(np.log10(SEEN))),
        Variable(name="chemo", role="action", unit="dose", low=0),
        Variable(name="radio", role="action", unit="Gy", low=0),
        Variable(name="type", role="static", kind="categorical", categories=model.TYPES),
    ),
)


class Tumour:
    """Ninety patients with a lung tumour, one day a step.

    An episode begins at diagnosis, at a diameter that is drawn for the patient's stage. Recovery and death are final:
    the diameter stays at 0 or at 13 cm. Chemotherapy is in the units of the source, 5 an application.
    """

    about = About(
        name="tumour",
        field="medicine",
        summary="lung tumours of 90 virtual patients under chemotherapy and radiotherapy",
        source="equations of Geng et al. 2017 with the population of the CRN and Causal Transformer benchmark",
        licence="Apache-2.0 (own implementation)",
        extra="",
    )
    schema = SCHEMA
    step_time = 1.0
    interventions: Mapping[str, Intervention] = {
        "chemoradiation": Intervention("three days of both", lambda names, plan: _course(plan, [1, 1])),
        "chemo": Intervention("three days of chemotherapy", lambda names, plan: _course(plan, [1, 0])),
        "radio": Intervention("three days of radiotherapy", lambda names, plan: _course(plan, [0, 1])),
        "no treatment": Intervention("no treatment", lambda names, plan: np.zeros_like(plan)),
    }
    shifts: tuple[str, ...] = ("late", "resistant", "confounded")
    baselines: Mapping[str, FitBaseline] = {"mechanistic ODE": MechanisticODE.fit}
    study = Study(steps=120, first=20, horizon=28, episodes=3)

    def __init__(self):
        self.policies: tuple[str, ...] = ("courses", *habits.GAMMAS)
        kinds = np.repeat(np.arange(len(model.TYPES)), PER_TYPE)
        self.instances: tuple[str, ...] = tuple(
            f"{name}#{number:03d}" for name in model.TYPES for number in range(1, PER_TYPE + 1)
        )
        self._population = model.draw_patients(len(kinds), np.random.default_rng(2017), kinds)
        self._earliest = 0.0  # Smallest quantile of the stage's diameters at which a tumour is found.

    def shifted(self, name: str) -> "Tumour":
        """`late` (found when larger), `resistant` (60% less effect of either treatment), `confounded` (by gamma 4)."""
        other = Tumour()
        people = self._population
        match name:
            case "late":
                other._earliest = 0.5
            case "resistant":
                other._population = replace(people, alpha=0.4 * people.alpha, beta_c=0.4 * people.beta_c)
            case "confounded":
                other.policies = ("gamma4", *(policy for policy in self.policies if policy != "gamma4"))
            case _:
                raise QuestionError(f"no shift '{name}' here; there are {', '.join(self.shifts)}")
        return other

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """The patient type (an index): type 1 answers a little better to radiation, type 3 to chemotherapy."""
        return self._population.kind[self._index(instances), None].astype(float)

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Diagnosis; the seed of an episode decides the first diameter and the daily noise."""
        self._instance = self._index(instances)
        self._row = np.zeros(len(instances), dtype=np.int64)
        self._noise = np.stack([_draw(seed, steps) for seed in seeds])
        level = np.array([np.random.default_rng([seed, 1]).uniform(self._earliest, 1) for seed in seeds])
        self._volume = model.volume_of(model.first_diameter(self._population.stage[self._instance], level))
        self._drug = np.zeros(len(instances))
        return self._observe()

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """One day after these doses of chemotherapy and radiotherapy (Gy)."""
        if not (np.isfinite(actions).all() and (actions >= 0).all()):
            raise QuestionError("doses of chemo and radio must be known and not negative")
        if (self._row >= self._noise.shape[1]).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        error, chance = self._noise[np.arange(len(self._row)), self._row].T
        self._drug = model.CHEMO_LEFT * self._drug + actions[:, 0]
        ended = (self._volume <= 0) | (self._volume >= model.LETHAL)
        theta = self._population.theta[self._instance]
        later = model.grow(self._volume, self._drug, actions[:, 1].astype(float), theta, error)
        self._volume = np.where(ended, self._volume, model.settle(later, chance))
        self._row = self._row + 1
        return self._observe()

    def snapshot(self) -> Snapshot:
        """Arrays with one row an episode; see `foreworld.domains.base.Snapshot`."""
        state = {"instance": self._instance, "row": self._row, "noise": self._noise}
        return state | {"volume": self._volume, "drug": self._drug}

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot, with the same daily noise or, given seeds, with new noise from now on."""
        self._instance, self._row, self._noise = snapshot["instance"], snapshot["row"], snapshot["noise"]
        self._volume, self._drug = snapshot["volume"], snapshot["drug"]
        if seeds is not None:
            new = np.stack([_draw(seed, self._noise.shape[1]) for seed in seeds])
            past = np.arange(self._noise.shape[1]) < self._row[:, None]
            self._noise = np.where(past[..., None], self._noise, new)

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`courses` (treatment never looks at the tumour) or a doctor who does, `gamma0` to `gamma4`."""
        self._index(instances)
        generators = [np.random.default_rng(seed) for seed in seeds]
        if policy == "courses":
            return Planned(np.stack([habits.courses(steps, rng) for rng in generators]))
        if policy not in habits.GAMMAS:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        return habits.Doctor(habits.GAMMAS[policy], np.stack([rng.random((steps, 2)) for rng in generators]))

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Another plan of courses for each episode, see `tumour_policy.alternative`."""
        return np.stack([habits.alternative(actions.shape[1], np.random.default_rng(seed)) for seed in seeds])

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """Possible diameters, the fastest growth of any of these patients untreated, and no growth out of nothing."""
        diameter = observations[..., 0].astype(float)
        before, after = diameter[..., :-1], diameter[..., 1:]
        size = np.maximum(model.volume_of(before), SEEN)
        rate = self._population.rho.max() * np.log(model.CAPACITY / size) + FASTEST_NOISE
        fastest = np.cbrt(1 + rate) * model.diameter_of(size)
        return {
            "the diameter lies between 0 and 13 cm": ~np.any(
                (diameter < 0) | (diameter > model.LARGEST + 1e-6), axis=-1
            ),
            "no tumour grows faster than the fastest of them untreated": ~np.any(after > 1e-4 + fastest, axis=-1),
            "a tumour that is gone does not come back": ~np.any((before == 0) & (after > 0), axis=-1),
        }

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """The tumour's volume as a share of the lethal one."""
        return model.volume_of(observations[..., 0]) / model.LETHAL

    def _observe(self) -> Float[np.ndarray, "episode observation"]:
        volume = self._volume
        # Said outright: the cube root of the lethal volume is an ulp less on some machines.
        diameter = np.where(volume < model.LETHAL, np.minimum(model.diameter_of(volume), model.LARGEST), model.LARGEST)
        return np.stack([diameter, np.log10(np.maximum(volume, SEEN))], axis=1)

    def _index(self, instances: Sequence[str]) -> np.ndarray:
        unknown = sorted(set(instances) - set(self.instances))
        if unknown:
            raise QuestionError(f"no patient '{unknown[0]}' here; there are {', '.join(self.instances)}")
        return np.array([self.instances.index(name) for name in instances])


def _draw(seed: int, steps: int) -> Float[np.ndarray, "step 2"]:
    """An episode's chance, day by day: noise of the growth rate, and a uniform number that decides on recovery."""
    noise, recovery = np.random.default_rng([seed, 0]).spawn(2)
    return np.stack([noise.normal(0, model.NOISE, steps), recovery.random(steps)], axis=1)


def _course(plan: Actions, kind: Sequence[int]) -> Actions:
    """The plan with full doses of these treatments in its first three days."""
    changed = plan.astype(float)
    changed[:, :3] = np.maximum(changed[:, :3], habits.DOSES * np.array(kind))
    return changed
