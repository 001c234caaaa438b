"""The bars of the bet, each as a sentence with the figure that decides it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from foreworld.evidence.bet import contenders, scoreboard
from foreworld.evidence.bet.scoreboard import OURS, Comparison, Frame, recovered, rival, tally, trusted

READ, ABOVE = 0.9, 0.02
FEWER = 5.0
RECOVERED = 0.8


@dataclass(frozen=True)
class Bar:
    """A bar, whether it was reached, and the figures."""

    words: str
    reached: bool
    figures: str


def bars(results: Frame, comparisons: list[Comparison]) -> list[Bar]:
    """All that the results can decide."""
    found = [*_map(results), *_hallucination(results, comparisons), *_trust(results)]
    for family, wins, losses in (("next_token", 0.8, 0.05), ("generative", 0.5, 0.15)):
        against = rival(comparisons, family)
        if not against:
            continue
        count, total = tally(against), len(against)
        name = family.replace("_", " ")
        found.append(
            Bar(
                f"significantly better than the best {name} in at least {wins:.0%} of the cells, worse in at most "
                f"{losses:.0%}",
                count["win"] >= wins * total and count["loss"] <= losses * total,
                f"better in {count['win']}, level in {count['tie']}, worse in {count['loss']} of {total}",
            )
        )
    return found


def _map(results: Frame) -> list[Bar]:
    rows = results[results.question == "map"]
    if not len(rows):
        return []
    rows = rows[rows.metric.isin(["lost, encoded", "lost, imagined"])]
    read = 1 - rows.groupby(["metric", "setting", "contender"]).value.mean().unstack()
    least = read[OURS].min()
    others = read.drop(columns=OURS).max(axis=1) - read[OURS]
    where = others.idxmax()
    who = read.drop(columns=OURS).loc[where].idxmax()
    return [
        Bar(
            f"R2 of the true state at least {READ} over the whole map, and no contender above by more than {ABOVE}",
            bool(least >= READ and others.max() <= ABOVE),
            f"least R2 {least:.2f}; another is above by up to {others.max():.2f} ({who}; {where[0]}, {where[1]})",
        )
    ]


def _hallucination(results: Frame, comparisons: list[Comparison]) -> list[Bar]:
    against = [one for one in rival(comparisons, "next_token") if one.question == "hallucination"]
    if not against:
        return []
    rows = scoreboard.relevant(results, "hallucination")
    parts = [
        scoreboard.pair(rows[rows.domain == one.domain], OURS, one.contender).assign(domain=one.domain)
        for one in against
    ]
    rng = np.random.default_rng(0)
    ratios = [_ratio(parts)]
    drawn = [[group.reset_index(drop=True) for _, group in part.groupby(["seed", "group"])] for part in parts]
    for _ in range(scoreboard.DRAWS // 5):
        again = [pd.concat([part[index] for index in rng.integers(len(part), size=len(part))]) for part in drawn]
        ratios.append(_ratio(again))
    low, high = np.quantile(ratios[1:], [0.025, 0.975])
    return [
        Bar(
            f"at least {FEWER:g} times fewer hallucinations than the best next token under shift, over the domains",
            bool(ratios[0] >= FEWER and low > 1),
            f"{ratios[0]:.2f} times fewer [{low:.2f}, {high:.2f}]",
        )
    ]


def _ratio(parts: list[Frame]) -> float:
    """Their mean rate over ours, each averaged over the domains."""
    return float(np.mean([part.theirs.mean() for part in parts]) / max(np.mean([p.ours.mean() for p in parts]), 1e-9))


def _trust(results: Frame) -> list[Bar]:
    some = results[results.question == "trust"]
    if not len(some):
        return []
    shares = {
        mixed: [recovered(trusted(each, OURS), mixed=mixed) for _, each in some.groupby("domain")]
        for mixed in (False, True)
    }
    plain, mixture = (float(np.nanmean(shares[mixed])) for mixed in (False, True))
    return [
        Bar(
            f"{RECOVERED:.0%} of the gap to the oracle recovered by the error that it expects, also with shifts",
            plain >= RECOVERED and mixture >= RECOVERED,
            f"{plain:.0%} and {mixture:.0%}",
        )
    ]


def families(results: Frame) -> list[str]:
    """The contenders in these results, ours first and then as they are declared."""
    order = [*contenders.CONTENDERS]
    present = results.contender.unique().tolist()
    return sorted(present, key=lambda name: (order.index(name) if name in order else len(order), name))
