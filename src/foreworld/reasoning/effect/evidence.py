"""What recorded episodes say about a comparison, and whether they say enough to correct the model."""

from dataclasses import dataclass

import numpy as np

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.reasoning.effect.arms import Model
from foreworld.reasoning.effect.correction import FEWEST, Moments, gather
from foreworld.reasoning.effect.overlap import Overlap, measure_overlap
from foreworld.reasoning.effect.record import Record, read_record


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
