"""Why an answer is not supported: which ground, which variable, how far, from which step, and what comes nearest."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding, Scaling
from foreworld.data.schema import Variable
from foreworld.reasoning.support.evidence import Evidence
from foreworld.reasoning.support.hindsight import LAGS
from foreworld.reasoning.support.verdict import GROUNDS, Reason

NAMED = 3  # Episodes named.
ODD = 3.0  # Standard deviations from which a value is said to stand out.


def nearest_names(evidence: Evidence, names: tuple[str | int, ...]) -> tuple[tuple[str | int, ...], ...]:
    """The training episodes that most members find nearest to each history."""
    return tuple(_names(row, names) for row in evidence.near_history)


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
            for place, ground in enumerate(GROUNDS):
                beyond = np.flatnonzero(times[place, episode, :horizon] > 1)
                if beyond.size:
                    reach = times[place, episode, :horizon].max()
                    step = int(beyond[0])
                    reasons.append(_reason(ground, step, float(reach), evidence, names, encoding, history, episode, plan))
        found.append(tuple(sorted(reasons, key=lambda reason: (reason.step, -reason.times))))
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
            span = max(seen.high - seen.low, 1e-12)
            away = float(max(values[step] - seen.high, seen.low - values[step]))
            text = (
                f"{variable.name} = {values[step]:.4g}{_unit(variable)} at step {step + 1} is "
                f"{away:.4g} beyond the range of training, {seen.low:.4g} to {seen.high:.4g}"
            )
            found.append(Reason("range", step + 1, variable.name, 1 + away / span, text))
    return found


def allowed(
    variables: tuple[Variable, ...], scaling: Scaling
) -> tuple[Float[np.ndarray, " action"], Float[np.ndarray, " action"]]:
    """The range of each action, with 5% of it to spare."""
    scales = [scaling.variables[variable.name] for variable in variables]
    low, high = np.array([s.low for s in scales], float), np.array([s.high for s in scales], float)
    slack = 0.05 * (high - low) + 1e-9 * np.maximum(np.abs(low), np.abs(high))
    return low - slack, high + slack


def _reason(
    ground: str,
    step: int,
    times: float,
    evidence: Evidence,
    names: tuple[str | int, ...],
    encoding: Encoding,
    history: Episode,
    episode: int,
    plan: Plan,
) -> Reason:
    """One ground in words."""
    near = _names(evidence.near_history[episode], names)
    far = f"{times:.1f} times the limit"
    match ground:
        case "history" | "norm":
            variable, odd = _odd_observation(history, encoding)
            what = "like no history of training" if ground == "history" else "far from the average history of training"
            text = f"the history is {what} ({far}){odd}; nearest: {_list(near)}"
        case "hindsight":
            variable, lag = _worst_miss(evidence.missed[episode], encoding)
            what = f"{variable} came otherwise" if variable else "the rows came otherwise"
            text = f"in this history {what} than foretold {lag} step(s) before ({far})"
        case "disagreement":
            target = int(evidence.disagreement[episode, step].argmax())
            variable = encoding.schema.targets[target].name
            text = f"the members disagree about {variable} from step {step + 1} on ({far})"
        case _:
            near = _names(evidence.near_actions[episode, step], names)
            variable, doses = _together(plan.actions[episode, step], encoding.schema.actions)
            text = f"no training episode has actions such as {doses} at step {step + 1}, with those before, together"
            text += f" ({far}); nearest: {_list(near)}"
    return Reason(ground, step + 1, variable, times, text, near)


def _odd_observation(history: Episode, encoding: Encoding) -> tuple[str, str]:
    """The last observation or static fact that stands out most, if one does."""
    variables = (*encoding.schema.observations, *encoding.schema.static)
    values = np.concatenate([history.observations[-1], history.static])
    centre, scale = encoding.scaling.of(variables)
    continuous = np.array([variable.kind == "continuous" for variable in variables], bool)
    away = np.where(continuous & np.isfinite(values), np.abs(values - centre) / scale, 0.0)
    if not away.size or away.max() < ODD:
        return "", ""
    place = int(away.argmax())
    chosen = variables[place]
    return chosen.name, f", {chosen.name} = {values[place]:.4g}{_unit(chosen)} stands out"


def _worst_miss(missed: Float[np.ndarray, "lag channel"], encoding: Encoding) -> tuple[str, int]:
    """The target that was foretold worst, relative to what is usual, and how long before; empty for the belief."""
    lag, channel = np.unravel_index(missed.argmax(), missed.shape)
    targets = encoding.schema.targets
    return targets[channel].name if channel < len(targets) else "", LAGS[lag]


def _together(actions: Float[np.ndarray, " action"], variables: tuple[Variable, ...]) -> tuple[str, str]:
    """The actions of a step in words; a single one is named."""
    shown = [
        f"{variable.name} = {variable.categories[int(value)] if variable.categories else f'{value:.4g}'}{_unit(variable)}"
        for variable, value in zip(variables, actions, strict=True)
        if np.isfinite(value)
    ]
    return (variables[0].name if len(variables) == 1 else ""), ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "")


def _names(places: Iterable[int], names: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The most frequent first, and of equally frequent ones that which comes first."""
    return tuple(names[int(place)] for place, _ in Counter(int(place) for place in places).most_common(NAMED))


def _list(names: tuple[str | int, ...]) -> str:
    return ", ".join(str(name) for name in names)


def _unit(variable: Variable) -> str:
    return f" {variable.unit}" if variable.unit else ""
