"""From what the user asks (`do`, a horizon, a table of what is planned) to a `Plan` with every step spelled out."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Scaling
from foreworld.data.schema import Schema, Variable
from foreworld.errors import QuestionError

Value = float | int | str | Sequence[float | int | str] | np.ndarray
Do = Mapping[str, Value]
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def build_plan(
    histories: Episodes, scaling: Scaling, *, do: Do | None, horizon: int, future: Episodes | None = None
) -> Plan:
    """Spell out a plan.

    An action that `do` and `future` say nothing about keeps its last value, or goes back to rest if it is an impulse
    (at one value most of the time in training, such as a meal at 0 g). An action in the last row of a history is taken.

    Args:
        histories: what was known.
        scaling: of the model: the usual time step, and which actions are impulses.
        do: `{"insulin": 0.0}` for every step, `{"carbs@30": 45.0}` for the step 30 time units from now (`@30min` where
            times are datetimes), a sequence of `horizon` values, or the word `hold` for the last value. Later keys win.
        horizon: steps to look ahead.
        future: planned rows after the last one of each history, with known-future values and planned actions. An action
            leaves its row, so the first step is the present row's to decide; it may be among them.

    Raises:
        QuestionError: an unknown action, a value out of bounds, a time between two steps, or missing future rows.
    """
    schema = histories.schema
    plans = [_plan_one(episode, schema, scaling, horizon, _rows_of(future, episode)) for episode in histories]
    time, actions, known = (np.stack(parts) for parts in zip(*plans, strict=True))
    return apply_do(histories, Plan(time, actions, known), do)


def apply_do(histories: Episodes, plan: Plan, do: Do | None) -> Plan:
    """The plan with what `do` says in place of what it said; see `build_plan`.

    Raises:
        QuestionError: an unknown action, a value out of bounds, a time between two steps.
    """
    schema, actions = histories.schema, plan.actions.copy()
    for key, value in (do or {}).items():
        # A name may hold an @ of its own.
        name, at, when = (key, "", "") if key in (v.name for v in schema.actions) else key.rpartition("@")
        column = _action(schema, name if at else key)
        once = _step_at(when, histories, plan.time, schema) if at else None
        given = _values(schema.actions[column], value, plan.horizon if once is None else 1, histories, column)
        if once is None:
            actions[:, :, column] = given
        else:
            actions[np.arange(len(histories)), once, column] = given[:, 0]
    return replace(plan, actions=actions)


def _rows_of(future: Episodes | None, history: Episode) -> Episode | None:
    if future is None:
        return None
    for episode in future:
        if episode.id == history.id:
            return episode
    raise QuestionError(f"the future rows say nothing about '{history.id}'")


def _plan_one(
    history: Episode, schema: Schema, scaling: Scaling, horizon: int, future: Episode | None
) -> tuple[Float64[np.ndarray, " step"], Float[np.ndarray, "step action"], Float[np.ndarray, "step known"]]:
    now = history.time[-1]
    actions = np.repeat(_default_actions(history, schema, scaling)[None], horizon, axis=0)
    actions[0] = np.where(np.isfinite(history.pending), history.pending, actions[0])
    if future is None:
        if schema.known_future:
            names = ", ".join(variable.name for variable in schema.known_future)
            raise QuestionError(f"the future values of {names} are needed: give the rows to come as a table (--future)")
        known = np.zeros((horizon, 0))
        return now + scaling.step * np.arange(1, horizon + 1), actions, known
    rows = np.flatnonzero(future.time > now)[:horizon]
    if len(rows) < horizon:
        raise QuestionError(
            f"'{history.id}' has {len(rows)} future rows after its last one, and {horizon} steps are asked for"
        )
    planned = np.concatenate([future.actions, future.pending[None]])
    present = planned[future.time == now] if now in future.time else np.full((1, planned.shape[1]), np.nan)
    # The action of a row leaves it, so it drives the step to the next row.
    leaving = np.concatenate([present, planned[rows[:-1]]])
    return future.time[rows], np.where(np.isfinite(leaving), leaving, actions), future.known_future[rows]


def _default_actions(history: Episode, schema: Schema, scaling: Scaling) -> Float[np.ndarray, " action"]:
    """Rest for impulses, the last known value for the others, the training centre if there is none."""
    scales = [scaling.variables[variable.name] for variable in schema.actions]
    values = [
        scale.centre if scale.impulse else _last(history, column, scale.centre) for column, scale in enumerate(scales)
    ]
    return np.array(values, float)


def _last(history: Episode, column: int, otherwise: float) -> float:
    values = np.append(history.actions[:, column], history.pending[column])
    values = values[np.isfinite(values)]
    return float(values[-1]) if len(values) else otherwise


def _action(schema: Schema, name: str) -> int:
    names = [variable.name for variable in schema.actions]
    if name in names:
        return names.index(name)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else f"; the actions are: {', '.join(names) or 'none'}"
    raise QuestionError(f"do: there is no action '{name}'{hint}")


def _values(
    variable: Variable, value: Value, horizon: int, histories: Episodes, column: int
) -> Float[np.ndarray, "episode step"]:
    if isinstance(value, str) and value == "hold":
        last = [_last(episode, column, np.nan) for episode in histories]
        if not np.isfinite(last).all():
            raise QuestionError(f"do: '{variable.name}' has no past value to hold")
        return np.repeat(np.array(last)[:, None], horizon, axis=1)
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        return np.full((len(histories), horizon), _number(variable, value))
    if len(value) != horizon:
        raise QuestionError(f"do: '{variable.name}' has {len(value)} values for {horizon} steps")
    return np.tile([_number(variable, item) for item in value], (len(histories), 1))


def _number(variable: Variable, value: Any) -> float:
    if variable.kind == "categorical":
        # As in tables, a category may be written as a number.
        label = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        if label not in variable.categories:
            raise QuestionError(f"do: '{variable.name}' is one of {', '.join(variable.categories)}, not '{label}'")
        return float(variable.categories.index(label))
    if variable.kind == "binary":
        value = {"true": 1.0, "false": 0.0}.get(str(value).lower(), value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise QuestionError(f"do: '{value}' is not a number, and '{variable.name}' needs one (or `hold`)") from None
    low, high = (0.0, 1.0) if variable.kind == "binary" else variable.bounds
    fits = np.isfinite(number) and low <= number <= high
    if not fits or (variable.kind == "binary" and number not in (0, 1)):
        raise QuestionError(f"do: {variable.name} = {value} is outside its bounds [{low:g}, {high:g}]")
    return number


def _step_at(when: str, histories: Episodes, time: Float64[np.ndarray, "episode step"], schema: Schema) -> np.ndarray:
    """The step of each episode whose action leaves at the given time from now."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(s|min|h|d)?\s*", when)
    if match is None or (match[2] is None) != (schema.time_kind == "number"):
        example = "30" if schema.time_kind == "number" else "30min (s, min, h or d)"
        raise QuestionError(f"do: '@{when}' is not a time from now, such as @{example}")
    after = float(match[1]) * SECONDS.get(match[2] or "", 1.0)
    now = np.array([episode.time[-1] for episode in histories])[:, None]
    leaving = np.concatenate([now, time[:, :-1]], axis=1) - now
    step = np.abs(leaving - after).argmin(1)
    gap = np.abs(leaving[np.arange(len(step)), step] - after)
    width = np.diff(np.concatenate([leaving, time[:, -1:] - now], axis=1), axis=1).min(1)
    if (gap > 0.01 * width).any():
        shown = ", ".join(f"{value:g}" for value in leaving[0, :4])
        raise QuestionError(
            f"do: no step leaves at {when} from now; the steps leave at {shown}, ... up to {leaving[0, -1]:g}"
        )
    return step
