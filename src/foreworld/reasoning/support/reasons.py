"""Why an answer is not supported: which ground, which variable, how far, from which step, and what comes nearest."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding, Scaling
from foreworld.data.schema import Variable
from foreworld.reasoning.support.overlap import allowed
from foreworld.reasoning.support.spread import channels
from foreworld.reasoning.support.verdict import GROUNDS, Reason

NAMED = 3  # Episodes named.
RECENT = 12  # Rows of a history that are searched for what stands out.


@dataclass(frozen=True)
class Evidence:
    """How strange questions are, ground by ground; large is strange.

    Attributes:
        grounds: in the order of GROUNDS, each step with the ones before it.
        learnt: those that errors grow with, and how well all of the history was foretold. This one raises no alarm: of
            a long history it is known far better than of most that alarms were counted on.
        missed: what came of the history against what was foretold, as a multiple of what is usual.
        disagreement: of the members, as a multiple of what is usual.
        near, near_steps: training episodes that come nearest to the history, for each member, and to each step.
        level, load: how many deviations from the usual is what was seen, and what is done, on average.
    """

    grounds: Float[np.ndarray, "ground episode step"]
    learnt: Float[np.ndarray, "learnt episode step"]
    missed: Float[np.ndarray, "episode statistic channel"]
    disagreement: Float[np.ndarray, "episode step target"]
    near: Int[Tensor, "member episode neighbour"]
    near_steps: Int[Tensor, "episode step neighbour"]
    level: Float[np.ndarray, "episode reading"]
    load: Float[np.ndarray, "episode step dose"]


def nearest_names(
    episodes: Int[Tensor, "member episode neighbour"], names: tuple[str | int, ...]
) -> tuple[tuple[str | int, ...], ...]:
    """The training episodes that most members find nearest; of those that equally many find, the nearer first."""
    return tuple(_frequent(row.T.flatten().tolist(), names) for row in episodes.unbind(1))


def explain(
    evidence: Evidence,
    times: Float[np.ndarray, "ground episode step"],
    supported: Bool[np.ndarray, "episode step"],
    horizon: int,
    names: tuple[str | int, ...],
    encoding: Encoding,
    histories: Episodes,
    plan: Plan,
) -> tuple[tuple[Reason, ...], ...]:
    """The reasons of each question, the earliest first, of those of one step the farthest beyond its border."""
    found: list[tuple[Reason, ...]] = []
    for episode, history in enumerate(histories):
        reasons: list[Reason] = []
        if not supported[episode].all():
            reasons += out_of_range(plan.actions[episode], histories.schema.actions, encoding.scaling)
            if plan.horizon > horizon:
                text = f"step {horizon + 1} is beyond the {horizon} steps that intervals are calibrated for"
                reasons.append(Reason("horizon", horizon + 1, "", np.inf, text))
            for ground, ratio in zip(GROUNDS, times[:, episode, :horizon], strict=True):
                if (ratio > 1).any():
                    step = int(np.argmax(ratio > 1))
                    done = np.concatenate([history.actions, plan.actions[episode, : step + 1]])[-horizon:]
                    variable, text, near = _tell(ground, step, evidence, names, encoding, history, episode, done)
                    far = f"{text}, {ratio.max():.2g} times the limit"
                    near_text = f"; nearest: {', '.join(map(str, near))}" if near else ""
                    reasons.append(Reason(ground, step + 1, variable, float(ratio.max()), far + near_text, near))
        found.append(tuple(sorted(reasons, key=lambda reason: (reason.step, reason.ground != "range", -reason.times))))
    return tuple(found)


def out_of_range(
    actions: Float[np.ndarray, "step action"], variables: tuple[Variable, ...], scaling: Scaling
) -> list[Reason]:
    """Each action that leaves the range of training, and the first step at which it does."""
    found = []
    low, high = allowed(variables, scaling)
    for index, variable in enumerate(variables):
        values = actions[:, index]
        outside = np.flatnonzero((values < low[index]) | (values > high[index]))
        if outside.size:
            seen, step = scaling.variables[variable.name], int(outside[0])
            away = float(max(values[step] - seen.high, seen.low - values[step]))
            text = (
                f"{_value(variable, values[step])} at step {step + 1} is {away:.4g} beyond the range of training, "
                f"{seen.low:.4g} to {seen.high:.4g}"
            )
            times = 1 + away / max(seen.high - seen.low, 1e-12)
            found.append(Reason("range", step + 1, variable.name, times, text))
    return found


def _tell(
    ground: str,
    step: int,
    evidence: Evidence,
    names: tuple[str | int, ...],
    encoding: Encoding,
    history: Episode,
    episode: int,
    done: Float[np.ndarray, "row action"],
) -> tuple[str, str, tuple[str | int, ...]]:
    """One ground in words: the variable that stands out, what is the matter, and what of training comes nearest.

    `done` are the actions up to this step, as many as a mean is taken over.
    """
    if ground == "level":
        return _odd_mean(encoding.schema.observations, history.observations, evidence.level[episode], "rows")
    if ground == "load":
        return _odd_mean(encoding.schema.actions, done, evidence.load[episode, step], "steps")
    if ground == "disagreement":
        variable = encoding.schema.targets[int(evidence.disagreement[episode, step].argmax())].name
        return variable, f"the members disagree about {variable} at step {step + 1}", ()
    if ground == "hindsight":
        owner = channels(np.zeros((1, len(encoding.schema.targets))), encoding)[1]
        variable = encoding.schema.targets[owner[int(evidence.missed[episode].max(0).argmax())]].name
        return (
            variable,
            f"in the last rows of the history {variable} came otherwise than the rows before let expect",
            (),
        )
    if ground == "actions":
        variables = encoding.schema.actions
        near = _frequent(evidence.near_steps[episode, step].tolist(), names)
        doses = [_value(*pair) for pair in zip(variables, done[-1], strict=True)]
        shown = ", ".join(doses[:4]) + (", ..." if len(doses) > 4 else "")
        text = f"no training episode has {shown} at step {step + 1} after the actions before it"
        return _odd_action(done[-1], encoding), text, near
    if ground == "individual":
        return "", f"the history tells little of how this case answers to what is done up to step {step + 1}", ()
    variable, value = _odd_observation(history, encoding)
    what = {
        "history": "the history is like none of training",
        "norm": "the history is far from the average one",
        "readings": "the last rows of the history do not hold together as those of training do",
    }[ground]
    near = nearest_names(evidence.near[:, episode, None], names)[0]
    return variable, f"{what}, most of all in {value}" if variable else what, near


def _odd_mean(
    variables: tuple[Variable, ...],
    rows: Float[np.ndarray, "row variable"],
    away: Float[np.ndarray, " value"],
    unit: str,
) -> tuple[str, str, tuple[()]]:
    """The variable that is most deviations from what it usually is on average, and its mean in words."""
    over = f"over {len(rows)} {unit}"
    owner = np.repeat(np.arange(len(variables)), [variable.width for variable in variables])
    place = int(owner[away.argmax()])
    variable, known = variables[place], rows[np.isfinite(rows[:, place]), place]
    if variable.kind == "categorical":
        return variable.name, f"{variable.name} is in one state far more, or less, often than usual {over}", ()
    mean = _value(variable, float(known.mean()) if known.size else np.nan)
    return variable.name, f"{mean} on average {over} is {away.max():.2g} usual deviations of such a mean off", ()


def _odd_observation(history: Episode, encoding: Encoding) -> tuple[str, str]:
    """The recent observation or static fact that is most deviations from the mean; its name, and its value in words."""
    variables = (*encoding.schema.observations, *encoding.schema.static)
    rows = history.observations[-RECENT:]
    values = np.concatenate([rows, np.broadcast_to(history.static, (len(rows), len(history.static)))], axis=1)
    centre, scale = encoding.scaling.of(variables)
    continuous = np.array([variable.kind == "continuous" for variable in variables], bool)
    away = np.where(continuous & np.isfinite(values), np.abs(values - centre) / scale, 0.0)
    if not away.any():
        return "", ""
    row, place = np.unravel_index(away.argmax(), away.shape)
    seen = encoding.scaling.variables[variables[place].name]
    known = f" (training: {seen.low:.4g} to {seen.high:.4g})"
    return variables[place].name, _value(variables[place], values[row, place]) + known


def _odd_action(actions: Float[np.ndarray, " action"], encoding: Encoding) -> str:
    """The action that is most deviations from its usual value; of categories, the first."""
    variables = encoding.schema.actions
    centre, scale = encoding.scaling.of(variables)
    away = np.nan_to_num(np.abs(actions - centre) / scale)
    return variables[int(away.argmax())].name if variables else ""


def _value(variable: Variable, value: float) -> str:
    """`insulin = 2 U`."""
    if not np.isfinite(value):
        return f"{variable.name} unknown"
    if variable.kind == "categorical":
        return f"{variable.name} = {variable.categories[int(value)]}"
    return f"{variable.name} = {value:.4g}" + (f" {variable.unit}" if variable.unit else "")


def _frequent(places: list[int], names: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The most frequent first, and of equally frequent ones that which comes first."""
    return tuple(names[place] for place, _ in Counter(places).most_common(NAMED))
