"""Average and individual effects of one plan against another, from the model and corrected on recorded episodes.

    effect(history) = [model under do - model under versus] + sum_k d_{h-k} (do_k - versus_k)

The bracket says how effects differ between histories, the sum what the model gets wrong on average (see `correction`).
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.errors import QuestionError
from foreworld.reasoning.effect.answer import Effect
from foreworld.reasoning.effect.arms import Model, action_columns, roll_arms
from foreworld.reasoning.effect.bootstrap import draw_weights, keep_informative, resample
from foreworld.reasoning.effect.correction import Moments
from foreworld.reasoning.effect.evidence import Evidence, weigh
from foreworld.reasoning.effect.record import row_facts
from foreworld.reasoning.effect.sensitivity import as_strong_as, e_value, robustness_value, shift_scale
from foreworld.reasoning.imagination import spread
from foreworld.reasoning.question import Do, build_plan


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
    columns = [np.nan_to_num(action_columns(plan.actions, model.encoding)) for plan in (do, versus)]
    apart = columns[0] - columns[1]
    evidence = weigh(model, histories if data is None else data, do, versus, seed=seed)
    evidence = keep_informative(evidence, _terms(histories, columns, evidence), seed=seed)
    draws = resample(histories, gap, _terms(histories, columns, evidence), evidence, seed=seed)
    usual = model.follow(histories, versus, members=100, seed=seed)
    names, units, values = spread(usual.samples, schema.targets)
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
        supported=model.judge(histories, do).supported & usual.supported,
        overlap=evidence.overlap,
        controls=() if moments is None else tuple(controls(moments, mean_apart, names, units, seed=seed)),
        sensitivity=sensitivity,
        benchmark=_benchmark(evidence, confounder, mean_apart, names),
    )


def _terms(
    histories: Episodes, columns: list[Float[np.ndarray, "episode step column"]], evidence: Evidence
) -> Float[np.ndarray, "episode step term"]:
    """What the correction of each step is multiplied with: the plans' difference, alone and times the modifiers."""
    if evidence.moments is None or evidence.record is None:
        return columns[0] - columns[1]
    facts, rest, modifiers = row_facts(histories)[0], evidence.record.rest, evidence.moments.modifiers
    return modifiers.along(facts, columns[0] - rest) - modifiers.along(facts, columns[1] - rest)


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
    drawn = np.einsum("bsku,k->bsu", moments.placebo(draw_weights(np.random.default_rng([seed, 8]), clusters)), first)
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
