"""Wins, ties and losses on made-up results of which the truth is known."""

import numpy as np
import pandas as pd

from foreworld.evidence.bet import scoreboard
from foreworld.evidence.bet.bars import bars
from foreworld.evidence.bet.scoreboard import board, compare, rival, tally


def results(**means: float) -> pd.DataFrame:
    """CRPS of contenders in one domain: cases that are hard for all alike, and some noise of their own."""
    rng = np.random.default_rng(0)
    rows = []
    same = {"domain": "tumour", "variant": "courses", "question": "levels", "setting": "courses"}
    for seed in range(2):
        hard = rng.normal(0, 1, 60)
        for name, mean in means.items():
            name = name.replace("_", " ")
            for case in range(60 if "token" not in name else 20):
                value = mean + hard[case] + 0.1 * rng.normal()
                own = {"contender": name, "seed": seed, "case": case, "group": f"p{case // 4}", "value": value}
                rows.append(same | own | {"metric": "crps", "horizon": 0})
    return pd.DataFrame.from_records(rows)


def test_a_small_difference_is_found_by_pairing_and_noise_is_level() -> None:
    frame = results(jepa=1.0, generative=1.2, persistence=1.0)
    frame.loc[frame.contender == "persistence", "value"] += np.random.default_rng(2).normal(0, 1, 120)
    won, level = (compare(frame, "tumour", "levels", name) for name in ("generative", "persistence"))
    assert won is not None and level is not None
    assert won.outcome == "win" and abs(won.difference + 0.2) < 0.05 and won.groups == 30
    assert level.outcome == "tie"
    lost = compare(results(jepa=1.2, generative=1.0), "tumour", "levels", "generative")
    assert lost is not None and lost.outcome == "loss"


def test_those_who_answer_fewer_cases_are_compared_on_these() -> None:
    found = compare(results(jepa=1.0, next_token=1.0), "tumour", "levels", "next token")
    assert found is not None and found.groups == 10 and abs(found.difference) < 0.1


def test_the_rival_is_the_best_of_its_family() -> None:
    frame = results(jepa=1.0, generative=1.3)
    gated = results(jepa=1.0, generative=0.8)
    frame = pd.concat([frame, gated[gated.contender == "generative"].assign(contender="generative, gated")])
    comparisons = board(frame)
    (one,) = rival(comparisons, "generative")
    assert one.contender == "generative, gated" and one.outcome == "loss"
    assert tally(comparisons) == {"win": 1, "tie": 0, "loss": 1}
    (bar,) = bars(frame, comparisons)
    assert not bar.reached and "worse in 1 of 1" in bar.figures


def test_under_shift_is_not_in_distribution_nor_trained_on_other_policies() -> None:
    frame = pd.DataFrame({"setting": ["in distribution", "late", "late (trained on gamma4)", "missing values"]})
    assert scoreboard.shifted(frame).setting.tolist() == ["late", "missing values"]
