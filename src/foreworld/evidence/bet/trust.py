"""Question 6: does a contender know which of its answers to trust?

Cases are answered from the surest to the least sure. The area under the risk-coverage curve (AURC; Geifman and El-Yaniv
2017) lies between that of the true order of errors and that of no order at all; what counts is the share of the gap
that the contender's own score recovers: in distribution, and in an even mixture with shifted cases.

The risk of a case is the absolute error of the mean forecast, in units of each target's deviation, averaged over
steps. The score is the error that a contender expects: that of its own futures, which those that are networks correct
where a question is strange, all by the same method (`foreworld.reasoning.imagination.Imagination.expected_error`).
"""

import numpy as np
from jaxtyping import Float

from foreworld.data.plan import Cases
from foreworld.evidence.bet.asking import Answer
from foreworld.evidence.bet.rows import Rows

QUESTION = "trust"


def score(
    rows: Rows, setting: str, answer: Answer, cases: Cases, places: np.ndarray, unit: Float[np.ndarray, " target"]
) -> None:
    """Risk and score of each case."""
    risk = np.nanmean(np.abs(answer.samples.mean(0) - cases.truth) / unit, (1, 2))
    expected = np.mean(answer.expected / unit, (1, 2))
    for name, values in {"risk": risk, "expected": expected}.items():
        rows.add(QUESTION, setting, name, values, cases.group, cases=places)


def share_recovered(risk: Float[np.ndarray, " case"], score: Float[np.ndarray, " case"]) -> float:
    """Share of the AURC between no order (0) and the true one (1) that ordering by a score recovers."""
    best, found, none = aurc(risk, risk), aurc(risk, score), float(np.mean(risk))
    return (none - found) / (none - best) if none > best else float("nan")


def aurc(risk: Float[np.ndarray, " case"], score: Float[np.ndarray, " case"]) -> float:
    """Mean over coverages 1/n, ..., 1 of the mean risk of the cases with the lowest scores."""
    ordered = risk[np.argsort(score, kind="stable")]
    return float(np.mean(np.cumsum(ordered) / np.arange(1, len(ordered) + 1)))
