"""Manipulation: a Franka arm at the cabinet, light, microwave and kettle of gymnasium-robotics' kitchen (MuJoCo)."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable
from foreworld.domains import kitchen_arm as arm
from foreworld.domains import kitchen_policy as orders
from foreworld.domains.base import About, Actions, Behaviour, FitBaseline, Intervention, Snapshot, Study
from foreworld.domains.mujoco import Simulation, robotics
from foreworld.errors import QuestionError

LIGHT, CABINET, MICROWAVE, KETTLE = 17, 19, 22, slice(23, 25)  # generalised positions
HINGES = {"loose": (0.3, 0.7), "normal": (0.7, 1.5), "stiff": (1.5, 4.0)}  # times the package's friction and damping
VARIANTS = 16  # kitchens of each kind
# What is open or on when an episode begins: as often shut as somewhere in between.
STARTS = {LIGHT: -0.7, CABINET: 0.35, MICROWAVE: -1.0}
FRICTION = ("dof_frictionloss", "dof_damping")  # fields of the model that differ between kitchens
GOALS = {"light": -0.69, "cabinet": 0.37, "microwave": -0.75, "kettle_x": -0.23, "kettle_y": 0.75}  # of KitchenEnv
# Where the shoulder is (m), and how far the arm's links and the fingers reach from there, end to end.
SHOULDER, REACH = np.array([0.0, 0.0, 2.133]), 1.03
RAIL, DOOR = (0.0, 0.44), (-2.094, 0.0)  # m and rad
# Name, unit and standard deviation of the measurement.
ANGLES = [(f"joint_{number}", "rad", 0.003) for number in range(1, arm.JOINTS + 1)]
SENSORS = [
    *ANGLES,
    ("fingers", "m", 0.0005),
    ("hand_x", "m", 0.003),
    ("hand_y", "m", 0.003),
    ("hand_z", "m", 0.003),
    ("light", "rad", 0.005),
    ("cabinet", "m", 0.002),
    ("microwave", "rad", 0.005),
    ("kettle_x", "m", 0.003),
    ("kettle_y", "m", 0.003),
]
TARGETS = ("hand_x", "hand_y", "hand_z", "cabinet")
NAMES = [name for name, _, _ in SENSORS]
NOISE = np.array([deviation for _, _, deviation in SENSORS])
WORST, YIELD = 6, 0.02  # standard deviations of the noise, and m or rad of soft stops, that invariants allow for

SCHEMA = Schema(
    id="run",
    time="second",
    time_unit="s",
    variables=(
        *(Variable(name=name, role="observation", unit=unit, target=name in TARGETS) for name, unit, _ in SENSORS),
        *(
            Variable(name=f"velocity_{number}", role="action", unit="rad/s", low=-arm.TOP_SPEED, high=arm.TOP_SPEED)
            for number in range(1, arm.JOINTS + 1)
        ),
        Variable(name="grip", role="action", unit="m/s", low=-arm.TOP_SPEED, high=arm.TOP_SPEED),
        Variable(name="hinges", role="static", kind="categorical", categories=tuple(HINGES)),
    ),
)


class Kitchen:
    """An arm among a light switch, a sliding cabinet, a microwave and a kettle; two environment steps (0.16 s) a row.

    x goes to the right, y away from the robot and z up. Both fingers get one velocity. The kitchens differ in the
    friction and damping of their hinges and rails, of which the kind is known and the values are not. The physics is
    without chance, as in FrankaKitchen with its noise ratios at zero; where things stand when an episode begins and the
    errors of measurement, drawn for the whole episode, are ours.
    """

    about = About(
        name="kitchen",
        field="robotics",
        summary="hand and cabinet under joint velocities of a Franka arm in 48 kitchens",
        source="FrankaKitchen of gymnasium-robotics 1.4 (Gupta 2019) on MuJoCo (Todorov 2012)",
        licence="MIT (gymnasium-robotics), Apache-2.0 (models, MuJoCo)",
        extra="robotics",
        distribution="gymnasium-robotics",
    )
    schema = SCHEMA
    step_time = arm.FRAMES * arm.FRAME
    policies: tuple[str, ...] = ("tasks", "careful")
    shifts: tuple[str, ...] = ("stuck", "blurred")
    baselines: Mapping[str, FitBaseline] = {}
    study = Study(steps=64, first=12, horizon=20, episodes=8)
    instances: tuple[str, ...] = tuple(f"{kind}#{index:03d}" for kind in HINGES for index in range(VARIANTS))
    interventions: Mapping[str, Intervention] = {
        "stop": Intervention("the arm told to stop", lambda names, plan: np.zeros_like(plan)),
        "slow": Intervention("everything at half the speed", lambda names, plan: plan / 2),
        "turn": Intervention(
            "the base turned by 0.5 rad/s more",
            lambda names, plan: np.clip(plan + 0.5 * (np.arange(plan.shape[2]) == 0), -arm.TOP_SPEED, arm.TOP_SPEED),
        ),
    }

    def __init__(self, *, friction: float = 1.0, noise: float = 1.0):
        """Factors on the friction of every hinge and on every error of measurement."""
        robotics("the kitchen domain")
        rng = np.random.default_rng(0)
        self._friction = {}
        for name in self.instances:
            low, high = HINGES[_kind(name)]
            self._friction[name] = friction * low * (high / low) ** rng.random(len(STARTS))
        self._noise = noise * NOISE
        self._simulation: Simulation | None = None

    def shifted(self, name: str) -> "Kitchen":
        """`stuck` (three times the friction) or `blurred` (three times the errors of measurement)."""
        if name not in self.shifts:
            raise QuestionError(f"no shift '{name}' here; there are {', '.join(self.shifts)}")
        return Kitchen(friction=3.0) if name == "stuck" else Kitchen(noise=3.0)

    def static(self, instances: Sequence[str]) -> Float[np.ndarray, "episode static"]:
        """The kind of hinges (an index)."""
        self._check(instances)
        return np.array([[float(list(HINGES).index(_kind(name)))] for name in instances])

    def reset(
        self, instances: Sequence[str], *, steps: int, seeds: Sequence[int]
    ) -> Float[np.ndarray, "episode observation"]:
        """Begin with the arm at home; the seed of an episode decides what is open, and the errors of measurement."""
        self._check(instances)
        simulation = self._loaded()
        states, errors = [], []
        for name, seed in zip(instances, seeds, strict=True):
            self._hang(name)
            rng = np.random.default_rng(seed)
            positions = arm.HOME.copy()
            shut, share = rng.random((2, len(STARTS)))
            positions[list(STARTS)] = np.where(shut < 0.5, 0.0, share * np.array(list(STARTS.values())))
            simulation.begin(positions)
            states.append(simulation.save())
            errors.append(rng.standard_normal((steps + 1, len(SENSORS))))
        self._instance = np.array([self.instances.index(name) for name in instances])
        self._row = np.zeros(len(instances), dtype=np.int64)
        self._states, self._errors = np.stack(states), np.stack(errors)
        return self._observe()

    def step(self, actions: Float[np.ndarray, "episode action"]) -> Float[np.ndarray, "episode observation"]:
        """Seven joint velocities (rad/s) and that of the fingers (m/s) for two environment steps."""
        if not (np.abs(actions) <= arm.TOP_SPEED).all():
            raise QuestionError(f"velocities must be known and within {arm.TOP_SPEED:g} rad/s")
        if (self._row + 1 >= self._errors.shape[1]).any():
            raise QuestionError("the episode was reset for fewer steps than this")
        simulation, states = self._loaded(), []
        for instance, state, velocity in zip(self._instance, self._states, actions, strict=True):
            self._hang(self.instances[instance])
            simulation.load(state)
            arm.drive(simulation, velocity)
            states.append(simulation.save())
        self._states, self._row = np.stack(states), self._row + 1
        return self._observe()

    def snapshot(self) -> Snapshot:
        """Arrays with one row an episode; see `foreworld.domains.base.Snapshot`."""
        return {"instance": self._instance, "row": self._row, "state": self._states, "errors": self._errors}

    def restore(self, snapshot: Snapshot, *, seeds: Sequence[int] | None = None) -> None:
        """Go on from a snapshot, with the same errors of measurement or, given seeds, with other ones from now on."""
        self._instance, self._row = snapshot["instance"], snapshot["row"]
        self._states, self._errors = snapshot["state"], snapshot["errors"]
        if seeds is not None:
            fresh = [np.random.default_rng(seed).standard_normal(self._errors.shape[1:]) for seed in seeds]
            past = np.arange(self._errors.shape[1]) <= self._row[:, None]
            self._errors = np.where(past[..., None], self._errors, np.stack(fresh))

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        """`tasks` (attempts at random objects, however they stand) or `careful` (slower close to the furniture)."""
        if policy not in self.policies:
            raise QuestionError(f"no policy '{policy}' here; there are {', '.join(self.policies)}")
        planner = arm.Planner(self._loaded())
        plans = [orders.schedule(planner, steps, np.random.default_rng(seed)) for seed in seeds]
        return orders.Orders(np.stack(plans), careful=policy == "careful")

    def alternatives(self, instances: Sequence[str], actions: Actions, seeds: Sequence[int]) -> Actions:
        """Another plan for each episode, see `kitchen_policy.alternative`."""
        cases = zip(actions, seeds, strict=True)
        return np.stack([orders.alternative(plan, np.random.default_rng(seed)) for plan, seed in cases])

    def invariants(
        self,
        observations: Float[np.ndarray, "*batch row observation"],
        actions: Float[np.ndarray, "*batch step action"],
    ) -> dict[str, Bool[np.ndarray, "*batch"]]:
        """The hand is within the arm's reach; the cabinet's and the microwave's doors are between their stops."""
        seen = dict(zip(NAMES, np.moveaxis(observations, -1, 0), strict=True))
        margin = dict(zip(NAMES, WORST * self._noise + YIELD, strict=True))
        hand = np.stack([seen[name] for name in ("hand_x", "hand_y", "hand_z")], axis=-1)
        far = np.linalg.norm(hand - SHOULDER, axis=-1) > REACH + margin["hand_x"]
        return {"the hand is within reach": ~np.asarray(far.any(-1))} | {
            f"the {name} is between its stops": ~np.asarray(_outside(seen[name], stops, margin[name]).any(-1))
            for name, stops in (("cabinet", RAIL), ("microwave", DOOR))
        }

    def cost(self, observations: Float[np.ndarray, "*batch observation"]) -> Float[np.ndarray, "*batch"]:
        """How far everything is from KitchenEnv's goals: light on, cabinet and microwave open, kettle on the burner."""
        places = [NAMES.index(name) for name in GOALS]
        return np.abs(observations[..., places] - np.array(list(GOALS.values()))).sum(-1)

    def _observe(self) -> Float[np.ndarray, "episode observation"]:
        simulation, rows = self._loaded(), []
        for state in self._states:
            simulation.load(state)
            simulation.library.mj_kinematics(simulation.model, simulation.data)
            position = simulation.data.qpos
            fingers = position[arm.JOINTS : arm.JOINTS + 2].sum()
            hand = simulation.data.site("end_effector").xpos
            objects = position[[LIGHT, CABINET, MICROWAVE]]
            rows.append(np.concatenate([position[: arm.JOINTS], [fingers], hand, objects, position[KETTLE]]))
        return np.stack(rows) + self._noise * self._errors[np.arange(len(self._row)), self._row]

    def _loaded(self) -> Simulation:
        if self._simulation is None:
            self._simulation = arm.kitchen()
            model = self._simulation.model
            self._package = {name: getattr(model, name)[list(STARTS)].copy() for name in FRICTION}
        return self._simulation

    def _hang(self, name: str) -> None:
        """Give the hinges and rails the friction and damping of one kitchen. Neither changes the inertia."""
        for field, values in self._package.items():
            getattr(self._loaded().model, field)[list(STARTS)] = values * self._friction[name]

    def _check(self, instances: Sequence[str]) -> None:
        unknown = sorted(set(instances) - set(self.instances))
        if unknown:
            raise QuestionError(f"no kitchen '{unknown[0]}' here; there are {', '.join(self.instances)}")


def _kind(instance: str) -> str:
    return instance.partition("#")[0]


def _outside(
    values: Float[np.ndarray, "*batch row"], stops: tuple[float, float], margin: float
) -> Bool[np.ndarray, "*batch row"]:
    return np.asarray((values < stops[0] - margin) | (values > stops[1] + margin))
