"""Recordings of reinforcement-learning environments: spaces become columns, rollouts become episodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pydantic import ValidationError

from foreworld.data.columns import LARGEST
from foreworld.data.declare import reason
from foreworld.data.episodes import Episodes
from foreworld.data.frames import RawTable
from foreworld.data.schema import Role, Schema, Variable
from foreworld.data.table import assemble
from foreworld.errors import DataError, MissingExtraError


@dataclass(frozen=True)
class Rollout:
    """One recorded episode of T steps, its spaces flattened to columns; it has T + 1 observations.

    `actions[t]` and `rewards[t]` lead from `observations[t]` to `observations[t + 1]`.
    """

    observations: Float64[np.ndarray, "row observation"]
    actions: Float64[np.ndarray, "row-1 action"]
    rewards: Float64[np.ndarray, " row-1"]
    terminated: bool
    truncated: bool


@dataclass(frozen=True)
class Recording:
    """How the columns of recorded rollouts are called.

    Attributes:
        observation_names, action_names: one name a column; `obs0`, `obs1`, ... and `action0`, ... if None.
        reward: name of an observation that holds the reward of the step into each row; empty to leave rewards out.
        targets: the observations of interest; all of them if None.
        units: by column name.
        dt, time_unit: duration of one step, and its unit.
    """

    observation_names: Sequence[str] | None = None
    action_names: Sequence[str] | None = None
    reward: str = ""
    targets: Sequence[str] | None = None
    units: Mapping[str, str] | None = None
    dt: float = 1.0
    time_unit: str = "step"


def flatten(space: Any, batch: Any) -> Float64[np.ndarray, "row column"]:
    """The values of T elements of a space, stacked along their first axis, as T rows of numbers."""
    spaces = _spaces()
    if isinstance(space, spaces.Dict):
        return np.concatenate([flatten(part, batch[key]) for key, part in space.spaces.items()], axis=1)
    values = np.asarray(batch, dtype=np.float64)
    return values.reshape(len(values), -1)


def stack(space: Any, elements: Sequence[Any]) -> Any:
    """Single elements of a space, stacked along a new first axis."""
    if isinstance(space, _spaces().Dict):
        return {key: stack(part, [element[key] for element in elements]) for key, part in space.spaces.items()}
    shape = space.shape or ()
    return np.asarray(elements).reshape(len(elements), *shape)


def declare(observation_space: Any, action_space: Any, recording: Recording, source: str) -> Schema:
    """What the columns of an environment mean.

    Raises:
        DataError: a space that has no columns (text, graphs, sequences), names that do not fit.
    """
    observations = _variables(observation_space, "observation", "obs", recording.observation_names, source)
    actions = _variables(action_space, "action", "action", recording.action_names, source)
    if recording.reward:
        observations.append(Variable(name=recording.reward, role="observation"))
    known = {variable.name for variable in observations}
    for name in recording.targets or ():
        if name not in known:
            raise DataError("targets name a column that is not among the observations", source=source, column=name)
    try:
        return Schema(
            id="episode",
            time="time",
            time_unit=recording.time_unit,
            terminated="terminated",
            truncated="truncated",
            variables=tuple(_finish(variable, recording) for variable in observations + actions),
        )
    except ValidationError as error:
        raise DataError(reason(error), source=source) from None


def to_episodes(rollouts: Sequence[Rollout], schema: Schema, recording: Recording, source: str) -> Episodes:
    """Episodes numbered from 0, checked like any table; rows in errors count through all rollouts.

    Raises:
        DataError: no rollout, infinite values, actions outside their bounds.
    """
    if not rollouts:
        raise DataError("there is no episode", source=source)
    lengths = [len(rollout.observations) for rollout in rollouts]
    values = np.concatenate([_rows(rollout, bool(recording.reward)) for rollout in rollouts])
    columns = {
        schema.id: np.repeat(np.arange(len(rollouts)), lengths),
        schema.time: np.concatenate([np.arange(length) * recording.dt for length in lengths]),
        **{variable.name: values[:, position] for position, variable in enumerate(schema.variables)},
    }
    last = np.cumsum(lengths) - 1
    for name in schema.endings:
        columns[name] = np.zeros(len(values), bool)
        columns[name][last] = [getattr(rollout, name) for rollout in rollouts]
    table = {name: pa.chunked_array([pa.array(column)]) for name, column in columns.items()}
    return assemble(RawTable(table, source), schema)


def _spaces() -> Any:
    try:
        from gymnasium import spaces
    except ImportError:
        raise MissingExtraError("reading environments and their recordings", "gym") from None
    return spaces


def _rows(rollout: Rollout, reward: bool) -> Float64[np.ndarray, "row column"]:
    """Observations, the reward of the step before, and the action of the step after, which the last row has none of."""
    parts = [rollout.observations]
    if reward:
        parts.append(np.concatenate([[np.nan], rollout.rewards])[:, None])
    none = np.full((1, rollout.actions.shape[1]), np.nan)
    return np.concatenate([*parts, np.concatenate([rollout.actions, none])], axis=1)


def _finish(variable: Variable, recording: Recording) -> Variable:
    """The variable with its unit, and as a target if it is one."""
    chosen = recording.targets is None or variable.name in recording.targets
    unit = (recording.units or {}).get(variable.name, "")
    return variable.model_copy(update={"unit": unit, "target": variable.role == "observation" and chosen})


def _variables(space: Any, role: Role, prefix: str, names: Sequence[str] | None, source: str) -> list[Variable]:
    variables = _columns(space, role, prefix, source)
    if names is None:
        return variables
    if len(names) != len(variables):
        problem = f"{len(names)} {role} names are given for {len(variables)} columns"
        raise DataError(problem, source=source)
    return [variable.model_copy(update={"name": name}) for variable, name in zip(variables, names, strict=True)]


def _columns(space: Any, role: Role, prefix: str, source: str) -> list[Variable]:
    """The columns of a space, in the order of `flatten`."""
    spaces = _spaces()
    if isinstance(space, spaces.Dict):
        return [column for key, part in space.spaces.items() for column in _columns(part, role, str(key), source)]
    if isinstance(space, spaces.Discrete):
        return [_choice(prefix, role, int(space.start), int(space.n))]
    if isinstance(space, spaces.MultiDiscrete):
        sizes, starts = space.nvec.ravel(), np.broadcast_to(space.start, space.nvec.shape).ravel()
        pairs = zip(starts, sizes, strict=True)
        return [_choice(f"{prefix}{i}", role, int(start), int(size)) for i, (start, size) in enumerate(pairs)]
    if isinstance(space, spaces.MultiBinary):
        return [Variable(name=f"{prefix}{i}", role=role, kind="binary") for i in range(int(np.prod(space.shape)))]
    if isinstance(space, spaces.Box):
        lows, highs = space.low.ravel().tolist(), space.high.ravel().tolist()
        return [
            Variable(name=f"{prefix}{i}", role=role, **_limits(role, low, high))
            for i, (low, high) in enumerate(zip(lows, highs, strict=True))
        ]
    raise DataError(f"{role}s of the space {space} have no columns", source=source)


def _choice(name: str, role: Role, start: int, count: int) -> Variable:
    """One of `count` numbered choices; a single one is a constant, which needs no label."""
    return Variable(name=name, role=role, kind="categorical", categories=tuple(map(str, range(start, start + count))))


def _limits(role: Role, low: float, high: float) -> dict[str, Any]:
    # Only what may be done is limited: environments leave their own observation bounds by rounding, and by far.
    if role != "action" or low >= high:
        return {}
    return {"low": low if low > -LARGEST else None, "high": high if high < LARGEST else None}
