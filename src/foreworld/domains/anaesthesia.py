"""General anaesthesia: what propofol and remifentanil do to the BIS and to the tolerance of a laryngoscope."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.schema import Schema, Variable
from foreworld.domains import anaesthesia_model as model
from foreworld.domains import anaesthesia_patients as patients
from foreworld.domains import anaesthesia_policy as habits
from foreworld.domains.anaesthesia_tci import PopulationModel
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study
from foreworld.errors import QuestionError

MINUTES = 1.0  # of a step
BIS, TOLERANCE = 0, 1  # columns of the observations
WORST = 3.0  # standard deviations: no reading is farther off
CLEARED = 20  # minutes after which an effect site has passed its peak in every patient, once the pump is off

SCHEMA = Schema(
    id="patient",
    time="minute",
    time_unit="min",
    variables=(
        Variable(name="bis", role="observation", unit="BIS", low=0, high=100, target=True),
        Variable(name="tolerance", role="observation", unit="probability", low=0, high=1, target=True),
        Variable(name="propofol", role="action", unit="mg/kg/h", low=0),
        Variable(name="remifentanil", role="action", unit="ug/kg/min", low=0),
        Variable(name="age", role="static", unit="years"),
        Variable(name="height", role="static", unit="cm"),
        Variable(name="weight", role="static", unit="kg"),
        Variable(name="sex", role="static", kind="categorical", categories=("woman", "man")),
    ),
)


@dataclass(frozen=True)
class Regime:
    """Who the patients are and how well they are measured.

    Attributes:
        age, mass_index: ranges in years and kg/m2.
        bis_error: standard deviation of a BIS reading.
        tolerance_error: standard deviation of an assessed tolerance p, divided by p (1 - p); less than 1 / WORST.
    """

    age: tuple[float, float] = patients.AGE
    mass_index: tuple[float, float] = patients.MASS_INDEX
    bis_error: float = 3.0
    tolerance_error: float = 0.2


SHIFTS: dict[str, Regime] = {
    "elderly": Regime(age=(70.0, 90.0)),
    # No heavier: beyond an index of 36 the lean mass of James falls with weight, and Schnider's clearance explodes.
    "obese": Regime(mass_index=(32.5, 36.0)),
    "noisier readings": Regime(bis_error=7.5, tolerance_error=0.33),
}


class Anaesthesia:
    """A hundred and fifty patients on two infusion pumps, awake at first; a step is a minute.

    The BIS is read from a monitor. Tolerance is the patient's own probability of not responding to laryngoscopy, with
    an error that is largest near one half: in the simulator it can be assessed every minute. At the bedside only
    single responses are seen, so take this column for what a monitor that knew the patient would show. There are no
    boluses, no surgery and no other drugs.
    """

    about = About(
        name="anaesthesia",
        field="medicine",
        summary="depth of anaesthesia and tolerance of laryngoscopy of 150 patients under propofol and remifentanil",
        source="Schnider 1998 and Minto 1997 (kinetics), Bouillon 2004 (effects and their interaction)",
        licence="Apache-2.0",
        extra="",
    )
    schema = SCHEMA
    step_time = MINUTES
    policies: tuple[str, ...] = ("random", "confounded", "separate")
    instances: tuple[str, ...] = patients.NAMES
    shifts: tuple[str, ...] = tuple(SHIFTS)
    baselines: Mapping[str, FitBaseline] = {"population model": PopulationModel.fit}
    interventions: Mapping[str, Intervention] = {
        "double propofol": Intervention("twice the propofol", lambda names, plan: _doubled(plan), doing="propofol"),
        "add remifentanil": Intervention("0.05 ug/kg/min more remifentanil", lambda names, plan: _added(plan)),
        "stop both": Intervention("both pumps off", lambda names, plan: np.zeros_like(plan)),
    }
    study = Study(steps=240, first=60, horizon=30)

    def __init__(self, regime: Regime | None = None):
        self._regime = regime or Regime()
        self._everyone = patients.population(self._regime.age, self._regime.mass_index)
        drugs = (self._everyone.propofol, self._everyone.remifentanil)
        self._transitions = [model.transition(kinetics, MINUTES) for kinetics in drugs]

    def shifted(self, name: str) -> "Anaesthesia":
        """`elderly` (70 to 90 years), `obese` (a body mass index of 32.5 to 36) or `noisier readings`."""
        if name not in SHIFTS:
            raise QuestionError(f"no shift '{name}' here; there are {', '.join(SHIFTS)}")
        return Anaesthesia(SHIFTS[name])

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """Age, height, weight and sex (an index)."""
        bodies = self._everyone.bodies
        facts = np.stack([bodies.age, bodies.height, bodies.weight, bodies.male], axis=1)
        return facts[self._places(instances)]

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Begin awake, without any drug; the seed of an episode decides its errors of measurement."""
        self._settle(self._places(instances))
        self._row = np.zeros(len(instances), dtype=np.int64)
        self._concentrations = np.zeros((2, 4, len(instances)))
        self._errors = _draw_errors(seeds, steps + 1)
        return self._observe()

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """A minute of propofol (mg/kg/h) and remifentanil (ug/kg/min)."""
        if not (np.isfinite(actions).all() and (actions >= 0).all()):
            raise QuestionError("propofol and remifentanil must be known and not negative")
        if (self._row + 1 >= self._errors.shape[1]).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        rates = (actions[:, habits.PROPOFOL] * self._weight / 60, actions[:, habits.REMIFENTANIL] * self._weight)
        drugs = zip(self._concentrations, rates, self._step, strict=True)
        self._concentrations = np.stack([model.advance(levels, rate, step) for levels, rate, step in drugs])
        self._row = self._row + 1
        return self._observe()

    def effects(self) -> Float[np.ndarray, "episode 2"]:
        """The BIS and the tolerance of every patient at present, without errors of measurement."""
        propofol, remifentanil = self._concentrations[:, 3]
        bis = model.bis(propofol, remifentanil, self._response)
        return np.stack([bis, model.tolerance(propofol, remifentanil, self._response)], axis=1)

    def snapshot(self) -> Snapshot:
        """Arrays with one row an episode; see `foreworld.domains.base.Snapshot`."""
        return {
            "instance": self._instance,
            "row": self._row,
            "concentrations": np.moveaxis(self._concentrations, -1, 0).copy(),
            "errors": self._errors,
        }

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot, with the same errors of measurement or, given seeds, with new ones from now on."""
        self._settle(snapshot["instance"])
        self._row = snapshot["row"]
        self._concentrations = np.ascontiguousarray(np.moveaxis(snapshot["concentrations"], 0, -1))
        self._errors = snapshot["errors"]
        if seeds is not None:
            fresh = _draw_errors(seeds, self._errors.shape[1])
            later = np.arange(self._errors.shape[1]) > self._row[:, None]
            self._errors = np.where(later[..., None], fresh, self._errors)

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """What the pumps do.

        `random`: both drugs at rates that never look at the patient. `confounded`: propofol follows the BIS.
        `separate`: as `random`, but a patient gets one of the drugs alone, so that they never meet.
        """
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        self._places(instances)
        generators = [np.random.default_rng(seed) for seed in seeds]
        plans = np.stack([habits.schedule(steps, rng) for rng in generators])
        if policy == "separate":
            alone = np.array([rng.integers(2) for rng in generators])
            plans *= np.arange(2) == alone[:, None, None]
        return habits.Pumps(plans, titrated=policy == "confounded")

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Other rates of both drugs, drawn as the `random` policy draws them."""
        return np.stack([habits.schedule(actions.shape[1], np.random.default_rng(seed)) for seed in seeds])

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """What readings are possible, and that nobody falls asleep of pumps that were turned off long ago.

        Twenty minutes after a pump was turned off the effect site has passed its peak and only falls. The errors of two
        readings are allowed for.
        """
        bis, tolerance = observations[..., BIS], observations[..., TOLERANCE]
        cleared = _cleared(actions)
        apart = 2 * WORST * self._regime.bis_error
        error = WORST * self._regime.tolerance_error
        woken = _extreme_so_far(bis, cleared, np.fmax, -np.inf)
        lightest = _extreme_so_far(tolerance, cleared, np.fmin, np.inf)
        # The true p of the lowest assessment x is at most the root of x = p - e p (1 - p); others read p + e p (1 - p).
        truth = (error - 1 + np.sqrt((1 - error) ** 2 + 4 * error * np.clip(lightest, 0, 1))) / (2 * error)
        highest = truth + error * truth * (1 - truth)
        broken = {
            "the BIS lies in 0 to 100": (bis < 0) | (bis > 100),
            "tolerance is a probability": (tolerance < 0) | (tolerance > 1),
            "no deeper sleep from pumps long off": bis < woken - apart,
            "no more tolerance from pumps long off": cleared & (tolerance > highest + 1e-9),
        }
        return {name: np.asarray(~np.logical_or.reduce(rows, axis=-1)) for name, rows in broken.items()}

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """One for a BIS outside 40 to 60, the range of surgical anaesthesia: summed over steps, minutes outside."""
        bis = observations[..., BIS]
        return np.where((bis < 40) | (bis > 60), 1.0, 0.0)

    def _observe(self) -> Float[np.ndarray, "episode observation"]:
        normal = self._errors[np.arange(len(self._row)), self._row]
        bis, tolerance = self.effects().T
        reading = np.clip(bis + self._regime.bis_error * normal[:, BIS], 0, 100)
        error = self._regime.tolerance_error * normal[:, TOLERANCE]
        return np.stack([reading, tolerance + error * tolerance * (1 - tolerance)], axis=1)

    def _settle(self, places: Int[np.ndarray, " episode"]) -> None:
        """Take the constants of these patients."""
        self._instance = places
        self._weight = self._everyone.bodies.weight[places]
        self._step = [
            model.Transition(
                decay=np.ascontiguousarray(step.decay[..., places]), gain=np.ascontiguousarray(step.gain[..., places])
            )
            for step in self._transitions
        ]
        response = self._everyone.response
        self._response = model.Response(*(getattr(response, field.name)[places] for field in fields(response)))

    def _places(self, instances: Sequence[str]) -> Int[np.ndarray, " episode"]:
        unknown = sorted(set(instances) - set(self.instances))
        if unknown:
            raise QuestionError(
                f"no patient '{unknown[0]}' here; there are man#000 to man#074 and woman#000 to woman#074"
            )
        return np.array([self.instances.index(name) for name in instances], dtype=np.int64)


def _draw_errors(seeds: Sequence[int], rows: int) -> Float[np.ndarray, "episode row 2"]:
    """Standard normal errors of both readings, none beyond WORST; the same first rows however many there are."""
    return np.stack([np.clip(np.random.default_rng(seed).standard_normal((rows, 2)), -WORST, WORST) for seed in seeds])


def _cleared(actions: Float[np.ndarray, "*batch step action"]) -> Bool[np.ndarray, "*batch row"]:
    """Rows before which both pumps are known to have been off for CLEARED minutes."""
    running = np.asarray(np.logical_or.reduce((actions > 0) | np.isnan(actions), axis=-1))
    cleared = np.zeros((*running.shape[:-1], running.shape[-1] + 1), dtype=bool)
    off = np.zeros(running.shape[:-1], dtype=np.int64)
    for step in range(running.shape[-1]):
        off = np.where(running[..., step], 0, off + 1)
        cleared[..., step + 1] = off >= CLEARED
    return cleared


def _extreme_so_far(
    values: Float[np.ndarray, "*batch row"], where: Bool[np.ndarray, "*batch row"], extreme: np.ufunc, start: float
) -> Float[np.ndarray, "*batch row"]:
    """The largest or smallest known value since the present run of `where` began; `start` outside of runs."""
    out = np.empty(values.shape)
    so_far = np.full(values.shape[:-1], start)
    for row in range(values.shape[-1]):
        so_far = np.where(where[..., row], extreme(so_far, values[..., row]), start)
        out[..., row] = so_far
    return out


def _doubled(plan: Actions) -> Actions:
    """Twice the propofol, but no more than the policies ever give."""
    changed = plan.copy()
    changed[..., habits.PROPOFOL] = np.minimum(2 * changed[..., habits.PROPOFOL], habits.HIGHEST[habits.PROPOFOL])
    return changed


def _added(plan: Actions) -> Actions:
    changed = plan.copy()
    more = habits.round_rate(changed[..., habits.REMIFENTANIL] + 0.05, habits.REMIFENTANIL)
    changed[..., habits.REMIFENTANIL] = np.minimum(more, habits.HIGHEST[habits.REMIFENTANIL])
    return changed
