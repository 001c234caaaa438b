"""Chaotic weather: what the strength of the heating does to 64 two-scale Lorenz-96 atmospheres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable
from foreworld.domains import weather_model as model
from foreworld.domains.analogue import Analogue
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study, derive_seed
from foreworld.errors import QuestionError

STEP = 1 / 3  # model time units; one of these is about five days, by the rate at which errors double (Lorenz 1996)
WEAKEST, STRONGEST = 6.0, 24.0  # forcing of the policies: from regular waves to turbulence
LARGEST = 30.0  # forcing that is accepted
PIECE = (4, 24)  # steps that a forcing lasts
READINGS = 12  # in a step
SPIN_UP = 5.0  # model time units
ALARM = 15.0  # of the size of a slow variable

ENERGY, PEAK = 0, 1  # columns of the observations
SCHEMA = Schema(
    id="atmosphere",
    time="time",
    time_unit="MTU",
    variables=(
        Variable(name="energy", role="observation", low=0, target=True),
        Variable(name="peak", role="observation", target=True),
        *(Variable(name=f"x{sector + 1}", role="observation") for sector in range(model.SECTORS)),
        Variable(name="forcing", role="action", low=0, high=LARGEST),
    ),
)


@dataclass(frozen=True)
class Regime:
    """What all atmospheres have in common.

    Attributes:
        coupling, speed: ranges of h and of c that theirs are drawn from.
        noise: standard deviation of a measurement of a slow variable.
        kick: standard deviation of the random push that every fast variable gets in each step; theirs is 0.2 to 0.4.
    """

    coupling: tuple[float, float] = (0.7, 1.1)
    speed: tuple[float, float] = (4.0, 10.0)
    noise: float = 0.1
    kick: float = 0.01


SHIFTS: dict[str, Regime] = {
    "weak coupling": Regime(coupling=(0.4, 0.6)),
    "slow convection": Regime(speed=(3.0, 4.0)),
    "noisy instruments": Regime(noise=0.5),
}


@dataclass(frozen=True)
class Heating:
    """Behaviour of N episodes: a forcing that changes now and then, turned down where energy is `above` a limit."""

    schedule: Float[np.ndarray, "episode step action"]
    above: float

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """The forcing that leaves the observations of a step."""
        planned = self.schedule[:, step]
        return np.where(observations[:, [ENERGY]] > self.above, (planned + WEAKEST) / 2, planned)

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step action"]:
        """The forcing, were it never turned down."""
        return self.schedule[:, start:stop]


class Weather:
    """Sixty-four atmospheres of 8 slow and 256 fast variables, of which the slow ones are measured with some noise.

    How strongly and how much faster the fast variables act differs between atmospheres and is not told. `energy` is the
    mean of X^2 / 2 over the sectors and a dozen readings in a step, and `peak` the largest |X| among them: what
    responds to the forcing, where a single X is lost in chaos. `x1` to `x8` are the last readings. Chance is errors of
    measurement and a small push to each fast variable in each step.
    """

    about = About(
        name="weather",
        field="climate",
        summary="energy and extremes of 64 chaotic two-scale atmospheres under changing forcing",
        source="two-scale Lorenz-96 (Lorenz 1996; Wilks 2005; Arnold, Moroz and Palmer 2013)",
        licence="Apache-2.0",
        extra="",
    )
    schema = SCHEMA
    step_time = STEP
    policies: tuple[str, ...] = ("random", "confounded")
    instances: tuple[str, ...] = tuple(f"atmosphere#{number:03d}" for number in range(64))
    shifts: tuple[str, ...] = tuple(SHIFTS)
    baselines: Mapping[str, FitBaseline] = {"analogue": Analogue.fit}
    interventions: Mapping[str, Intervention] = {
        "weak": Intervention("the weakest forcing", lambda names, plan: np.full_like(plan, WEAKEST)),
        "strong": Intervention("the strongest forcing", lambda names, plan: np.full_like(plan, STRONGEST)),
        "mirrored": Intervention("weak forcing where strong was meant", lambda names, plan: WEAKEST + STRONGEST - plan),
    }
    study = Study(steps=600, first=48, horizon=30)

    def __init__(self, regime: Regime | None = None):
        self._regime = regime or Regime()
        rngs = [np.random.default_rng(derive_seed(0, name)) for name in self.instances]
        drawn = np.array([rng.random(2) for rng in rngs])
        low, high = np.array([self._regime.coupling, self._regime.speed]).T
        self._drawn = low + (high - low) * drawn

    def shifted(self, name: str) -> "Weather":
        """`weak coupling`, `slow convection` (less distance between the scales) or `noisy instruments`."""
        if name not in SHIFTS:
            raise QuestionError(f"no shift '{name}' here; there are {', '.join(SHIFTS)}")
        return Weather(SHIFTS[name])

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """Nothing is known about an atmosphere."""
        self._places(instances)
        return np.empty((len(instances), 0))

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Begin on the attractor of a forcing that is drawn with the initial state, from an episode's seed."""
        self._instance = self._places(instances)
        self._row = np.zeros(len(instances), dtype=np.int64)
        self._steps = np.full(len(instances), steps)
        self._seed = np.array(seeds, dtype=np.int64)
        start, level = self._chance(model.SECTORS * (1 + model.CELLS), 0), self._chance(1, 1)[:, 0]
        spread = np.repeat([3.0, 0.1], [model.SECTORS, model.SECTORS * model.CELLS])
        forcing = np.clip(15.0 + 4.0 * level, WEAKEST, STRONGEST)
        self._state = model.advance(start * spread, forcing, self._parameters(), duration=SPIN_UP)
        return self._live(forcing)

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """A third of a model time unit of constant forcing."""
        if not ((actions >= 0) & (actions <= LARGEST)).all():
            raise QuestionError(f"forcing must be known and lie in [0, {LARGEST:g}]")
        if (self._row >= self._steps).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        self._row = self._row + 1
        return self._live(actions[:, 0])

    def snapshot(self) -> Snapshot:
        """Arrays with one row an episode; chance is a seed and a row."""
        return {
            "instance": self._instance,
            "row": self._row,
            "steps": self._steps,
            "seed": self._seed,
            "state": self._state.copy(),
        }

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot; with new seeds, later pushes and measurement noise are new."""
        self._instance, self._row, self._steps = (snapshot[name] for name in ("instance", "row", "steps"))
        self._seed = snapshot["seed"] if seeds is None else np.array(seeds, dtype=np.int64)
        self._state = snapshot["state"].copy()

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`random` (forcing never looks at the weather) or `confounded` (turned down while energy is high)."""
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        self._places(instances)
        plans = np.stack([_schedule(steps, np.random.default_rng(seed)) for seed in seeds])
        return Heating(plans, above=25.0 if policy == "confounded" else np.inf)

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Other forcings, drawn as the `random` policy draws them."""
        return np.stack([_schedule(actions.shape[1], np.random.default_rng(seed)) for seed in seeds])

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """What the energy balance and the meaning of the two summaries leave possible.

        The energy of both scales, E, obeys dE/dt = -|X|^2 - c |Y|^2 + F sum(X) <= -2 E + F sqrt(8) sqrt(2 E), so that
        E / 8 <= F^2 / 2 is never left; six standard deviations of noise are added.
        """
        energy, peak = observations[..., ENERGY], observations[..., PEAK]
        ceiling = (LARGEST + 6 * self._regime.noise) ** 2 / 2
        broken = {
            "energy is positive": energy <= 0,
            "energy is no more than forcing can sustain": energy > ceiling,
            "the largest reading is no less than the root mean square": peak
            < np.sqrt(2 * np.maximum(energy, 0)) - 1e-9,
        }
        return {statement: np.asarray(~rows.any(-1)) for statement, rows in broken.items()}

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """How far the most extreme sector is beyond the alarm level."""
        return np.maximum(observations[..., PEAK] - ALARM, 0)

    def _live(self, forcing: Float[np.ndarray, " episode"]) -> Float[np.ndarray, "episode observation"]:
        """Go through a step and take its readings."""
        count = len(forcing)
        noise = self._regime.noise * self._chance(READINGS * model.SECTORS, 2)
        readings = noise.reshape(count, READINGS, model.SECTORS)
        parameters = self._parameters()
        for moment in range(READINGS):
            self._state = model.advance(self._state, forcing, parameters, duration=STEP / READINGS)
            readings[:, moment] += self._state[:, : model.SECTORS]
        push = self._regime.kick * self._chance(model.SECTORS * model.CELLS, 3)
        self._state = np.concatenate([self._state[:, : model.SECTORS], self._state[:, model.SECTORS :] + push], axis=1)
        flat = readings.reshape(count, -1)
        energy = np.square(flat).mean(axis=1) / 2
        return np.column_stack([energy, np.abs(flat).max(axis=1), readings[:, -1]])

    def _chance(self, count: int, purpose: int) -> Float[np.ndarray, "episode chance"]:
        """Standard normal numbers that belong to the present rows and to one purpose."""
        pairs = zip(self._seed.tolist(), self._row.tolist(), strict=True)
        return np.stack([np.random.default_rng([seed, row, purpose]).standard_normal(count) for seed, row in pairs])

    def _parameters(self) -> model.Parameters:
        return model.Parameters(*self._drawn[self._instance].T)

    def _places(self, instances: Sequence[str]) -> np.ndarray:
        unknown = sorted(set(instances) - set(self.instances))
        if unknown:
            raise QuestionError(f"no atmosphere '{unknown[0]}' here; there are {len(self.instances)} from #000 on")
        return np.array([self.instances.index(name) for name in instances])


def _schedule(steps: int, rng: np.random.Generator) -> Float[np.ndarray, "step action"]:
    """Forcings that last for PIECE steps each; a longer plan from an equal generator begins with the shorter one."""
    shortest, longest = PIECE
    durations, levels = rng.spawn(2)
    pieces = -(-steps // shortest)
    lengths = durations.integers(shortest, longest, size=pieces, endpoint=True)
    return np.repeat(levels.uniform(WEAKEST, STRONGEST, size=pieces), lengths)[:steps, None]
