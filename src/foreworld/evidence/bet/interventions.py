"""Question 3: what follows from doing something else, when those who acted looked at what they were treating?

Error of levels (CRPS), of effects (PEHE: precision in estimating heterogeneous effects, Hill 2011; here its square,
case by case), and coverage of both, for training data under policies that look more and more. Every contender sees
the same episodes. The forecast of an effect is the difference of two forecasts on the same random numbers;
persistence, which answers every plan alike, is the zero-effect floor.
"""

import numpy as np
from jaxtyping import Float

from foreworld.data.plan import Cases
from foreworld.evidence import metrics
from foreworld.evidence.bet.asking import Answer
from foreworld.evidence.bet.rows import Rows

LEVELS, EFFECTS = "levels", "effects"


def score_levels(
    rows: Rows, setting: str, answer: Answer, cases: Cases, places: np.ndarray, unit: Float[np.ndarray, " target"]
) -> None:
    """CRPS in units of each target's deviation, and coverage of 90% intervals."""
    crps = metrics.crps(answer.samples, cases.truth) / unit
    covered = metrics.coverage(answer.samples, cases.truth, 0.9)
    rows.add(LEVELS, setting, "crps", np.nanmean(crps, (1, 2)), cases.group, cases=places)
    rows.add(LEVELS, setting, "covered 90", np.nanmean(covered, (1, 2)), cases.group, cases=places)


def score_effects(
    rows: Rows,
    setting: str,
    answers: tuple[Answer, Answer],
    cases: tuple[Cases, Cases],
    places: np.ndarray,
    unit: Float[np.ndarray, " target"],
) -> None:
    """Squared error of the expected effect in units of each target's deviation, and coverage of its 90% interval."""
    truth = (cases[0].truth - cases[1].truth) / unit
    apart = (answers[0].samples - answers[1].samples) / unit
    error = np.square(apart.mean(0) - truth)
    rows.add(EFFECTS, setting, "pehe squared", np.nanmean(error, (1, 2)), cases[0].group, cases=places)
    rows.add(EFFECTS, setting, "true squared", np.nanmean(np.square(truth), (1, 2)), cases[0].group, cases=places)
    covered = np.nanmean(metrics.coverage(apart, truth, 0.9), (1, 2))
    rows.add(EFFECTS, setting, "covered 90", covered, cases[0].group, cases=places)
