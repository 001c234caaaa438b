"""How often something like each arm was done, given the history: without that, a comparison is extrapolation."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.scaling import Scaling
from foreworld.data.schema import Schema
from foreworld.reasoning.effect.correction import CERTAIN
from foreworld.reasoning.effect.nuisance import design, folds_of, logistic
from foreworld.reasoning.effect.record import Record

NEAR = 0.25  # Deviations of an action within which it counts as the same.
FEWEST = 20.0  # Effective rows of each arm that an estimate from the record needs.


@dataclass(frozen=True)
class Overlap:
    """Of one arm, by step: recorded rows from which it was followed for so many steps.

    Attributes:
        rows: their number, of `total`.
        effective: what they are worth after weighting each by 1 / P(arm | history) at every step, (sum w)^2 / sum w^2
            (Kish, Survey Sampling 1965).
    """

    rows: Int[np.ndarray, " step"]
    effective: Float[np.ndarray, " step"]
    total: int

    @property
    def enough(self) -> bool:
        """Whether the arm was tried often enough at its first step."""
        return bool(self.effective[0] >= FEWEST)


def measure_overlap(
    record: Record,
    arm: Float[np.ndarray, "step action"],
    differs: Bool[np.ndarray, "step action"],
    schema: Schema,
    scaling: Scaling,
    *,
    seed: int,
) -> Overlap:
    """Rows near an arm in the actions that differ between the arms, from the first step on at which they do.

    P(arm | history) is a cross-fitted logistic regression, step by step; equal values share one.
    """
    episode, row = np.nonzero(record.acted)
    x, fold = design(record.features[episode, row]), folds_of(episode, seed)
    first = int(differs.any(1).argmax())
    judged = np.flatnonzero(differs.any(0))
    known: dict[tuple[float, ...], tuple[np.ndarray, np.ndarray]] = {}
    weight, counts, effective = record.acted.astype(float), [], []
    for step in range(first, len(arm)):
        values = tuple(float(arm[step, place]) for place in judged)
        if values not in known:
            near = _near(record.given, values, judged, schema, scaling)
            chance = np.ones(record.acted.shape)
            chance[episode, row] = logistic(x, near[episode, row], fold).clip(CERTAIN)
            known[values] = near & record.acted, chance
        near, chance = (_shifted(part, step - first) for part in known[values])
        weight = weight * near / np.where(near, chance, 1.0)
        counts.append(int((weight > 0).sum()))
        square = float(np.square(weight).sum())
        effective.append(float(weight.sum()) ** 2 / square if square > 0 else 0.0)
    return Overlap(np.array(counts), np.array(effective), int(record.acted.sum()))


def _near(
    given: Float[np.ndarray, "episode row action"],
    values: tuple[float, ...],
    judged: Int[np.ndarray, " judged"],
    schema: Schema,
    scaling: Scaling,
) -> Bool[np.ndarray, "episode row"]:
    near = np.ones(given.shape[:2], dtype=bool)
    for value, place in zip(values, judged, strict=True):
        variable = schema.actions[place]
        slack = NEAR * scaling.variables[variable.name].scale if variable.kind == "continuous" else 0.0
        near &= np.abs(given[..., place] - value) <= slack * (1 + 1e-6)
    return near


def _shifted(values: np.ndarray, steps: int) -> np.ndarray:
    """Values so many rows later; zero beyond the end."""
    out = np.zeros_like(values)
    out[:, : values.shape[1] - steps] = values[:, steps:]
    return out
