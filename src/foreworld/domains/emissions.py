"""Climate policy: what emissions do to the temperature of 96 climates as uncertain as ours (FaIR 2.2)."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable
from foreworld.domains import emissions_model as model
from foreworld.domains import emissions_paths as paths
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study, derive_seed
from foreworld.errors import QuestionError

BEGINNING = 1750
TEMPERATURE, CONCENTRATION = 0, 1  # columns of the observations
NOISE = np.array([0.03, 0.2, 2.0, 0.1])  # standard deviations of what is measured, column by column
GT_PER_PPM = 7.8  # GtCO2 of one ppm in the air
GIVEN_BACK = 3.0  # ppm in three years, at most, by land and sea after CO2 was removed
ETA, XI, GAMMA = 0.5, 0.5, 2.0  # W/m2, W/m2, 1/yr: yearly temperature varies by 0.1 K, as models do (Cummins 2020)
LARGEST = np.array([500.0, 3000.0, 1000.0])
SMALLEST = np.array([-100.0, 0.0, 0.0])

SCHEMA = Schema(
    id="climate",
    time="year",
    time_unit="years",
    variables=(
        Variable(name="temperature", role="observation", unit="K above 1750", target=True),
        Variable(name="co2", role="observation", unit="ppm", low=0, target=True),
        Variable(name="ch4", role="observation", unit="ppb", low=0),
        Variable(name="heat_uptake", role="observation", unit="W/m2"),
        Variable(name="co2_emissions", role="action", unit="GtCO2/yr", low=SMALLEST[0], high=LARGEST[0]),
        Variable(name="ch4_emissions", role="action", unit="Mt/yr", low=0, high=LARGEST[1]),
        Variable(name="so2_emissions", role="action", unit="Mt/yr", low=0, high=LARGEST[2]),
    ),
)


def _net_zero(names: Sequence[str], plan: Actions) -> Actions:
    """CO2 falls to nothing in thirty years."""
    changed = plan.copy()
    changed[..., paths.CARBON] *= np.maximum(1 - paths.STEP * np.arange(1, plan.shape[1] + 1) / 30, 0)
    return changed


def _scaled(factors: Sequence[float]):
    return lambda names, plan: plan * np.array(factors)


class Emissions:
    """Ninety-six climates under changing emissions of CO2, CH4 and SO2, in steps of three years from 1950.

    They differ in what is uncertain about ours (IPCC AR6, chapter 7): climate sensitivity, ocean heat uptake, forcing
    by gases, ozone and aerosols, and how CO2 is taken up. None of it is told. Before 1950 emissions are those of the
    past. N2O follows a fixed path; other gases, land use, sun and volcanoes are left out. Chance is the weather: the
    stochastic forcing of Cummins (2020), and errors of measurement.

    Temperature and heat uptake are means of the three years before a row, concentrations are those of the last.
    """

    about = About(
        name="emissions",
        field="climate",
        summary="warming of 96 uncertain climates under emissions of CO2, CH4 and SO2",
        source="FaIR 2.2 (Smith 2018; Leach 2021), the emulator of IPCC AR6",
        licence="Apache-2.0",
        extra="emissions",
        distribution="fair",
    )
    schema = SCHEMA
    step_time = float(paths.STEP)
    policies: tuple[str, ...] = ("random", "confounded")
    instances: tuple[str, ...] = tuple(f"climate#{number:03d}" for number in range(96))
    shifts: tuple[str, ...] = ("strong aerosols", "high sensitivity", "noisy instruments")
    baselines: Mapping[str, FitBaseline] = {}
    interventions: Mapping[str, Intervention] = {
        "net zero": Intervention("net-zero CO2 in thirty years", _net_zero),
        "half methane": Intervention("half the methane", _scaled((1.0, 0.5, 1.0))),
        "clean air": Intervention("a fifth of the sulphur", _scaled((1.0, 1.0, 0.2))),
        "double aerosols": Intervention("twice the sulphur", _scaled((1.0, 1.0, 2.0))),
    }
    study = Study(steps=66, first=12, horizon=27, episodes=4)

    def __init__(self, shift: str = ""):
        model.constants()  # says at once if FaIR is not installed
        self._climates = draw_climates(self.instances, shift)
        self._response = model.respond(self._climates, eta=ETA, xi=XI, gamma=GAMMA)
        self._noise = NOISE * (4 if shift == "noisy instruments" else 1)

    def shifted(self, name: str) -> "Emissions":
        """`strong aerosols` (half as much again), `high sensitivity` (by a third) or `noisy instruments` (fourfold)."""
        if name not in self.shifts:
            raise QuestionError(f"no shift '{name}' here; there are {', '.join(self.shifts)}")
        return Emissions(name)

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """Nothing is known about a climate but how it has gone on so far."""
        self._places(instances)
        return np.empty((len(instances), 0))

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Begin in 1950, after two centuries of past emissions and of weather from the episode's seed."""
        self._instance = self._places(instances)
        self._row = np.zeros(len(instances), dtype=np.int64)
        self._steps = np.full(len(instances), steps)
        self._seed = np.array(seeds, dtype=np.int64)
        self._state = model.preindustrial(len(instances))
        years = np.arange(BEGINNING, paths.FIRST)
        emitted = np.repeat(paths.history(years + 0.5)[:, None], len(instances), axis=1)
        weather = self._chance(len(years) * 4, 1).reshape(-1, len(years), 4)
        cut = len(years) - paths.STEP
        self._run(emitted[:cut], np.repeat(years[:cut, None], len(instances), axis=1), weather[:, :cut])
        return self._observe(emitted[cut:], weather[:, cut:], self._row - 1)

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """Three years of constant emissions of CO2 (GtCO2/yr), CH4 (Mt/yr) and SO2 (Mt/yr)."""
        if not ((actions >= SMALLEST) & (actions <= LARGEST)).all():
            raise QuestionError("emissions must be known and lie within the bounds of the schema")
        if (self._row >= self._steps).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        self._row = self._row + 1
        weather = self._chance(paths.STEP * 4, 2).reshape(-1, paths.STEP, 4)
        return self._observe(np.repeat(actions[None], paths.STEP, axis=0), weather, self._row - 1)

    def snapshot(self) -> Snapshot:
        """Arrays with one row an episode; chance is a seed and a row."""
        own = {"instance": self._instance, "row": self._row, "steps": self._steps, "seed": self._seed}
        return own | vars(self._state)

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot; with new seeds, later weather and errors of measurement are new."""
        self._instance, self._row, self._steps = (snapshot[name] for name in ("instance", "row", "steps"))
        self._seed = snapshot["seed"] if seeds is None else np.array(seeds, dtype=np.int64)
        self._state = model.State(**{name: snapshot[name] for name in vars(self._state)})

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`random` (emissions never look at the climate) or `confounded` (CO2 is cut the hotter it gets)."""
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        self._places(instances)
        plans = np.stack([paths.schedule(steps, np.random.default_rng(seed)) for seed in seeds])
        return paths.Policy(plans, reacts=policy == "confounded")

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Other walks from the level of emissions that was intended next."""
        pairs = zip(actions, seeds, strict=True)
        return np.stack([paths.walk(plan[0], len(plan), np.random.default_rng(seed)) for plan, seed in pairs])

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """Conservation of carbon, and heat that takes its time; six standard deviations of noise are allowed for."""
        warming, gas = observations[..., TEMPERATURE], observations[..., CONCENTRATION]
        slack = 6 * np.sqrt(2) * self._noise
        emitted = paths.STEP * np.maximum(actions[..., paths.CARBON], 0) / GT_PER_PPM
        broken = {
            "there is CO2": gas <= 0,
            "CO2 rises by no more than is emitted": np.diff(gas) > emitted + GIVEN_BACK + slack[CONCENTRATION],
            "three years change temperature by less than 1.5 K": np.abs(np.diff(warming)) > 1.5 + slack[TEMPERATURE],
        }
        return {statement: np.asarray(~rows.any(-1)) for statement, rows in broken.items()}

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """Share of the world's product that warming costs: 0.236% for each squared K (DICE-2016R; Nordhaus 2017)."""
        return 0.00236 * np.maximum(observations[..., TEMPERATURE], 0) ** 2

    def _observe(
        self,
        emitted: Float[np.ndarray, "year episode action"],
        weather: Float[np.ndarray, "episode year 4"],
        step: np.ndarray,
    ) -> Float[np.ndarray, "episode observation"]:
        """Live through the years of a step and measure them."""
        before = self._state.heat
        years = paths.FIRST + paths.STEP * step + np.arange(paths.STEP)[:, None]
        warming = self._run(emitted, years, weather).mean(axis=1)
        uptake = (self._state.heat - before) / (paths.STEP * model.ZETTAJOULES)
        truth = np.column_stack([warming, self._state.concentration, uptake])
        return truth + self._noise * self._chance(len(NOISE), 3)

    def _run(
        self,
        emitted: Float[np.ndarray, "year episode action"],
        years: np.ndarray,
        weather: Float[np.ndarray, "episode year 4"],
    ) -> Float[np.ndarray, "episode year"]:
        climates, response = self._climates.take(self._instance), self._response.take(self._instance)
        warming = np.empty((len(self._instance), len(years)))
        for place, year in enumerate(years):
            self._state = model.advance(self._state, climates, response, emitted[place], year, weather[:, place])
            warming[:, place] = self._state.warming
        return warming

    def _chance(self, count: int, purpose: int) -> Float[np.ndarray, "episode chance"]:
        """Standard normal numbers that belong to the present rows and to one purpose."""
        pairs = zip(self._seed.tolist(), self._row.tolist(), strict=True)
        return np.stack([np.random.default_rng([seed, row, purpose]).standard_normal(count) for seed, row in pairs])

    def _places(self, instances: Sequence[str]) -> np.ndarray:
        unknown = sorted(set(instances) - set(self.instances))
        if unknown:
            raise QuestionError(f"no climate '{unknown[0]}' here; there are {len(self.instances)} from #000 on")
        return np.array([self.instances.index(name) for name in instances])


@cache
def draw_climates(instances: tuple[str, ...], shift: str = "") -> model.Climates:
    """Climates as wide apart as the assessed ranges of IPCC AR6 (tables 7.13, 7.8; carbon cycle as Leach 2021).

    Median and 5-95% range: sensitivity 3.0 (2.0-4.5) K, transient response 1.8 (1.3-2.5) K, aerosol forcing in 2019
    -1.1 (-1.7 to -0.4) W/m2, forcing of CO2 +-12%, of CH4 +-20%, of ozone +-50%.
    """
    z = np.stack([np.random.default_rng(derive_seed(0, name)).standard_normal(15) for name in instances])
    aerosol = np.clip(0.9 + 0.33 * z[:, 0], 0.2, 1.8) * (1.5 if shift == "strong aerosols" else 1)
    sensitivity = 3.0 * np.exp(0.25 * z[:, 1]) * (4 / 3 if shift == "high sensitivity" else 1)
    return model.Climates(
        sensitivity=sensitivity,
        transfer=np.array([2.2, 0.9]) * np.exp(np.array([0.2, 0.3]) * z[:, 2:4]),
        capacity=np.array([5.0, 20.0, 100.0]) * np.exp(np.array([0.15, 0.3, 0.3]) * z[:, 4:7]),
        efficacy=np.clip(1.1 + 0.15 * z[:, 7], 0.7, 1.5),
        gases=1 + np.array([0.07, 0.12, 0.1]) * z[:, 8:11],
        ozone=np.exp(0.3 * z[:, 11]),
        aerosol=aerosol,
        uptake=np.exp(np.array([0.05, 0.12, 0.15]) * z[:, 12:15]),
    )
