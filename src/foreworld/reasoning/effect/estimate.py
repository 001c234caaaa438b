"""Average and individual effects of one plan against another, from the model and corrected on recorded episodes.

    effect(history) = [model under do - model under versus] + sum_k d_{h-k} (do_k - versus_k)

The bracket says how effects differ between histories, the sum what the model gets wrong on average (see `correction`).
Intervals are a bootstrap of networks and episodes: whole episodes are drawn anew (the asked ones with the recorded ones
where they are the same), and every regression on what history leaves unexplained is repeated. Networks are drawn anew
for what the correction leaves open: how effects differ between histories and between the plans and what was recorded.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.errors import QuestionError
from foreworld.reasoning.effect.answer import LEVELS, Effect
from foreworld.reasoning.effect.arms import Model, action_columns, roll_arms
from foreworld.reasoning.effect.correction import FEWEST, Moments, gather
from foreworld.reasoning.effect.overlap import Overlap, measure_overlap
from foreworld.reasoning.effect.record import Record, read_record
from foreworld.reasoning.effect.sensitivity import as_strong_as, e_value, robustness_value, shift_scale
from foreworld.reasoning.imagination import spread
from foreworld.reasoning.question import Do, build_plan

RESAMPLES = 1000
CHUNK = 32  # Histories whose intervals are formed at once.


@dataclass(frozen=True)
class Evidence:
    """What recorded episodes say about a comparison.

    Attributes:
        moments: for the correction; None if there is none.
        overlap: of each arm.
        reason: why it is or is not corrected.
    """

    record: Record | None
    moments: Moments | None
    overlap: dict[str, Overlap]
    reason: str


def effect(
    model: Model,
    histories: Episodes,
    do: Do,
    versus: Do | None = None,
    *,
    data: Episodes | None = None,
    horizon: int | None = None,
    future: Episodes | None = None,
    confounder: str | None = None,
    seed: int = 0,
) -> Effect:
    """Put the question together from what the user says, and answer it; see `WorldModel.effect`.

    Raises:
        QuestionError: nothing to do, two plans that are the same, no history, or an unknown confounder.
    """
    steps = model.config.horizon if horizon is None else horizon
    if steps < 1:
        raise QuestionError(f"a horizon of {steps} steps: at least one is needed")
    if not len(histories):
        raise QuestionError("there is no history to start from")
    if not do:
        raise QuestionError("do: say what is done, such as insulin=2")
    scaling = model.encoding.scaling
    plans = [build_plan(histories, scaling, do=what, horizon=steps, future=future) for what in (do, versus)]
    if np.array_equal(plans[0].actions, plans[1].actions, equal_nan=True):
        raise QuestionError("versus: both plans do the same, so that there is no effect to speak of")
    return compare(model, histories, plans[0], plans[1], data=data, confounder=confounder, seed=seed)


def compare(
    model: Model,
    histories: Episodes,
    do: Plan,
    versus: Plan,
    *,
    data: Episodes | None = None,
    confounder: str | None = None,
    seed: int = 0,
) -> Effect:
    """The effect of a plan against another, both spelled out.

    Args:
        model: a world model.
        histories: up to now.
        do, versus: what is compared, for the same histories and times.
        data: recorded episodes to correct the model on; the histories by default.
        confounder: a known variable, to compare the strength of something hidden with.
        seed: of the sampling.
    """
    schema = histories.schema
    arms = roll_arms(model, histories, [do, versus], seed=seed)
    gap = arms[0] - arms[1]
    apart = action_columns(do.actions, model.encoding) - action_columns(versus.actions, model.encoding)
    apart = np.nan_to_num(apart)
    evidence = weigh(model, histories if data is None else data, do, versus, seed=seed)
    draws = resample(histories, gap, apart, evidence, seed=seed)
    followed = [model.follow(histories, plan, members=100, seed=seed) for plan in (do, versus)]
    names, units, values = spread(followed[1].samples, schema.targets)
    deviation = values.std((0, 1), dtype=np.float64)
    moments, mean_apart = evidence.moments, apart.mean(0)
    nearest = np.where(draws.average_levels[0] > 0, draws.average_levels[0], np.minimum(draws.average_levels[-1], 0))
    sensitivity = {"e_value": e_value(draws.average, deviation), "e_value_interval": e_value(nearest, deviation)}
    if moments is not None:
        scale = _padded(shift_scale(moments, mean_apart), draws.average.shape)
        sensitivity["robustness_value"] = robustness_value(draws.average, scale)
        sensitivity["robustness_value_interval"] = robustness_value(nearest, scale)
    return Effect(
        histories=histories,
        do=do,
        versus=versus,
        names=tuple(names),
        units=tuple(units),
        effect=draws.effect,
        levels=draws.levels,
        average=draws.average,
        average_levels=draws.average_levels,
        plug_in=gap.mean((0, 1)),
        debiased=0 if moments is None else moments.lags,
        reason=evidence.reason,
        supported=followed[0].supported & followed[1].supported,
        overlap=evidence.overlap,
        controls=() if moments is None else tuple(controls(moments, mean_apart, names, units, seed=seed)),
        sensitivity=sensitivity,
        benchmark=_benchmark(evidence, confounder, mean_apart, names),
    )


def weigh(model: Model, data: Episodes, do: Plan, versus: Plan, *, seed: int) -> Evidence:
    """Whether the recorded episodes can correct the model: enough of them, with both arms in them."""
    if not model.encoding.schema.actions or not len(data):
        return Evidence(None, None, {}, "uncorrected: no recorded episodes")
    record = read_record(model, data, horizon=do.horizon, seed=seed)
    if record is None or len(record.ids) < FEWEST:
        count = 0 if record is None else len(record.ids)
        reason = f"uncorrected: {count} recorded episodes with actions and outcomes, {FEWEST} are needed"
        return Evidence(record, None, {}, reason)
    differs = np.any(np.abs(do.actions - versus.actions) > 1e-12, axis=0)
    overlap = {
        name: measure_overlap(
            record,
            np.median(plan.actions, axis=0),
            differs,
            data.schema,
            model.encoding.scaling,
            seed=seed,
        )
        for name, plan in (("do", do), ("versus", versus))
    }
    rare = [name for name, found in overlap.items() if not found.enough]
    if rare:
        worth = ", ".join(f"{name} {overlap[name].effective[0]:.0f}" for name in rare)
        return Evidence(record, None, overlap, f"uncorrected: hardly ever done (effective rows: {worth})")
    moments = gather(record, data.schema, seed=seed)
    if moments is None:
        return Evidence(record, None, overlap, "uncorrected: too few rows with an outcome")
    reason = f"corrected on {len(record.ids)} recorded episodes, {int(moments.rows[0])} rows"
    if moments.lags < do.horizon:
        reason += f", up to step {moments.lags}: episodes are too few or too short for more"
    return Evidence(record, moments, overlap, reason)


@dataclass(frozen=True)
class Draws:
    """Estimates and quantiles of their resamples."""

    effect: Float[np.ndarray, "episode step unit"]
    levels: Float[np.ndarray, "level episode step unit"]
    average: Float[np.ndarray, "step unit"]
    average_levels: Float[np.ndarray, "level step unit"]


def resample(
    histories: Episodes,
    gap: Float[np.ndarray, "network episode step unit"],
    apart: Float[np.ndarray, "episode step column"],
    evidence: Evidence,
    *,
    seed: int,
) -> Draws:
    """Bootstrap over networks and episodes."""
    rng = np.random.default_rng([seed, 7])
    networks, count, steps = gap.shape[:3]
    middle, moments = gap.mean(0), evidence.moments
    asked = _weights(rng, count)
    unsettled = gap - middle
    stretch, error, errors = 1.0, None, None
    if moments is not None and evidence.record is not None:
        ids, clusters = evidence.record.ids, len(evidence.record.ids)
        recorded = _weights(rng, clusters)
        if sorted(map(str, ids)) == sorted(str(history.id) for history in histories):
            asked = recorded[:, [ids.index(history.id) for history in histories]]
        error = moments.errors(np.ones((1, clusters)))
        errors = moments.errors(recorded * clusters)
        stretch = float(stats.t.ppf(0.975, clusters - 1) / stats.norm.ppf(0.975) * np.sqrt(clusters / (clusters - 1)))
        taught = _taught(evidence.record, moments.lags)
        away = np.stack([corrections(part[None], apart, steps) for part in taught - taught.mean(0)])
        unsettled = np.where(np.arange(steps)[:, None] < moments.lags, unsettled - away, unsettled)
    widened = np.sqrt(networks / (networks - 1)) if networks > 1 else 0.0
    drawn = (rng.multinomial(networks, np.full(networks, 1 / networks), RESAMPLES) / networks - 1 / networks) * widened

    effects = middle if error is None else middle + corrections(error, apart, steps)
    average = effects.mean(0)
    around = np.tensordot(asked, middle, 1) - middle.mean(0) + np.einsum("bm,mhu->bhu", drawn, unsettled.mean(1))
    if error is not None and errors is not None:
        mean_apart = np.tensordot(asked, apart, 1)
        around = around + corrections(errors, mean_apart, steps) - corrections(error, apart.mean(0)[None], steps)
    levels = np.empty((len(LEVELS), *effects.shape))
    for start in range(0, count, CHUNK):
        pick = slice(start, start + CHUNK)
        away = np.einsum("bm,mnhu->bnhu", drawn, unsettled[:, pick])
        if error is not None and errors is not None:
            plans, which = np.unique(apart[pick], axis=0, return_inverse=True)
            moved = np.stack([corrections(errors, plan[None], steps) for plan in plans], axis=1)
            away = away + (moved - corrections(error, plans, steps))[:, which.reshape(-1)]
        levels[:, pick] = effects[pick] + stretch * np.quantile(away, LEVELS, axis=0)
    return Draws(effects, levels, average, average + stretch * np.quantile(around, LEVELS, axis=0))


def corrections(
    errors: Float[np.ndarray, "any lag column unit"], apart: Float[np.ndarray, "some step column"], steps: int
) -> Float[np.ndarray, "most step unit"]:
    """sum_k d_{h-k} (do_k - versus_k) by step h; zero beyond the lags that are known. One of either serves all."""
    lags = errors.shape[1]
    out = np.zeros((max(len(errors), len(apart)), steps, errors.shape[3]))
    count = len(out)
    errors, apart = (np.broadcast_to(part, (count, *part.shape[1:])) for part in (errors, apart))
    for step in range(min(lags, steps)):
        out[:, step] = np.einsum("bkcu,bkc->bu", errors[:, step::-1], apart[:, : step + 1])
    return out


def _weights(rng: np.random.Generator, count: int) -> Float[np.ndarray, "resample episode"]:
    """How often each episode is drawn, as shares."""
    return rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count


def _taught(record: Record, lags: int) -> Float[np.ndarray, "network lag column unit"]:
    """The effect of a unit of each action by network, on average over what was recorded: what a correction replaces."""
    given = (record.columns - record.rest)[record.acted]
    said = record.unsettled[:, record.acted][:, :, :lags]
    size = np.trace(given.T @ given)
    inverse = np.linalg.inv(given.T @ given + (1e-9 * size + 1e-12) * np.eye(given.shape[1]))
    return np.einsum("kc,nc,mnlu->mlku", inverse, given, said)


def _padded(values: Float[np.ndarray, "lag unit"], shape: tuple[int, ...]) -> Float[np.ndarray, "step unit"]:
    """Values by step, NaN where there are none."""
    out = np.full(shape, np.nan)
    out[: len(values)] = values
    return out


def controls(
    moments: Moments, apart: Float[np.ndarray, "step column"], names: list[str], units: list[str], *, seed: int
) -> list[dict[str, Any]]:
    """The estimate for shocks that came before the action: zero, unless the history fails to explain the action."""
    clusters = moments.own.shape[1]
    first = apart[int(np.abs(apart).sum(1).argmax())]
    found = np.einsum("bsku,k->bsu", moments.placebo(np.ones((1, clusters))), first)[0]
    drawn = np.einsum("bsku,k->bsu", moments.placebo(_weights(np.random.default_rng([seed, 8]), clusters)), first)
    error = drawn.std(0)
    return [
        {
            "rows_before": back,
            "variable": name,
            "effect": float(found[back, place]),
            "q05": float(found[back, place] - 1.645 * error[back, place]),
            "q95": float(found[back, place] + 1.645 * error[back, place]),
            "unit": units[place],
            "p": float(2 * stats.t.sf(abs(found[back, place]) / error[back, place], clusters - 1)),
        }
        for back in range(len(found))
        for place, name in enumerate(names)
        if error[back, place] > 0
    ]


def _benchmark(
    evidence: Evidence, confounder: str | None, apart: Float[np.ndarray, "step column"], names: list[str]
) -> dict[str, Any]:
    """How far something hidden as strong as a known variable would shift the average."""
    if confounder is None:
        return {}
    if evidence.record is None or evidence.moments is None:
        raise QuestionError(f"confounder: '{confounder}' cannot be measured; {evidence.reason}")
    action, outcome = as_strong_as(evidence.record, confounder, apart)
    scale = shift_scale(evidence.moments, apart)
    shift = np.sqrt(outcome * action / (1 - action)) * scale
    return {
        "as_strong_as": confounder,
        "explains_of_the_action": action,
        "explains_of_the_outcome": {name: float(value) for name, value in zip(names, outcome, strict=True)},
        "shifts_by": [
            {"step": step + 1, "variable": name, "at_most": float(shift[step, place])}
            for step in range(len(shift))
            for place, name in enumerate(names)
        ],
    }
