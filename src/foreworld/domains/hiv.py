"""HIV under two drugs: sixty virtual patients whose constants are hidden, and an immune system that can be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable
from foreworld.domains import hiv_model as model
from foreworld.domains import hiv_policy as habits
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study, places
from foreworld.domains.hiv_ode import SourcePatient
from foreworld.errors import QuestionError

PATIENTS = 60
SPREAD = 0.1  # of every constant that differs between patients, on the log scale
BEGINS = 0.2  # of every quantity about the patient's own steady state at the beginning, on the log scale
VARIED = ("l1", "l2", "k1", "k2", "delta", "m1", "m2", "N", "bE", "dE", "deltaE")
SETTLING = 1500.0  # d, from the unhealthy steady state of the source to the patient's own
RESISTANT = 0.7  # of a drug's effect that is left in the regime `resistant`
ACUTE = (1e6, 3198.0, 1e-2, 1e-2, 1.0, 10.0)  # shortly after infection
SEEN = 1e-3  # 1/mL, one in a litre: less of anything is not told from this
LOG10 = np.log(10.0)

SCHEMA = Schema(
    id="patient",
    time="day",
    time_unit="d",
    variables=(
        Variable(name="cd4", role="observation", unit="log10 cells/mL", low=-3.0, target=True),
        Variable(name="macrophages", role="observation", unit="log10 cells/mL", low=-3.0),
        Variable(name="infected_cd4", role="observation", unit="log10 cells/mL", low=-3.0),
        Variable(name="infected_macrophages", role="observation", unit="log10 cells/mL", low=-3.0),
        Variable(name="virus", role="observation", unit="log10 copies/mL", low=-3.0, target=True),
        Variable(name="immune", role="observation", unit="log10 cells/mL", low=-3.0, target=True),
        Variable(name="rti", role="action", kind="binary"),
        Variable(name="pi", role="action", kind="binary"),
    ),
)


class Hiv:
    """Sixty patients, five days a step; a drug is taken or not.

    An episode begins near the patient's own untreated steady state, in which the virus has won. All six quantities are
    measured, without error, so that nothing is left to chance afterwards; what differs between patients is hidden.
    `immune` are the cytotoxic lymphocytes: virus makes them multiply, much virus exhausts them.
    """

    about = About(
        name="hiv",
        field="medicine",
        summary="virus, target cells and immune response of 60 virtual HIV patients under two drugs",
        source="equations and constants of Adams et al. 2004, as the control problem of Ernst et al. 2006",
        licence="Apache-2.0 (own implementation)",
        extra="",
    )
    schema = SCHEMA
    step_time = 5.0
    policies: tuple[str, ...] = ("random", "confounded")
    instances: tuple[str, ...] = tuple(f"patient#{number:02d}" for number in range(1, PATIENTS + 1))
    interventions: Mapping[str, Intervention] = {
        "both": Intervention("both drugs", lambda names, plan: np.ones_like(plan)),
        "stop": Intervention("neither drug", lambda names, plan: np.zeros_like(plan)),
        "one more month": Intervention("both drugs for a month first", lambda names, plan: _first_month(plan)),
    }
    shifts: tuple[str, ...] = ("reference", "resistant", "acute")
    baselines: Mapping[str, FitBaseline] = {"source's patient": SourcePatient.fit}
    study = Study(steps=200, first=10, horizon=24)

    def __init__(self, regime: str = ""):
        if regime not in ("", *self.shifts):
            raise QuestionError(f"no shift '{regime}' here; there are {', '.join(self.shifts)}")
        self.regime = regime
        self._population, self._steady = _population(reference=regime == "reference")

    def shifted(self, name: str) -> "Hiv":
        """`reference` (everyone is the patient of the source, in its unhealthy steady state exactly), `resistant` (70%
        of the drugs' effect) or `acute` (episodes begin shortly after infection)."""
        return Hiv(name)

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """Nothing is known of a patient."""
        return np.empty((len(places(instances, self.instances)), 0))

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Begin near the untreated steady state; the seed of an episode decides how near."""
        self._instance = places(instances, self.instances)
        self._left = np.full(len(instances), steps)
        away = np.stack([np.random.default_rng(seed).standard_normal(6) for seed in seeds])
        if self.regime == "acute":
            self._state = np.log(ACUTE) + BEGINS * away
        else:
            self._state = self._steady[self._instance] + (self.regime != "reference") * BEGINS * away
        some = self._population.take(self._instance)
        for column, most in enumerate((some.l1 / some.d1, some.l2 / some.d2)):
            self._state[:, column] = np.minimum(self._state[:, column], np.log(most))
        return self._observe()

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """Five days with (1) or without (0) the reverse transcriptase inhibitor and the protease inhibitor."""
        if not np.isin(actions, (0, 1)).all():
            raise QuestionError("rti and pi are 0 or 1")
        if (self._left < 1).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        taken = actions.astype(float) * (RESISTANT if self.regime == "resistant" else 1.0)
        patients = self._population.take(self._instance)
        self._state = model.advance(self._state, patients, taken, self.step_time)
        self._left = self._left - 1
        return self._observe()

    def snapshot(self) -> Snapshot:
        """Arrays with one row an episode; see `foreworld.domains.base.Snapshot`."""
        return {"instance": self._instance, "left": self._left, "state": self._state}

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot; nothing is left to chance, so that seeds change nothing."""
        self._instance, self._left, self._state = snapshot["instance"], snapshot["left"], snapshot["state"]

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`random` (blocks that never look at the patient) or `confounded` (much virus is treated, little is not)."""
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        places(instances, self.instances)
        generators = [np.random.default_rng(seed) for seed in seeds]
        plans = np.stack([habits.schedule(steps, rng) for rng in generators])
        if policy == "random":
            return habits.Prescriptions(plans)
        return habits.Prescriptions(plans, np.stack([rng.random(steps) for rng in generators]))

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Another schedule for each episode, as the `random` policy draws one."""
        return np.stack([habits.schedule(actions.shape[1], np.random.default_rng(seed)) for seed in seeds])

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """What cells can be sustained, and how fast lymphocytes multiply and infected cells die at most."""
        people = self._population
        cells, infected, immune = (observations[..., column].astype(float) for column in (0, 2, 5))
        most = np.log10(np.max(people.l1 / people.d1))
        before, after = immune[..., :-1], immune[..., 1:]
        born = self.step_time * np.max(people.bE) / LOG10
        dead = self.step_time * np.max(people.dE + people.deltaE) / LOG10
        # A lymphocyte is also made from nothing: of few there may soon be many times as many.
        fresh = np.log10(1 + np.max(people.lE / people.bE) * 10.0 ** -np.clip(before, -20, 20))
        killed = np.max(people.m1) * 10.0 ** np.minimum(np.maximum(before, 0) + born + fresh, 20)
        slowest = self.step_time * (np.max(people.delta) + killed) / LOG10
        return {
            "no more CD4 cells than are made": ~np.any(cells > most + 1e-4, axis=-1),
            "lymphocytes multiply no faster than they are born": ~np.any(after > before + born + fresh + 1e-4, axis=-1),
            "lymphocytes die no faster than they can": ~np.any(after < before - dead - 1e-4, axis=-1),
            "infected cells die no faster than they are killed": ~np.any(
                infected[..., 1:] < infected[..., :-1] - slowest - 1e-4, axis=-1
            ),
        }

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """How many times more virus than lymphocytes, on a log10 scale; nothing where the immune system has control."""
        return np.maximum(observations[..., 4] - observations[..., 5], 0.0)

    def _observe(self) -> Float[np.ndarray, "episode observation"]:
        return np.log10(np.maximum(np.exp(self._state), SEEN))


def reward(
    observations: Float[np.ndarray, "*batch row 6"], actions: Float[np.ndarray, "*batch step 2"]
) -> Float[np.ndarray, "*batch step"]:
    """What a step is worth in the control problem of Adams and Ernst: lymphocytes, less virus and drugs,

        1000 E - 0.1 V - 20000 e1^2 - 2000 e2^2,

    with E and V after the step. A return is its sum over 200 steps, each discounted by 0.98.
    """
    after = 10.0 ** observations[..., 1:, :].astype(float)
    doses = np.square(actions * model.EFFICACY) @ np.array([2e4, 2e3])
    return 1e3 * after[..., 5] - 0.1 * after[..., 4] - doses


@cache
def _population(reference: bool) -> tuple[model.Patients, Float[np.ndarray, "patient 6"]]:
    """Sixty patients and the logarithms of their untreated steady states, in which the virus has won.

    One in eight of those drawn controls the virus without any drug, and is left out.
    """
    unhealthy = np.tile(np.log(model.UNHEALTHY), (PATIENTS, 1))
    if reference:
        return model.Patients(), unhealthy
    rng = np.random.default_rng(2004)
    drawn = SPREAD * rng.standard_normal((2 * PATIENTS, len(VARIED)))
    varied = {name: getattr(model.Patients(), name) * np.exp(drawn[:, column]) for column, name in enumerate(VARIED)}
    patients = replace(model.Patients(), **varied)
    steady = model.advance(np.tile(unhealthy[:1], (len(drawn), 1)), patients, np.zeros((len(drawn), 2)), SETTLING)
    lost = np.flatnonzero(steady[:, 4] > steady[:, 5])[:PATIENTS]
    return patients.take(lost), steady[lost]


def _first_month(plan: Actions) -> Actions:
    changed = plan.astype(float)
    changed[:, :6] = 1.0
    return changed
