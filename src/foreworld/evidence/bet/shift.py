"""Question 4: how much is left of a forecast when the world is not that of training?

CRPS in distribution and under each shift (retention is the ratio of their means), coverage of 90% intervals, and the
same where the contender's own support flag vouches for the answer.
"""

import numpy as np
from jaxtyping import Float

from foreworld.data.plan import Cases
from foreworld.evidence import metrics
from foreworld.evidence.bet.asking import Answer
from foreworld.evidence.bet.rows import Rows

QUESTION = "shift"


def score(
    rows: Rows, setting: str, answer: Answer, cases: Cases, places: np.ndarray, unit: Float[np.ndarray, " target"]
) -> None:
    """One row a case, and in `supported` the share of its steps that are vouched for."""
    crps = np.nanmean(metrics.crps(answer.samples, cases.truth) / unit, axis=2)
    covered = np.nanmean(metrics.coverage(answer.samples, cases.truth, 0.9), axis=2)
    vouched = np.where(answer.supported, 1.0, np.nan)
    heeded = np.flatnonzero(answer.supported.any(1))
    groups = [cases.group[place] for place in heeded]
    rows.add(QUESTION, setting, "crps", np.nanmean(crps, 1), cases.group, cases=places)
    rows.add(QUESTION, setting, "covered 90", np.nanmean(covered, 1), cases.group, cases=places)
    rows.add(QUESTION, setting, "supported", answer.supported.mean(1), cases.group, cases=places)
    for name, values in {"crps": crps, "covered 90": covered}.items():
        kept = np.nanmean((values * vouched)[heeded], 1) if len(heeded) else np.empty(0)
        rows.add(QUESTION, setting, f"{name}, supported", kept, groups, cases=places[heeded])
