"""Navigation: a ball is pushed by two motors through the mazes of gymnasium-robotics' PointMaze (MuJoCo)."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable
from foreworld.domains import maze_policy as driving
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study
from foreworld.domains.maze_layout import DIRECTIONS, LAYOUTS, build, centres, on_floor, ranges
from foreworld.domains.mujoco import Simulation, robotics
from foreworld.errors import QuestionError

VARIANTS = 12  # balls in each layout
RADIUS = 0.1  # m
MASS, DAMPING = (2.0, 8.0), (2.0, 10.0)  # kg and N s/m; 4.2 and 1 in the package
START = 0.25  # m, the largest distance from the centre of a cell at the start, by axis
FRAMES, FRAME = 10, 0.01  # simulator steps a row, s
TOP_SPEED = 5.0  # m/s by axis: the package cuts the velocity before each simulator step
DISTURBANCE, PERSISTENCE = 1.0, 0.9  # N and a row

SCHEMA = Schema(
    id="run",
    time="second",
    time_unit="s",
    variables=(
        Variable(name="x", role="observation", unit="m", low=-5, high=5, target=True),
        Variable(name="y", role="observation", unit="m", low=-3.5, high=3.5, target=True),
        Variable(name="velocity_x", role="observation", unit="m/s"),
        Variable(name="velocity_y", role="observation", unit="m/s"),
        *(Variable(name=f"wall_{name}", role="observation", unit="m", low=0) for name in DIRECTIONS),
        Variable(name="force_x", role="action", unit="N", low=-driving.STRONGEST, high=driving.STRONGEST),
        Variable(name="force_y", role="action", unit="N", low=-driving.STRONGEST, high=driving.STRONGEST),
        Variable(name="mass", role="static", unit="kg"),
        Variable(name="layout", role="static", kind="categorical", categories=tuple(LAYOUTS)),
    ),
)


class Maze:
    """A ball on the floor of a maze, ten simulator steps (0.1 s) a row; forces in N along x and y.

    The ball measures how far the walls are in four directions, from its centre. Layout and mass are known, the damping
    is not. Chance is a force on top of the motors' that comes and goes within
    a second (autoregressive), drawn for the whole episode when it begins; PointMaze itself has none.
    """

    about = About(
        name="maze",
        field="robotics",
        summary="position of a force-driven ball in four mazes, with masses and frictions of 48 balls",
        source="PointMaze of gymnasium-robotics 1.4 (from D4RL, Fu 2020) on MuJoCo (Todorov 2012)",
        licence="MIT (gymnasium-robotics), Apache-2.0 (PointMaze, MuJoCo)",
        extra="robotics",
        distribution="gymnasium-robotics",
    )
    schema = SCHEMA
    step_time = FRAMES * FRAME
    policies: tuple[str, ...] = ("random", "homing")
    shifts: tuple[str, ...] = ("slippery", "shaken")
    baselines: Mapping[str, FitBaseline] = {}
    study = Study(steps=120, first=24, horizon=24, episodes=6)
    instances: tuple[str, ...] = tuple(f"{layout}#{index:03d}" for layout in LAYOUTS for index in range(VARIANTS))
    interventions: Mapping[str, Intervention] = {
        "coast": Intervention("motors off", lambda names, plan: np.zeros_like(plan)),
        "reverse": Intervention("the opposite forces", lambda names, plan: -plan),
        "shove": Intervention(
            "a shove of 15 N to the east for a second",
            lambda names, plan: np.clip(
                plan + np.where(np.arange(plan.shape[1])[:, None] < 10, [driving.FORCE, 0], 0),
                -driving.STRONGEST,
                driving.STRONGEST,
            ),
        ),
    }

    def __init__(self, *, damping: float = 1.0, disturbance: float = 1.0):
        """Factors on the damping of every ball and on the size of the disturbance."""
        robotics("the maze domain")
        rng = np.random.default_rng(0)
        draws = {name: rng.random(2) for name in self.instances}
        self._mass = {name: _between(MASS, draw[0]) for name, draw in draws.items()}
        self._damping = {name: damping * _between(DAMPING, draw[1]) for name, draw in draws.items()}
        self._disturbance = disturbance * DISTURBANCE
        self._simulations: dict[str, Simulation] = {}

    def shifted(self, name: str) -> "Maze":
        """`slippery` (a third of the damping) or `shaken` (twice the disturbance)."""
        if name not in self.shifts:
            raise QuestionError(f"no shift '{name}' here; there are {', '.join(self.shifts)}")
        return Maze(damping=1 / 3) if name == "slippery" else Maze(disturbance=2.0)

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """Mass (kg) and layout (an index)."""
        self._check(instances)
        layouts = list(LAYOUTS)
        return np.array([[self._mass[name], float(layouts.index(_layout(name)))] for name in instances])

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Begin at rest, anywhere on the floor; the seed of an episode decides where, and its disturbance."""
        self._check(instances)
        states, innovations = [], []
        for name, seed in zip(instances, seeds, strict=True):
            rng = np.random.default_rng(seed)
            place = rng.choice(centres(_layout(name), open_=True)) + rng.uniform(-START, START, size=2)
            simulation = self._simulation(name)
            simulation.begin(place)
            states.append(simulation.save())
            innovations.append(rng.standard_normal((steps + 1, 2)))
        self._instance = np.array([self.instances.index(name) for name in instances])
        self._row = np.zeros(len(instances), dtype=np.int64)
        self._states, self._innovations = np.stack(states), np.stack(innovations)
        self._force = self._disturbance * self._innovations[:, 0]
        return self._observe()

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """A tenth of a second of two forces (N)."""
        if not (np.abs(actions) <= driving.STRONGEST).all():
            raise QuestionError(f"forces must be known and within {driving.STRONGEST:g} N")
        if (self._row + 1 >= self._innovations.shape[1]).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        control = (actions + self._force) / driving.STRONGEST
        moved = [self._move(*episode) for episode in zip(self._instance.tolist(), self._states, control, strict=True)]
        self._states, self._row = np.stack(moved), self._row + 1
        innovation = self._innovations[np.arange(len(self._row)), self._row]
        fresh = self._disturbance * np.sqrt(1 - PERSISTENCE**2) * innovation
        self._force = PERSISTENCE * self._force + fresh
        return self._observe()

    def snapshot(self) -> Snapshot:
        """Arrays with one row an episode; see `foreworld.domains.base.Snapshot`."""
        return {
            "instance": self._instance,
            "row": self._row,
            "state": self._states,
            "force": self._force,
            "innovations": self._innovations,
        }

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot: the present disturbance lives on and, given seeds, parts from now on."""
        self._instance, self._row = snapshot["instance"], snapshot["row"]
        self._states, self._force = snapshot["state"], snapshot["force"]
        self._innovations = snapshot["innovations"]
        if seeds is not None:
            fresh = [np.random.default_rng(seed).standard_normal(self._innovations.shape[1:]) for seed in seeds]
            past = np.arange(self._innovations.shape[1]) <= self._row[:, None]
            self._innovations = np.where(past[..., None], self._innovations, np.stack(fresh))

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`random` (forces never look where the ball is) or `homing` (a damped pull to a random cell on top)."""
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        generators = [np.random.default_rng(seed).spawn(2) for seed in seeds]
        places = [centres(_layout(name), open_=True) for name in instances]
        return driving.Driving(
            schedule=np.stack([driving.pieces(steps, schedule) for schedule, _ in generators]),
            home=np.stack([rng.choice(cells) for cells, (_, rng) in zip(places, generators, strict=True)]),
            stiffness=driving.STIFFNESS if policy == "homing" else 0.0,
        )

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Another random schedule of forces for each episode."""
        return np.stack([driving.pieces(actions.shape[1], np.random.default_rng(seed)) for seed in seeds])

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """No faster than the package allows, and never where every layout has a wall."""
        place = observations[..., :2]
        # A motor adds to the top speed for the one simulator step until the velocity is cut again.
        push = (driving.STRONGEST + 6 * self._disturbance) / MASS[0] * FRAME
        longest = (TOP_SPEED + push) * self.step_time
        stride = np.abs(np.diff(place, axis=-2))
        outside = np.stack([~on_floor(place, layout) for layout in LAYOUTS]).all(axis=0)
        return {
            "the ball is no faster than 5 m/s along an axis": ~np.asarray((stride > longest).any((-1, -2))),
            "the ball is where some maze has a floor": ~np.asarray(outside.any(-1)),
        }

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """The distance (m) from the middle of the maze."""
        return np.hypot(observations[..., 0], observations[..., 1])

    def _simulation(self, name: str) -> Simulation:
        if name not in self._simulations:
            self._simulations[name] = Simulation(build(_layout(name), self._mass[name], self._damping[name]))
        return self._simulations[name]

    def _move(
        self, instance: int, state: Float[np.ndarray, " state"], control: Float[np.ndarray, " action"]
    ) -> Float[np.ndarray, " state"]:
        simulation = self._simulation(self.instances[instance])
        simulation.load(state)
        simulation.data.ctrl[:] = control
        for _ in range(FRAMES):
            simulation.data.qvel[:] = np.clip(simulation.data.qvel, -TOP_SPEED, TOP_SPEED)
            simulation.step()
        return simulation.save()

    def _observe(self) -> Float[np.ndarray, "episode observation"]:
        # The integration state begins with the time, two positions and two velocities.
        moving = self._states[:, 1:5]
        layouts = [_layout(self.instances[index]) for index in self._instance]
        walls = [ranges(place, layout) for place, layout in zip(moving[:, :2], layouts, strict=True)]
        return np.concatenate([moving, np.stack(walls)], axis=1)

    def _check(self, instances: Sequence[str]) -> None:
        unknown = sorted(set(instances) - set(self.instances))
        if unknown:
            raise QuestionError(f"no ball '{unknown[0]}' here; there are {', '.join(self.instances)}")


def _layout(instance: str) -> str:
    return instance.partition("#")[0]


def _between(limits: tuple[float, float], share: float) -> float:
    """Log-uniform for a uniform share."""
    return limits[0] * (limits[1] / limits[0]) ** share
