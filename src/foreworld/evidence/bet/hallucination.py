"""Question 5: how often does a forecast tell what cannot be, or is sure of what is not?

A forecast of a step hallucinates where
- a future breaks an invariant of its domain on the way there, a statement that the simulator itself never breaks
  (`Domain.invariants`): counted as the share of futures. It is not asked of a step in which the truth breaks it as
  well, which happens where the step starts from a last observation that was disturbed;
- it is confidently wrong: the truth lies outside its 95% interval by more than the interval's width;
- it cannot be read: the share of futures that are malformed, which only text can be.
The rate of a step is the chance that a future drawn at random suffers from any of these, taken as independent.
"""

import numpy as np
from jaxtyping import Float

from foreworld.data.plan import Cases
from foreworld.domains.base import Domain
from foreworld.evidence import metrics
from foreworld.evidence.bet.asking import Answer
from foreworld.evidence.bet.rows import Rows

QUESTION = "hallucination"
HORIZONS = 4  # stretches of the horizon that rates are given for


def score(rows: Rows, setting: str, answer: Answer, cases: Cases, places: np.ndarray, domain: Domain) -> None:
    """Rates by case: of all kinds together as handed out, without the bounds, and of each kind; and by horizon."""
    broken = invariants_broken(domain, answer.samples, cases)
    wrong = confidently_wrong(answer.samples, cases.truth)
    rates = {
        "rate": together(broken, wrong, answer.malformed),
        "rate, without bounds": together(
            invariants_broken(domain, answer.unbounded, cases),
            confidently_wrong(answer.unbounded, cases.truth),
            answer.malformed,
        ),
        "broken": broken,
        "wrong": wrong,
        "malformed": answer.malformed,
        "rate, supported": np.where(answer.supported, together(broken, wrong, answer.malformed), np.nan),
    }
    steps = broken.shape[1]
    for name, rate in rates.items():
        known = np.isfinite(rate).any(1)
        mean = np.nanmean(rate[known], axis=1)
        groups = [cases.group[place] for place in np.flatnonzero(known)]
        rows.add(QUESTION, setting, name, mean, groups, cases=places[known])
    for part in np.array_split(np.arange(steps), min(HORIZONS, steps)):
        value = rates["rate"][:, part].mean(1)
        rows.add(QUESTION, setting, "rate", value, cases.group, horizon=int(part[-1]) + 1, cases=places)


def together(*rates: Float[np.ndarray, "case step"]) -> Float[np.ndarray, "case step"]:
    """The chance of any of several independent faults."""
    return 1 - np.stack([1 - rate for rate in rates]).prod(axis=0)


def confidently_wrong(
    samples: Float[np.ndarray, "member case step target"], truth: Float[np.ndarray, "case step target"]
) -> Float[np.ndarray, "case step"]:
    """1 where the truth of any target is farther outside the 95% interval than this is wide."""
    low, high = metrics.interval(samples, 0.95)
    # Rounding of single precision is no error.
    width = high - low + 1e-5 * np.maximum(np.abs(low), np.abs(high))
    far = (truth < low - width) | (truth > high + width)
    return far.any(-1).astype(float)


def invariants_broken(
    domain: Domain, samples: Float[np.ndarray, "member case step target"], cases: Cases
) -> Float[np.ndarray, "case step"]:
    """Share of the futures that break an invariant in the step that leads to each row.

    Channels that are not forecast are not known, and break nothing. The first step starts from what was last observed.
    """
    members, count, steps = samples.shape[:3]
    targets = list(domain.schema.target_indices)
    every = np.concatenate([samples, cases.truth[None]])
    path = np.full((members + 1, count, steps + 1, len(domain.schema.observations)), np.nan)
    path[:, :, 0] = np.stack([episode.observations[-1] for episode in cases.histories])
    path[:, :, 1:, targets] = every
    pairs = np.stack([path[:, :, :-1], path[:, :, 1:]], axis=3)
    width = cases.plan.actions.shape[2]
    actions = np.broadcast_to(cases.plan.actions[..., None, :], (members + 1, count, steps, 1, width))
    holds = np.stack(list(domain.invariants(pairs, actions).values()))
    return (~np.all(holds | ~holds[:, -1:], axis=0))[:-1].mean(0)
