"""Type 1 diabetes: what insulin and meals do to the glucose of thirty virtual patients (UVA/Padova, simglucose)."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable
from foreworld.domains import glucose_model as model
from foreworld.domains import glucose_policy as habits
from foreworld.domains import glucose_sensor as sensor
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study
from foreworld.errors import QuestionError

GROUPS = ("child", "adolescent", "adult")
RESISTANT, NOISIER = "insulin resistant", "noisier sensor"
SENSITIVITY, NOISE = 0.6, 2.0  # of these: the share of insulin's action that is left, and the factor on errors
FASTEST = 200.0  # mg/dL in five minutes; 101 is the most in 4,320 patient-days of both policies and all shifts

SCHEMA = Schema(
    id="patient",
    time="minute",
    time_unit="min",
    variables=(
        Variable(name="glucose", role="observation", unit="mg/dL", low=sensor.LOWEST, high=sensor.HIGHEST, target=True),
        Variable(name="basal", role="action", unit="U/h", low=0),
        Variable(name="bolus", role="action", unit="U", low=0),
        Variable(name="carbs", role="action", unit="g", low=0),
        Variable(name="weight", role="static", unit="kg"),
        Variable(name="age", role="static", unit="years"),
        Variable(name="carb_ratio", role="static", unit="g/U"),
        Variable(name="correction_factor", role="static", unit="mg/dL per U"),
        Variable(name="daily_insulin", role="static", unit="U/day"),
        Variable(name="group", role="static", kind="categorical", categories=GROUPS),
    ),
)


class Glucose:
    """Thirty virtual patients with a glucose sensor, an insulin pump and a table to eat at; five minutes a step.

    A step's basal rate and bolus are infused evenly over its five minutes; its carbohydrate is put on the table at its
    beginning and eaten at 5 g/min. Simulated time begins at midnight in the fasting steady state.
    """

    about = About(
        name="glucose",
        field="medicine",
        summary="glucose of 30 virtual patients with type 1 diabetes under insulin and meals",
        source="UVA/Padova simulator (Dalla Man 2007; Kovatchev 2009) as in simglucose 0.2.11",
        licence="MIT",
        extra="glucose",
        distribution="simglucose",
    )
    schema = SCHEMA
    step_time = float(sensor.SAMPLE_TIME)
    policies: tuple[str, ...] = ("random", "confounded")
    shifts: tuple[str, ...] = (RESISTANT, NOISIER)
    baselines: Mapping[str, FitBaseline] = {}
    study = Study(steps=5 * 288, first=96, horizon=36)

    def __init__(self, shift: str = ""):
        if shift and shift not in self.shifts:
            raise QuestionError(f"no shift '{shift}' here; there are {', '.join(self.shifts)}")
        self.shift = shift
        self.instances: tuple[str, ...] = tuple(model.table("vpatient_params.csv"))
        self.interventions: Mapping[str, Intervention] = {
            "correction": Intervention("a correction bolus", lambda names, plan: self._corrected(names, plan, 1.0)),
            "no insulin": Intervention("no insulin", lambda names, plan: plan * np.array([0.0, 0.0, 1.0])),
            "half meal": Intervention("half the meal", self._half_meal, doing="carbs"),
            "double correction": Intervention(
                "a double correction", lambda names, plan: self._corrected(names, plan, 2.0)
            ),
        }

    def shifted(self, name: str) -> "Glucose":
        """Insulin acts less, while the fasting steady state stays as it was; or the sensor errs twice as much."""
        return Glucose(name)

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """Weight, age, carbohydrate ratio, correction factor, daily insulin and group (an index)."""
        self._check(instances)
        quest = [model.column("Quest.csv", key, instances) for key in ("Age", "CR", "CF", "TDI")]
        group = np.array([float(GROUPS.index(name.partition("#")[0])) for name in instances])
        return np.stack([model.column("vpatient_params.csv", "BW", instances), *quest, group], axis=1)

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Begin at midnight in the fasting steady state; the seed of an episode decides its sensor's errors."""
        self._check(instances)
        self._instance = np.array([self.instances.index(name) for name in instances])
        self._row = np.zeros(len(instances), dtype=np.int64)
        self._parameters = self._constants(instances)
        self._bodies = model.initial(instances)
        self._innovations = sensor.draw_innovations(seeds, steps + 1)
        self._errors = self._noise()
        return self._observe()

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """Five minutes of basal (U/h), bolus (U) and carbohydrate (g)."""
        if not (np.isfinite(actions).all() and (actions >= 0).all()):
            raise QuestionError("basal, bolus and carbs must be known and not negative")
        if (self._row + 1 >= self._errors.shape[1]).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        basal, bolus, carbs = actions.T
        insulin = basal / 60 + bolus / sensor.SAMPLE_TIME
        for minute in range(sensor.SAMPLE_TIME):
            served = carbs if minute == 0 else np.zeros_like(carbs)
            self._bodies = model.minute(self._bodies, self._parameters, served, insulin)
        self._row = self._row + 1
        return self._observe()

    def snapshot(self) -> Snapshot:
        """Arrays with one row an episode; see `foreworld.domains.base.Snapshot`."""
        bodies = {name: values.T for name, values in vars(self._bodies).items()}
        return {"instance": self._instance, "row": self._row, "innovations": self._innovations, **bodies}

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot, with the same sensor errors or, given seeds, with errors that part from now on.

        The sensor's error is correlated in time, so the present one lives on and only later innovations are new.
        """
        self._instance, self._row = snapshot["instance"], snapshot["row"]
        self._innovations = snapshot["innovations"]
        if seeds is not None:
            self._innovations = sensor.redraw(self._innovations, self._row, seeds)
        self._errors = self._noise()
        self._parameters = self._constants([self.instances[index] for index in self._instance])
        bodies = {field.name: np.ascontiguousarray(snapshot[field.name].T) for field in fields(model.Bodies)}
        self._bodies = model.Bodies(**bodies)

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`random` (insulin never looks at glucose) or `confounded` (high readings are corrected on top)."""
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        therapies = self._therapies(instances)
        generators = [np.random.default_rng(seed) for seed in seeds]
        plans = [habits.schedule(therapy, steps, rng) for therapy, rng in zip(therapies, generators, strict=True)]
        checks = np.stack([habits.check_times(steps, rng) for rng in generators])
        return habits.Therapies(
            schedule=np.stack(plans),
            checks=checks & (policy == "confounded"),
            correction=np.array([therapy.correction for therapy in therapies]),
            sugar=np.array([np.round(habits.SUGAR * therapy.appetite) for therapy in therapies]),
        )

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Another insulin plan with the same meals for each episode, see `glucose_policy.alternative`."""
        generators = [np.random.default_rng(seed) for seed in seeds]
        cases = zip(self._therapies(instances), actions, generators, strict=True)
        return np.stack([habits.alternative(therapy, plan, rng) for therapy, plan, rng in cases])

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """A reading that the sensor can give, and that glucose can have reached in five minutes."""
        reading = observations[..., 0]
        outside = (reading < sensor.LOWEST) | (reading > sensor.HIGHEST)
        leaps = np.abs(np.diff(reading)) > FASTEST
        return {
            "the reading is within the sensor's range": np.asarray(~outside.any(-1)),
            f"the reading moves by less than {FASTEST:g} mg/dL in a step": np.asarray(~leaps.any(-1)),
        }

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """The blood-glucose risk of Kovatchev (2000): 10 (1.509 (ln(g)^1.084 - 5.381))^2, zero near 112.5 mg/dL."""
        return 10 * (1.509 * (np.log(observations[..., 0]) ** 1.084 - 5.381)) ** 2

    def _constants(self, instances: Sequence[str]) -> model.Parameters:
        constants = model.parameters(instances)
        if self.shift != RESISTANT:
            return constants
        # kp1 makes up for what basal insulin does not hold back any more, so that fasting production is the same.
        less = (1 - SENSITIVITY) * constants.kp3
        weaker = {"Vmx": SENSITIVITY * constants.Vmx, "kp3": constants.kp3 - less}
        return replace(constants, kp1=constants.kp1 - less * constants.Ib, **weaker)

    def _noise(self) -> Float[np.ndarray, "episode sample"]:
        return sensor.noise(self._innovations) * (NOISE if self.shift == NOISIER else 1.0)

    def _observe(self) -> Float[np.ndarray, "episode observation"]:
        error = self._errors[np.arange(len(self._row)), self._row]
        return sensor.read(model.glucose(self._bodies, self._parameters), error)[:, None]

    def _therapies(self, instances: Sequence[str]) -> list[habits.Therapy]:
        weight, _, carb_ratio, correction_factor, _, group = self.static(instances).T
        # Children fall about twice as far as the table's correction factor says, so they are given half.
        drop = np.where(group == GROUPS.index("child"), 25, 50)
        correction = habits.round_to(drop / correction_factor, habits.BOLUS_INCREMENT)
        basal, appetite = model.parameters(instances).steady_basal, (weight / 70) ** 0.75
        rows = zip(basal, carb_ratio, correction, appetite, strict=True)
        return [habits.Therapy(*map(float, row)) for row in rows]

    def _corrected(self, instances: Sequence[str], actions: Actions, size: float) -> Actions:
        changed = actions.copy()
        extra = np.array([size * therapy.correction for therapy in self._therapies(instances)])
        changed[:, 0, habits.BOLUS] = habits.round_to(changed[:, 0, habits.BOLUS] + extra, habits.BOLUS_INCREMENT)
        return changed

    def _half_meal(self, instances: Sequence[str], actions: Actions) -> Actions:
        fasting = np.flatnonzero(actions[:, 0, habits.CARBS] == 0)
        if fasting.size:
            raise QuestionError(f"no meal to halve in the first step of case {fasting[0]} ('{instances[fasting[0]]}')")
        changed = actions.copy()
        changed[:, 0, habits.CARBS] /= 2
        return changed

    def _check(self, instances: Sequence[str]) -> None:
        unknown = sorted(set(instances) - set(self.instances))
        if unknown:
            raise QuestionError(f"no patient '{unknown[0]}' here; there are {', '.join(self.instances)}")
