"""Forecasts against what happened: where to forecast from, and how well each forecaster did."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, Forecaster, Plan
from foreworld.evidence import metrics
from foreworld.evidence.evaluation import LEVELS, Evaluation

CHUNK = 500  # cases forecast at once, which bounds the memory that samples take


def origins(
    data: Episodes, *, context: int, horizon: int, stride: int = 1, limit: int | None = None, seed: int = 0
) -> list[tuple[int, int]]:
    """Points in time from which to forecast: (episode, row) pairs for `cut`, evenly spread and in order.

    Args:
        data: the episodes; those that are too short give none.
        context: rows of history that each origin has at least, itself included.
        horizon: rows that follow each origin at least.
        stride: rows between origins of an episode. Each episode begins at a random phase, lest every origin falls on
            the same time of day.
        limit: at most so many origins, evenly spread over all that there are.
        seed: of the phases.
    """
    if min(context, horizon, stride) < 1 or (limit is not None and limit < 1):
        raise ValueError("context, horizon, stride and limit count from 1")
    rng = np.random.default_rng(seed)
    found: list[tuple[int, int]] = []
    for index, episode in enumerate(data):
        last = episode.steps - horizon
        phase = int(rng.integers(min(stride, max(last - context + 2, 1))))
        found += [(index, row) for row in range(context - 1 + phase, last + 1, stride)]
    if limit is not None and limit < len(found):
        places = (np.arange(limit) + rng.random()) * len(found) / limit
        found = [found[int(place)] for place in places]
    return found


def subset(cases: Cases, index: Sequence[int]) -> Cases:
    """Some of the cases, by position."""
    plan, places = cases.plan, list(index)
    return Cases(
        histories=cases.histories.take(places),
        plan=Plan(plan.time[places], plan.actions[places], plan.known_future[places]),
        truth=cases.truth[places],
        group=tuple(cases.group[place] for place in places),
    )


def evaluate(forecasters: Mapping[str, Forecaster], cases: Cases, *, members: int = 200, seed: int = 0) -> Evaluation:
    """Score forecasters on the same cases, CHUNK of them at a time.

    Args:
        forecasters: by name.
        cases: questions and answers.
        members: samples of each forecast, at least 2. The CRPS does not depend on their number, except for noise.
        seed: of the samples.

    Raises:
        ValueError: there are no cases; or a forecaster answers in another shape, or not with finite numbers.
    """
    count = len(cases.histories)
    if count == 0:
        raise ValueError("there are no cases to evaluate: no episode is long enough for context and horizon")
    parts = []
    for start in range(0, count, CHUNK):
        some = subset(cases, range(start, min(start + CHUNK, count)))
        parts.append(
            [_score(name, forecaster, some, members, seed + start) for name, forecaster in forecasters.items()]
        )
    now = np.array([episode.time[-1] for episode in cases.histories])
    scores = {name: np.concatenate([_side_by_side(part, name) for part in parts], axis=-3) for name in parts[0][0]}
    return Evaluation(
        forecasters=tuple(forecasters),
        schema=cases.histories.schema,
        backend=cases.histories.backend,
        lead=np.median(cases.plan.time - now[:, None], axis=0),
        group=cases.group,
        **scores,
    )


def _side_by_side(forecasters: list[dict[str, np.ndarray]], name: str) -> Float[np.ndarray, "..."]:
    return np.stack([scores[name] for scores in forecasters], axis=-4)


def _score(name: str, forecaster: Forecaster, cases: Cases, members: int, seed: int) -> dict[str, np.ndarray]:
    """Every score of one forecaster: arrays [case, step, target], with levels first where there are any."""
    truth = cases.truth.astype(np.float64)
    samples = forecaster.forecast(cases.histories, cases.plan, members=members, seed=seed)
    if samples.shape != (members, *truth.shape):
        raise ValueError(f"'{name}' answers in shape {samples.shape}, not {(members, *truth.shape)}")
    if not np.isfinite(samples).all():
        raise ValueError(f"'{name}' answers with numbers that are not finite")
    place = metrics.pit(samples, truth, seed=seed)
    known = np.where(np.isnan(truth), np.nan, 1.0)
    return {
        "crps": metrics.crps(samples, truth),
        "error": samples.mean(axis=0) - truth,
        "pit": place,
        "covered": np.stack([metrics.within(place, level) for level in LEVELS]),
        "width": np.stack([known * metrics.width(samples, level) for level in LEVELS]),
    }
