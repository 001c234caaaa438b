"""Episodes recorded by acting in a Gymnasium environment."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from foreworld.data.episodes import Episodes
from foreworld.data.rollouts import Recording, Rollout, declare, flatten, stack, to_episodes


def from_gymnasium(
    env: Any,
    policy: Callable[[Any], Any] | None = None,
    *,
    episodes: int,
    seed: int,
    max_steps: int | None = None,
    observation_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
    reward: str = "",
    targets: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    dt: float = 1.0,
    time_unit: str = "step",
) -> Episodes:
    """Act in an environment and keep what happens; the same seed gives the same episodes.

    Box columns are continuous, Discrete and MultiDiscrete ones categorical, MultiBinary ones binary; a Dict is the
    columns of its parts. Finite bounds of a Box action become the bounds of that action.

    Args:
        env: a `gymnasium.Env`. It is left open.
        policy: takes an observation and returns an action; actions are drawn from the action space if None.
        episodes: how many to record. Episode i starts with `env.reset(seed=seed + i)`.
        max_steps: cut episodes after this many steps, as truncated.
        observation_names, action_names: one name a column; `obs0`, ... and `action0`, ... if None.
        reward: name of an observation that holds the reward of the step into each row; empty to leave rewards out.
        targets: the observations of interest; all of them if None.
        units: by column name.
        dt, time_unit: duration of one step, and its unit.

    Raises:
        DataError: a space that has no columns, names that do not fit, infinite values, actions outside their bounds.
        MissingExtraError: Gymnasium is not installed.
    """
    recording = Recording(observation_names, action_names, reward, targets, units, dt, time_unit)
    source = env.spec.id if env.spec else type(env.unwrapped).__name__
    schema = declare(env.observation_space, env.action_space, recording, source)
    env.action_space.seed(seed)
    act = policy or (lambda _: env.action_space.sample())
    rollouts = [_play(env, act, seed + episode, max_steps) for episode in range(episodes)]
    return to_episodes(rollouts, schema, recording, source)


def _play(env: Any, act: Callable[[Any], Any], seed: int, max_steps: int | None) -> Rollout:
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards = [observation], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        action = act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(reward)
        truncated = bool(truncated) or (not terminated and len(actions) == max_steps)
    return Rollout(
        observations=flatten(env.observation_space, stack(env.observation_space, observations)),
        actions=flatten(env.action_space, stack(env.action_space, actions)),
        rewards=np.asarray(rewards, dtype=np.float64),
        terminated=bool(terminated),
        truncated=truncated,
    )
