"""What the arm is told to do in the kitchen: attempts at its objects one after the other, whatever they look like."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.domains.kitchen_arm import JOINTS, TOP_SPEED, Planner

FORWARD = JOINTS + 2  # the observation that says how far from the robot the hand is
OPEN, SHUT = 0.2, -0.2  # m/s of the fingers
SPREAD = 0.015  # m, standard deviation of every coordinate of a way point
WANDER = 0.5  # rad/s
SLOW, FAST = 0.8, 1.3  # of the rows of each way point
# Way points (m) with the rows to get there and what the fingers do, from a face of the object on.
TASKS = {
    "light": [((-0.31, 0.50, 2.26), 12, SHUT), ((-0.32, 0.62, 2.26), 5, SHUT), ((-0.52, 0.62, 2.26), 10, SHUT)],
    "cabinet": [((-0.24, 0.50, 2.50), 10, SHUT), ((-0.20, 0.63, 2.60), 6, SHUT), ((0.20, 0.63, 2.60), 12, SHUT)],
    "kettle": [((-0.27, 0.20, 1.75), 12, SHUT), ((-0.27, 0.48, 1.75), 9, SHUT), ((-0.27, 0.20, 1.80), 6, SHUT)],
    "microwave open": [
        ((-0.64, 0.36, 1.80), 14, OPEN),
        ((-0.64, 0.50, 1.80), 8, OPEN),
        ((-0.64, 0.50, 1.80), 3, SHUT),
        ((-0.70, 0.25, 1.80), 9, SHUT),
        ((-0.80, 0.15, 1.80), 6, SHUT),
    ],
    "microwave shut": [((-0.75, 0.15, 1.85), 12, SHUT), ((-0.75, 0.55, 1.85), 12, SHUT)],
}
ALTERED = 0.45  # probability that something else than the attempt is done, as in `alternative`
CLOSE, CAREFUL = 0.45, 0.4  # m from the base; speed, as a share, of the careful policy beyond


@dataclass(frozen=True)
class Orders:
    """Behaviour of N episodes: velocities worked out beforehand.

    Attributes:
        schedule: joints (rad/s) and fingers (m/s).
        careful: whether the joints are slower where the hand is close to the furniture.
    """

    schedule: Float[np.ndarray, "episode step action"]
    careful: bool

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """Velocities after the place of the hand (m) in a row."""
        actions = self.schedule[:, step].copy()
        if self.careful:
            close = observations[:, FORWARD] > CLOSE
            actions[:, :JOINTS] *= np.where(close, CAREFUL, 1.0)[:, None]
        return actions

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step action"]:
        """The schedule at full speed."""
        return self.schedule[:, start:stop]


def schedule(planner: Planner, steps: int, rng: np.random.Generator) -> Float[np.ndarray, "step action"]:
    """Velocities of one attempt after the other from home on, nearly half of them altered.

    A longer plan from an equal generator begins with the shorter one.
    """
    planner.restart()
    rows: list[np.ndarray] = []
    while len(rows) < steps:
        joints = planner.joints
        part = attempt(planner, str(rng.choice(list(TASKS))), rng)
        if rng.random() < ALTERED:
            part = alternative(part, rng)
            planner.joints = joints
            for row in part:
                planner.follow(row[:JOINTS])
        rows += list(part)
    return np.stack(rows[:steps])


def attempt(planner: Planner, task: str, rng: np.random.Generator) -> Float[np.ndarray, "step action"]:
    """Velocities of one task, every way point a little elsewhere, the whole a little slower or faster."""
    pace = rng.uniform(SLOW, FAST)
    rows: list[np.ndarray] = []
    for place, duration, fingers in TASKS[task]:
        goal = np.array(place) + rng.normal(0, SPREAD, size=3)
        rows += [np.append(joints, fingers) for joints in planner.reach(goal, max(2, round(duration * pace)))]
    return np.stack(rows)


def alternative(
    actions: Float[np.ndarray, "step action"], rng: np.random.Generator
) -> Float[np.ndarray, "step action"]:
    """Another plan: rest, the same slower or faster, the same with one joint turned round, or random velocities."""
    changed = actions.copy()
    match rng.choice(["rest", "pace", "turned", "wander"]):
        case "rest":
            changed[:] = 0
        case "pace":
            changed *= rng.choice([0.5, 1.5])
        case "turned":
            changed[:, rng.integers(JOINTS)] *= -1
        case "wander":
            pieces = rng.uniform(-WANDER, WANDER, size=(-(-len(actions) // 6), JOINTS))
            changed[:, :JOINTS] = np.repeat(pieces, 6, axis=0)[: len(actions)]
    return np.clip(changed, -TOP_SPEED, TOP_SPEED)
