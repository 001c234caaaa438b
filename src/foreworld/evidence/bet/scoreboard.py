"""Who is better where: paired differences of the world model and each contender on the same cases, with intervals.

A difference is significant where its 95% bootstrap interval leaves zero out. What is drawn again are groups of
dependent cases (a seed and an instance of it), never single cases. A cell of the board is a domain and a question.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from foreworld.evidence.bet import contenders, trust
from foreworld.evidence.bet.worlds import FAMILIAR
from foreworld.evidence.metrics import bootstrap_mean

LEVEL, DRAWS = 0.95, 1000
Frame = Any
"""A pandas frame of results; type checkers cannot follow pandas."""
OURS = "jepa"
Outcome = Literal["win", "tie", "loss"]

QUESTIONS = {
    "map": ("map", "lost, imagined", "1 noise map: variance of the true state lost, imagined"),
    "identifiability": ("identifiability", "lost, encoded", "2 identifiability: variance of the latents lost"),
    "levels": ("levels", "crps", "3 other plans: CRPS"),
    "effects": ("effects", "pehe squared", "3 effects: squared PEHE"),
    "shift": ("shift", "crps", "4 under shift: CRPS"),
    "hallucination": ("hallucination", "rate", "5 hallucination rate under shift"),
    "trust": ("trust", "", "6 trust: share of the AURC gap not recovered, mixed"),
    "cheaper": ("cheaper", "crps", "7 on less data, labels or compute: CRPS"),
}
"""By name: the question, its main metric (less is better), and what it is called."""


@dataclass(frozen=True)
class Comparison:
    """The world model and a contender on one cell of the board; less is better, so a difference below zero is a win.

    Attributes:
        ours, theirs: means over the same cases.
        low, high: ends of the interval of the difference.
        groups: that were drawn again.
    """

    domain: str
    question: str
    contender: str
    ours: float
    theirs: float
    low: float
    high: float
    groups: int

    @property
    def difference(self) -> float:
        return self.ours - self.theirs

    @property
    def outcome(self) -> Outcome:
        """Of the world model."""
        return "win" if self.high < 0 else "loss" if self.low > 0 else "tie"


def relevant(results: Frame, question: str) -> Frame:
    """The rows that a question is decided by."""
    name, metric, _ = QUESTIONS[question]
    rows = results[(results.question == name) & (results.metric == metric) & (results.horizon == 0)]
    # Under shift means not in distribution, and trained as the domain is usually recorded.
    return shifted(rows) if question in ("shift", "hallucination") else rows


def shifted(rows: Frame) -> Frame:
    """Rows of settings that are another world than that of training: shifts, and combinations never seen."""
    plain = ~rows.setting.str.startswith(FAMILIAR) & ~rows.setting.str.contains("trained on")
    return rows[plain | rows.setting.str.startswith("unseen combination")]


def compare(results: Frame, domain: str, question: str, contender: str, seed: int = 0) -> Comparison | None:
    """The comparison of one cell; None where the two have no case in common."""
    some = results[results.domain == domain]
    if question == "trust":
        return _compare_trust(some, domain, contender, seed)
    paired = pair(relevant(some, question), OURS, contender)
    if not len(paired):
        return None
    groups = (paired.seed.astype(str) + "/" + paired.group).tolist()
    apart = (paired.ours - paired.theirs).to_numpy()
    interval = bootstrap_mean(apart, groups, level=LEVEL, draws=DRAWS, seed=seed)
    return Comparison(
        domain,
        question,
        contender,
        float(paired.ours.mean()),
        float(paired.theirs.mean()),
        float(interval.low),
        float(interval.high),
        len(set(groups)),
    )


def pair(rows: Frame, first: str, second: str) -> Frame:
    """The cases that both have answered, with columns `ours` and `theirs`."""
    keys = ["variant", "seed", "setting", "metric", "horizon", "case", "group"]
    one, two = (rows[rows.contender == name][[*keys, "value"]] for name in (first, second))
    return one.merge(two, on=keys, suffixes=("_ours", "_theirs")).rename(
        columns={"value_ours": "ours", "value_theirs": "theirs"}
    )


def board(results: Frame) -> list[Comparison]:
    """Every comparison that can be made."""
    others = [name for name in results.contender.unique() if name != OURS]
    found = [
        compare(results, domain, question, name)
        for question in QUESTIONS
        for domain in sorted(results.domain.unique())
        for name in others
    ]
    return [comparison for comparison in found if comparison is not None]


def rival(comparisons: Iterable[Comparison], family: str) -> list[Comparison]:
    """In each cell the best of a family by its mean: chosen with hindsight, so that the family is not sold short."""
    cells: dict[tuple[str, str], Comparison] = {}
    for comparison in comparisons:
        if contenders.of(comparison.contender).family != family:
            continue
        key = (comparison.domain, comparison.question)
        # Slow contenders answer fewer cases, so what counts is how they do beside ours on the same ones.
        if key not in cells or comparison.difference > cells[key].difference:
            cells[key] = comparison
    return list(cells.values())


def trusted(some: Frame, contender: str) -> Frame:
    """Risk and score of every case of a contender: columns seed, setting, case, group, risk, expected."""
    rows = some[(some.question == "trust") & (some.contender == contender) & ~some.setting.str.contains("trained on")]
    index = ["seed", "setting", "case", "group"]
    return rows.pivot_table(index=index, columns="metric", values="value").reset_index()


def recovered(cases: Frame, *, mixed: bool) -> float:
    """Share of the AURC gap, mean over seeds: in distribution, or in an even mixture with each shift."""
    shares = []
    for _, seed in cases.groupby("seed"):
        plain = seed[seed.setting == FAMILIAR]
        others = seed[seed.setting != FAMILIAR]
        parts = [plain] if not mixed else [pd.concat([plain, other]) for _, other in others.groupby("setting")]
        for part in parts:
            if len(part) > 2:
                shares.append(trust.share_recovered(part["risk"].to_numpy(), part["expected"].to_numpy()))
    return float(np.nanmean(shares)) if shares else float("nan")


def _compare_trust(some: Frame, domain: str, contender: str, seed: int) -> Comparison | None:
    one, two = trusted(some, OURS), trusted(some, contender)
    if not len(one) or not len(two):
        return None
    keys = ["seed", "setting", "case", "group"]
    both = one[keys].merge(two[keys])
    one, two = one.merge(both), two.merge(both)
    names = one.seed.astype(str) + "/" + one.group
    places = [np.flatnonzero(names == name) for name in names.unique()]
    rng = np.random.default_rng(seed)
    differences = []
    for _ in range(DRAWS // 5):
        picked = np.concatenate([places[index] for index in rng.integers(len(places), size=len(places))])
        shares = [1 - recovered(cases.iloc[picked], mixed=True) for cases in (one, two)]
        differences.append(shares[0] - shares[1])
    low, high = np.nanquantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    ours, theirs = (1 - recovered(cases, mixed=True) for cases in (one, two))
    return Comparison(domain, "trust", contender, ours, theirs, float(low), float(high), len(places))


def tally(comparisons: Sequence[Comparison]) -> dict[Outcome, int]:
    """Wins, ties and losses."""
    found: dict[Outcome, int] = {"win": 0, "tie": 0, "loss": 0}
    for comparison in comparisons:
        found[comparison.outcome] += 1
    return found
