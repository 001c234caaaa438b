"""The Franka arm of the kitchen: which joint velocities take its hand where, worked out before anything moves."""

from importlib import import_module

import numpy as np
from jaxtyping import Float, Float64

from foreworld.domains.mujoco import Simulation, robotics

JOINTS = 7
FRAME = 0.08  # s, an environment step: 40 of the simulator
FRAMES = 2  # environment steps a row
TOP_SPEED = 2.0  # rad/s, and m/s of the fingers: one unit of the environment's action
# Joints, fingers, then oven knobs and burners, light switch and lamp, cabinets, microwave and kettle, as in KitchenEnv.
HOME = np.fromstring(
    "0.148388023 -1.76848573 1.84390296 -2.47685760 0.260252026 0.712533105 1.59515394 0.0479267505 0.0371350919 "
    "-2.66279850e-04 -5.18043486e-05 3.12877220e-05 -4.51199853e-05 -3.90842156e-06 -4.22629655e-05 6.28065475e-05 "
    "4.04984708e-05 4.62730939e-04 -2.26906415e-04 -4.65501369e-04 -6.44129196e-03 -1.77048263e-03 1.08009684e-03 "
    "-0.269397440 0.350383255 1.61944683 1.00618764 4.06395120e-03 -6.62095997e-03 -2.68278933e-04",
    sep=" ",
)
# Limits of the commanded positions, from the package's franka_config.xml.
LOWEST = np.array([-2.9, -1.8, -2.9, -3.1, -2.9, 0.0, -2.9, 0.0, 0.0])
HIGHEST = np.array([2.9, 1.8, 2.9, 0.0, 2.9, 3.8, 2.9, 0.04, 0.04])
# The share of a commanded displacement that a joint makes within an environment step, measured in free air; its servo
# is a spring (gain in N m/rad) against damping, and hangs by torque / gain under gravity.
RESPONSE = np.array([0.48, 0.48, 0.48, 0.48, 0.62, 0.62, 0.62])
SERVO = np.array([870.0, 870.0, 870.0, 870.0, 120.0, 120.0, 120.0])
MARGIN = 0.03  # rad from the limits of a joint
REGULARISATION, ORIENTATION, POSTURE = 1e-2, 0.1, 0.3


def drive(simulation: Simulation, velocity: Float[np.ndarray, " action"]) -> None:
    """One row of KitchenEnv without its noise: joint velocities (rad/s), and that of both fingers (m/s).

    A position servo is told the place that a joint would reach from where it is within an environment step.
    """
    wanted = np.append(velocity, velocity[-1])
    for _ in range(FRAMES):
        position = simulation.data.qpos[: JOINTS + 2] + wanted * FRAME
        simulation.data.ctrl[:] = np.clip(position, LOWEST, HIGHEST)
        simulation.step(40)


class Planner:
    """Follows the arm's kinematics, without contacts, from its home position."""

    def __init__(self, simulation: Simulation):
        self._library, self._model = simulation.library, simulation.model
        self._data = self._library.MjData(self._model)
        self._site = self._model.site("end_effector").id
        within = self._model.jnt_range[:JOINTS]
        self._low = np.maximum(LOWEST[:JOINTS], within[:, 0]) + MARGIN
        self._high = np.minimum(HIGHEST[:JOINTS], within[:, 1]) - MARGIN
        self._data.qpos[:] = HOME
        self.joints = HOME[:JOINTS].copy()
        self._upright = self._frame()[1]

    def restart(self) -> None:
        """From the home position."""
        self.joints = HOME[:JOINTS].copy()

    @property
    def hand(self) -> Float64[np.ndarray, "3"]:
        """Where the finger tips are (m)."""
        return self._frame()[0]

    def reach(self, goal: Float64[np.ndarray, "3"], rows: int) -> list[Float64[np.ndarray, " joint"]]:
        """Row by row the joint velocities (rad/s) that take the hand straight to a place.

        The hand stays turned as at home: damped least squares on the site's Jacobian, with the posture of home in its
        null space.
        """
        start, velocities = self.hand, []
        for row in range(rows):
            joints, (place, turn) = self.joints, self._frame()
            jacobian = np.zeros((2, 3, self._model.nv))
            self._library.mj_jacSite(self._model, self._data, jacobian[0], jacobian[1], self._site)
            task = np.concatenate([jacobian[0, :, :JOINTS], ORIENTATION * jacobian[1, :, :JOINTS]])
            twist = 0.5 * np.cross(turn, self._upright, axis=0).sum(axis=1)
            error = np.concatenate([start + (goal - start) * (row + 1) / rows - place, ORIENTATION * twist])
            inverse = task.T @ np.linalg.inv(task @ task.T + REGULARISATION * np.eye(6))
            free = np.eye(JOINTS) - np.linalg.pinv(task) @ task
            change = inverse @ error + POSTURE * free @ (HOME[:JOINTS] - joints)
            velocities.append(self._command(np.clip(joints + change, self._low, self._high) - joints))
            self.follow(velocities[-1])
        return velocities

    def follow(self, velocity: Float64[np.ndarray, " joint"]) -> None:
        """Move on for a row as the joints would in free air."""
        moved = self.joints + FRAMES * RESPONSE * (velocity * FRAME - self._sag())
        self.joints = np.clip(moved, self._low, self._high)

    def _command(self, change: Float64[np.ndarray, " joint"]) -> Float64[np.ndarray, " joint"]:
        velocity = (change / (FRAMES * RESPONSE) + self._sag()) / FRAME
        return np.clip(velocity, -TOP_SPEED, TOP_SPEED)

    def _sag(self) -> Float64[np.ndarray, " joint"]:
        """How far (rad) each servo hangs under the weight of the arm."""
        self._frame()
        torque = np.zeros(self._model.nv)
        self._library.mj_comVel(self._model, self._data)
        self._library.mj_rne(self._model, self._data, 0, torque)
        return torque[:JOINTS] / SERVO

    def _frame(self) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3 3"]]:
        self._data.qpos[:JOINTS] = self.joints
        self._library.mj_kinematics(self._model, self._data)
        self._library.mj_comPos(self._model, self._data)
        return self._data.site_xpos[self._site].copy(), self._data.site_xmat[self._site].reshape(3, 3).copy()


def kitchen() -> Simulation:
    """The package's kitchen.

    Raises:
        MissingExtraError: gymnasium-robotics or MuJoCo is not installed.
    """
    folder = robotics("the kitchen domain") / "assets" / "kitchen_franka" / "kitchen_assets"
    return Simulation(import_module("mujoco").MjModel.from_xml_path(str(folder / "kitchen_env_model.xml")))
