"""How a `RidgeARX` is tuned: lags, penalties, transformations and the spread of errors, by cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.schema import Schema
from foreworld.evidence.baselines.cases import Rows, evenly, hot_deck
from foreworld.evidence.baselines.codes import blocks, decode, root, rootable
from foreworld.evidence.baselines.design import Design, needed
from foreworld.evidence.baselines.past import Past
from foreworld.evidence.baselines.tuning import Ridges, refit, tune
from foreworld.evidence.metrics import crps

LAGS = (3, 6, 12, 24, 48)
MOST_COLUMNS = 2000
PENALTIES = np.array([1e-7, 1e-6, 1e-5, 1e-4, 1e-2, 1.0])
INTERACTION_PENALTIES = (0.01, 0.1, 1.0, 10.0, 1e4)  # the last is as good as no interactions
SPREAD_LIMITS = (0.4, 4.0)  # smallest and largest size of an error, relative to its mean
JUDGES, MEMBERS, BANK = 1000, 200, 2000

Scaled = Float[np.ndarray, "case step scale code"]


@dataclass(frozen=True)
class Parameters:
    """What is fitted, for every code of a target (one, or one a category).

    Attributes:
        weights: of the features.
        differenced: whether a response is the change since the last value seen.
        rooted: whether a code is the square root of its target.
        mean: of the codes in training; stands for the last value where none was seen.
        spread: weights of the features in the size of the errors.
        limits: smallest and largest size; 1 and 1 where errors do not depend on the features.
        residuals: whole paths of cross-validated errors, in units of their size.
    """

    weights: Float[np.ndarray, "column step code"]
    differenced: Bool[np.ndarray, "step code"]
    rooted: Bool[np.ndarray, " code"]
    mean: Float[np.ndarray, " code"]
    spread: Float[np.ndarray, "column step code"]
    limits: Float[np.ndarray, "2 step code"]
    residuals: Float[np.ndarray, "path step code"]


@dataclass(frozen=True)
class CrossValidated:
    """Forecasts of every training case by the folds that it is not in: native values, and square roots if that is open.

    Attributes:
        rooted: which codes are square roots, by scale.
        response: what is regressed: levels, or changes where these do better.
        differenced: where those are changes.
        choice: penalties of the response.
        predicted, residual: levels, and what happened less those.
        size: predicted size of the residual.
        size_choice: its penalties.
        limits: of the size.
    """

    rooted: Bool[np.ndarray, "scale code"]
    response: Scaled
    differenced: Bool[np.ndarray, "step scale code"]
    choice: Int[np.ndarray, "step scale code"]
    predicted: Scaled
    residual: Scaled
    size: Scaled
    size_choice: Int[np.ndarray, "step scale code"]
    limits: Float[np.ndarray, "2 step scale code"]


def ridges(design: Design, interaction_penalties: Sequence[float]) -> Ridges:
    """Every penalty of interactions with every penalty of other columns."""
    return np.stack(
        [np.where(design.interacts, i, p * design.stiffness) for i in interaction_penalties for p in PENALTIES]
    )


def choose_lags(rows: Rows) -> tuple[int, dict[int, float]]:
    """The number of lags with the least cross-validated error, by the mean logarithm over steps and codes.

    Longer histories are tried until one does worse, or has more than MOST_COLUMNS columns.

    Returns:
        The number, and the root mean squared error (geometric mean) of each that was tried.
    """
    y = rows.truth - rows.anchor[:, None]
    histories, plan = rows.cases.histories, rows.cases.plan
    back = Past.of(histories, needed(max(LAGS)))
    scores: dict[int, float] = {}
    for lags in LAGS:
        design, x = Design.fit(back, histories.schema, plan, lags)
        if scores and x.shape[1] > MOST_COLUMNS:
            break
        loss = tune(x, y, rows.fold, design.reach, ridges(design, (1.0,))).loss
        scores[lags] = float(np.exp(np.log(np.maximum(loss, 1e-30)).mean() / 2))
        if scores[lags] > min(scores.values()):
            break
    return min(scores, key=lambda lags: scores[lags]), scores


def cross_validate(x: Float[np.ndarray, "case column"], rows: Rows, design: Design, schema: Schema) -> CrossValidated:
    """Tune all candidates at once: their regressions share rows, columns and factorisations."""
    able = rootable(schema)
    rooted = np.stack([np.zeros_like(able), able] if able.any() else [able])
    truth = np.stack([root(rows.truth, which) for which in rooted], axis=2)
    anchor = np.stack([root(rows.anchor, which) for which in rooted], axis=1)[:, None]
    both = np.stack([truth, truth - anchor])
    tuned = tune(x, np.moveaxis(both, 0, 2), rows.fold, design.reach, ridges(design, INTERACTION_PENALTIES))
    differenced = tuned.loss[:, 1] < tuned.loss[:, 0]
    predicted = np.where(differenced, tuned.predicted[:, :, 1] + anchor, tuned.predicted[:, :, 0])
    residual = truth - predicted
    size = np.abs(residual)
    seen = np.isfinite(size)
    typical = np.where(seen, size, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    limits = np.multiply.outer(np.array(SPREAD_LIMITS), np.maximum(typical, 1e-12))
    sizes = tune(x, size, rows.fold, design.reach, ridges(design, (1.0,)))
    return CrossValidated(
        rooted=rooted,
        response=np.where(differenced, both[1], both[0]),
        differenced=differenced,
        choice=np.where(differenced, tuned.choice[:, 1], tuned.choice[:, 0]),
        predicted=predicted,
        residual=residual,
        size=np.clip(sizes.predicted, *limits),
        size_choice=sizes.choice,
        limits=limits,
    )


def judge(found: CrossValidated, rows: Rows, schema: Schema, seed: int) -> Float[np.ndarray, "scale spread target"]:
    """Mean CRPS of each target for each scale, with a constant and with a varying size of errors, on some cases."""
    cases = evenly(len(rows.fold), JUDGES)
    rng = np.random.default_rng(seed)
    path = rng.integers(len(rows.fold), size=(MEMBERS, len(cases)))
    scores = np.empty((len(found.rooted), 2, len(schema.targets)))
    for scale, rooted in enumerate(found.rooted):
        centre, residual = found.predicted[cases, :, scale], found.residual[:, :, scale]
        for index, size in enumerate((np.ones_like(residual), found.size[:, :, scale])):
            errors = hot_deck(residual / size, seed)[path] * size[cases]
            samples = decode(centre + errors, centre, rooted, schema, rng)
            score = crps(samples, rows.cases.truth[cases])
            seen = np.isfinite(score)
            scores[scale, index] = np.where(seen, score, 0.0).sum(axis=(0, 1)) / np.maximum(seen.sum(axis=(0, 1)), 1)
    return scores


def learn(
    x: Float[np.ndarray, "case column"], rows: Rows, design: Design, schema: Schema, seed: int
) -> tuple[Parameters, Int[np.ndarray, "step code"], dict[str, Any]]:
    """Choose scale and spread of each target by CRPS, and fit them to all these cases.

    Returns:
        The parameters, the penalties chosen for `weights`, and a record of the choices.
    """
    found = cross_validate(x, rows, design, schema)
    scores = judge(found, rows, schema, seed)
    best = [np.unravel_index(scores[..., target].argmin(), scores.shape[:2]) for target in range(len(schema.targets))]
    width = [target.width for target in schema.targets]
    scale, varies = (np.repeat([pair[part] for pair in best], width).astype(int) for part in (0, 1))

    def chosen(values: np.ndarray) -> np.ndarray:
        return values[..., scale, np.arange(len(scale))]

    choice, residual = chosen(found.choice), chosen(found.residual)
    size = np.where(varies, chosen(found.size), 1.0)
    sizes = refit(x, np.abs(residual), design.reach, ridges(design, (1.0,)), chosen(found.size_choice))
    parameters = Parameters(
        weights=refit(x, chosen(found.response), design.reach, ridges(design, INTERACTION_PENALTIES), choice),
        differenced=chosen(found.differenced),
        rooted=chosen(found.rooted),
        mean=rows.mean,
        spread=varies * sizes,
        limits=np.where(varies, chosen(found.limits), 1.0),
        residuals=hot_deck(residual / size, seed)[evenly(len(size), BANK)],
    )
    return parameters, choice, _record(schema, scores, best, choice, parameters)


def relearn(rows: Rows, design: Design, parameters: Parameters, choice: Int[np.ndarray, "step code"]) -> Parameters:
    """The same parameters, with weights from more cases."""
    truth, anchor = root(rows.truth, parameters.rooted), root(rows.anchor, parameters.rooted)
    x = design.matrix(rows.cases.histories, rows.cases.plan)
    response = truth - parameters.differenced * anchor[:, None]
    weights = refit(x, response, design.reach, ridges(design, INTERACTION_PENALTIES), choice)
    return replace(parameters, weights=weights)


def _record(
    schema: Schema, scores: np.ndarray, best: list, choice: Int[np.ndarray, "step code"], parameters: Parameters
) -> dict[str, Any]:
    """What was chosen for each target, as JSON takes it."""
    record = {}
    for index, (target, codes) in enumerate(blocks(schema.targets)):
        scale, varies = best[index]
        first = choice[:, codes.start]
        record[target.name] = {
            "scale": "square root" if parameters.rooted[codes].any() else "native",
            "errors": "varying" if varies else "constant",
            "crps": float(scores[scale, varies, index]),
            "crps_native_constant": float(scores[0, 0, index]),
            "changes": float(parameters.differenced[:, codes].mean()),
            "penalty": PENALTIES[first % len(PENALTIES)].tolist(),
            "interaction_penalty": [INTERACTION_PENALTIES[i] for i in first // len(PENALTIES)],
        }
    return record
