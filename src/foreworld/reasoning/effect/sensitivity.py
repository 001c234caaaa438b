"""How strong something hidden would have to be to explain an effect away.

A hidden variable that explains a share R_d of what is left of the action given the history, and R_y of what is left of
the outcome, shifts a regression's effect by at most sqrt(R_y R_d / (1 - R_d)) sd(outcome left) / sd(action left)
(Cinelli and Hazlett, JRSS B 82, 2020, eq. 8; for debiased machine learning Chernozhukov et al., *Long story short*,
2022). A plan adds up such effects over its steps, and so, at worst, the shifts. The robustness value is the strength R
of both at which the shift is as large as the effect: with f = |effect| / scale, R = (sqrt(f^4 + 4 f^2) - f^2) / 2.

The E-value says the same of the model's answer alone, on the scale of risk ratios (VanderWeele and Ding, Annals of
Internal Medicine 2017); a difference of d standard deviations counts as a ratio of exp(0.91 d).
"""

import numpy as np
from jaxtyping import Float

from foreworld.errors import QuestionError
from foreworld.reasoning.effect.correction import Moments
from foreworld.reasoning.effect.record import Record


def shift_scale(moments: Moments, apart: Float[np.ndarray, "step column"]) -> Float[np.ndarray, "step unit"]:
    """What the shift is a multiple of, by step: |difference of the plans| times the deviations, summed over steps."""
    free = np.sqrt(moments.free)
    reach = np.abs(apart) / np.where(free > 1e-9, free, np.inf)
    left = np.sqrt(moments.leftover)
    return np.stack(
        [sum(reach[k].sum() * left[h - k] for k in range(h + 1)) for h in range(min(moments.lags, len(apart)))]
    )


def robustness_value(
    effect: Float[np.ndarray, "*value"], scale: Float[np.ndarray, "*value"]
) -> Float[np.ndarray, "*value"]:
    """The strength at which a hidden variable explains the effect away; zero for no effect."""
    f2 = np.square(np.divide(effect, scale, out=np.zeros_like(effect), where=scale > 0))
    return (np.sqrt(np.square(f2) + 4 * f2) - f2) / 2


def e_value(effect: Float[np.ndarray, "*value"], deviation: Float[np.ndarray, "*value"]) -> Float[np.ndarray, "*value"]:
    """The risk ratio that a hidden variable needs with both action and outcome; one for no effect."""
    size = np.abs(np.divide(effect, deviation, out=np.zeros_like(effect), where=deviation > 0))
    ratio = np.exp(0.91 * np.minimum(size, 100))
    return ratio + np.sqrt(ratio * (ratio - 1))


def as_strong_as(
    record: Record, name: str, apart: Float[np.ndarray, "step column"]
) -> tuple[float, Float[np.ndarray, " unit"]]:
    """R_d and R_y of a hidden variable as strong as a known one: its partial R^2 over that of what is left without it.

    Of the action that differs and of the outcome one step on, by least squares on the facts of the row.
    """
    mine = np.array([owner == name for owner in record.owners])
    if not mine.any():
        known = ", ".join(dict.fromkeys(record.owners))
        raise QuestionError(f"confounder: '{name}' is not among what is seen or known before acting: {known}")
    episode, row = np.nonzero(record.acted)
    facts, columns = record.facts[episode, row], record.columns[episode, row]
    after = record.targets[episode, row + 1]
    seen = np.isfinite(after).all(1)
    judged = np.flatnonzero(np.abs(apart).sum(0) > 0)
    action = max(_strength(facts[:, ~mine], facts, columns[:, [place]])[0] for place in judged)
    beside = np.concatenate([facts[:, ~mine], columns], axis=1)[seen]
    outcome = _strength(beside, np.concatenate([facts, columns], axis=1)[seen], after[seen])
    return float(action), outcome


def _strength(
    without: Float[np.ndarray, "row less"], including: Float[np.ndarray, "row more"], y: Float[np.ndarray, "row unit"]
) -> Float[np.ndarray, " unit"]:
    """Partial R^2 / (1 - partial R^2), at most 0.99."""
    less, more = (_rest(x, y) for x in (without, including))
    return np.minimum(np.divide(less - more, more, out=np.full_like(less, 0.99), where=more > 0), 0.99).clip(0)


def _rest(x: Float[np.ndarray, "row column"], y: Float[np.ndarray, "row unit"]) -> Float[np.ndarray, " unit"]:
    x = np.concatenate([np.ones((len(x), 1)), x], axis=1)
    return np.square(y - x @ np.linalg.lstsq(x, y, rcond=None)[0]).sum(0)
