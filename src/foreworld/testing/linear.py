"""An exactly known linear system behind the planners' rollout, and its optimal control."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Scale, Scaling
from foreworld.data.schema import Schema, Variable
from foreworld.reasoning.plan.futures import Actions, Futures
from foreworld.reasoning.plan.problem import Problem, Task, build_problem
from foreworld.reasoning.question import build_plan


@dataclass(frozen=True)
class Linear:
    """x' = A x + B u + noise; the cost of a step is x' Q x + u' R u, with x after and u before the step."""

    a: np.ndarray
    b: np.ndarray
    q: np.ndarray
    r: np.ndarray
    noise: float = 0.0

    @classmethod
    def random(cls, seed: int, states: int = 3, inputs: int = 2, noise: float = 0.0) -> "Linear":
        """A lightly damped system with a spectral radius of 1.02."""
        rng = np.random.default_rng(seed)
        a = rng.normal(size=(states, states))
        a *= 1.02 / np.abs(np.linalg.eigvals(a)).max()
        return cls(a, rng.normal(size=(states, inputs)), np.eye(states), 0.3 * np.eye(inputs), noise)

    def lqr(self, start: np.ndarray, horizon: int) -> tuple[np.ndarray, float]:
        """Optimal inputs and mean cost a step without noise, by the Riccati recursion (Bertsekas, vol. 1, sec. 3.1)."""
        value, gains = np.zeros_like(self.q), []
        for _ in range(horizon):
            ahead = self.q + value
            gain = np.linalg.solve(self.r + self.b.T @ ahead @ self.b, self.b.T @ ahead @ self.a)
            closed = self.a - self.b @ gain
            value = closed.T @ ahead @ closed + gain.T @ self.r @ gain
            gains.append(gain)
        inputs, x = [], start
        for gain in reversed(gains):
            inputs.append(-gain @ x)
            x = self.a @ x + self.b @ inputs[-1]
        return np.array(inputs), float(start @ value @ start) / horizon

    def cost(self, start: np.ndarray, inputs: np.ndarray) -> float:
        """Mean cost a step of some inputs without noise."""
        total, x = 0.0, start
        for u in inputs:
            x = self.a @ x + self.b @ u
            total += float(x @ self.q @ x + u @ self.r @ u)
        return total / len(inputs)

    @property
    def goal(self) -> str:
        """The cost in the language of goals; Q and R are diagonal."""
        terms = [f"{weight} * x{i}**2" for i, weight in enumerate(np.diag(self.q))]
        return " + ".join(terms + [f"{weight} * u{i}**2" for i, weight in enumerate(np.diag(self.r))])


class ExactRollout:
    """The futures of a linear system under Gaussian noise that all share: so many draws, and their opposites."""

    def __init__(self, system: Linear, starts: np.ndarray, horizon: int, draws: int = 0, seed: int = 0):
        self.a, self.b = (torch.from_numpy(matrix).float() for matrix in (system.a, system.b))
        self.starts = torch.from_numpy(starts).float()
        noise = torch.randn((draws, horizon, len(system.a)), generator=torch.Generator().manual_seed(seed))
        self.noise = system.noise * torch.cat([noise, -noise]) if draws else torch.zeros(1, horizon, len(system.a))

    def search(self, actions: Actions) -> torch.Tensor:
        x = self.starts[None, :, None].expand(len(self.noise), -1, actions.shape[1], -1)
        states = []
        for step, u in enumerate(actions.unbind(2)):
            x = x @ self.a.T + u @ self.b.T + self.noise[:, step, None, None]
            states.append(x)
        return torch.stack(states, 3)

    def settle(self, actions: Actions) -> Futures:
        samples = self.search(actions)
        return Futures(samples, samples[None])

    def take(self, episodes: Sequence[int]) -> "ExactRollout":
        some = copy(self)
        some.starts = self.starts[episodes]
        return some


def problem(system: Linear, starts: np.ndarray, horizon: int, task: Task, last: float = np.nan) -> Problem:
    """A task about the linear system; `last` is the input before."""
    states, inputs = system.b.shape
    schema = Schema(
        id="id",
        time="t",
        variables=(
            *(Variable(name=f"x{i}", role="observation", target=True) for i in range(states)),
            *(Variable(name=f"u{i}", role="action") for i in range(inputs)),
        ),
    )
    scales = {f"x{i}": Scale() for i in range(states)} | {f"u{i}": Scale(low=-5, high=5) for i in range(inputs)}
    scaling = Scaling(variables=scales, step=1.0)
    histories = Episodes(
        schema,
        tuple(
            Episode(
                id=index,
                time=np.array([-1.0, 0.0]),
                observations=np.stack([start, start]),
                actions=np.full((1, inputs), last),
                static=np.zeros(0),
                known_future=np.zeros((2, 0)),
                pending=np.full(inputs, np.nan),
            )
            for index, start in enumerate(starts)
        ),
    )
    default = build_plan(histories, scaling, do=None, horizon=horizon)
    default = Plan(default.time, np.nan_to_num(default.actions), default.known_future)
    return build_problem(task, histories, default, scaling, set())
