"""The report of the bet: what was asked, who won where, and where the world model loses."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from foreworld.evidence.bet import contenders, figures, scoreboard
from foreworld.evidence.bet.bars import Bar, bars, families
from foreworld.evidence.bet.run import plan
from foreworld.evidence.bet.scale import Scale
from foreworld.evidence.bet.scoreboard import OURS, QUESTIONS, Comparison, Frame, rival, tally
from foreworld.evidence.bet.worlds import FAMILIAR
from foreworld.evidence.report import Picture, Report, Section, Table, versions

TITLE = "The bet: does predicting abstract states generalise better, and hallucinate less?"
SIGN = {"win": "better", "tie": "level", "loss": "WORSE"}


def page(results: Frame, scale: Scale, seeds: Sequence[int], made: Mapping[str, str]) -> Report:
    """The report of some results, as `run.run` gives them (as pandas)."""
    failed, there = results[results.question == "failed"], results["hash"].nunique()
    results = results[results.question != "failed"]
    comparisons = scoreboard.board(results)
    found = bars(results, comparisons)
    sections = [
        Section("Bars", [_bars(found)]),
        Section("Scoreboard", _board(comparisons)),
        Section("Where JEPA loses", _losses(comparisons, results)),
        *_questions(results),
        Section("The contenders, and what they cost", [_cost(results)]),
    ]
    if len(failed):
        sections.append(Section("Cells that failed", [_failed(failed)]))
    return Report(
        title=TITLE,
        summary=summary(found, comparisons, scale, seeds, there),
        sections=sections,
        made={**made, "seeds": " ".join(map(str, seeds)), "scale": str(scale.about()), **versions()},
        caveats=CAVEATS,
    )


CAVEATS = (
    "The contenders are small (some fifty thousand parameters) and trained for a few hundred steps, all alike. Nothing "
    "here says how models a thousand times larger compare.",
    "Equal are the parameters, the batches, the number of steps and the search for settings. Compute is not: it is "
    "counted and shown. Transformers over tokens take several times the arithmetic of the others for each step.",
    "A row of tokens holds a limited number of them, and so does the window: in wide tables the token contenders "
    "see fewer rows and, as text, fewer channels. Targets and actions are always there.",
    "Token contenders answer fewer questions; all comparisons are made on the questions that both have answered. "
    "Tokens of text, which cost the most by far, are asked questions 3 to 6 alone.",
    "Ablations take over the learning rate that was chosen for the world model, and are asked only where a domain is "
    "recorded as it usually is. In questions 1 and 2 one network is probed, and nothing is tuned for them.",
    "The gates of the gated generative model are built after the abstract of arXiv 2603.14131; its body was not read.",
    "The best of a family is chosen in each cell after the fact, which favours the family, not the world model.",
    "A linear probe reads whatever a network keeps: 32 numbers in a belief, and as many as its hidden layer in the "
    "state of the recurrent network and of the transformers, which favours these in questions 1 and 2.",
    "Intervals of networks are calibrated on held-out episodes, all by the same method; those of LightGBM are not.",
    "Every network is trained on a share of histories with noise and with gaps. Noisier sensors and missing values are "
    "worlds unheard of for the floors alone.",
)


def summary(
    found: Sequence[Bar], comparisons: Sequence[Comparison], scale: Scale, seeds: Sequence[int], there: int
) -> str:
    """The finding, bars that were missed first.

    Args:
        found, comparisons: what is told.
        scale, seeds: of the run.
        there: cells that were run.
    """
    total = sum(map(len, plan(scale, seeds)))
    missed = [bar for bar in found if not bar.reached]
    words = f"{len(seeds)} seed{'s' * (len(seeds) != 1)}, {len(scale.domains)} domains, {scale.steps} training steps. "
    if there < total:
        words += f"NOT RUN IN FULL: {there:,} of {total:,} cells are there. "
    if missed:
        words += f"{len(missed)} of {len(found)} bars are not met: " + "; ".join(
            f"{bar.words} ({bar.figures})" for bar in missed
        )
        words += ". "
    else:
        words += f"All {len(found)} bars are met. "
    for family in ("next_token", "generative"):
        count = tally(rival(comparisons, family))
        words += (
            f"Against the best {family.replace('_', ' ')} the world model is better in {count['win']}, level in "
            f"{count['tie']} and worse in {count['loss']} cells. "
        )
    return words.strip()


def _bars(found: Sequence[Bar]) -> Table:
    rows = [{"bar": bar.words, "met": "yes" if bar.reached else "NO", "figures": bar.figures} for bar in found]
    return Table(rows, "What was promised, and what came out.")


def _board(comparisons: Sequence[Comparison]) -> list[str | Table | Picture]:
    content: list[str | Table | Picture] = [
        "The world model against the best of each family, cell by cell. Less is better in every row; a difference "
        f"counts where its {scoreboard.LEVEL:.0%} paired bootstrap interval leaves out zero."
    ]
    for family, words in (("next_token", "next token"), ("generative", "generative"), ("floor", "floor or field")):
        against = rival(comparisons, family)
        count = tally(against)
        caption = f"Against the best {words}: {count['win']} better, {count['tie']} level, {count['loss']} worse."
        content.append(Table([_row(one) for one in against], caption))
    return content


def _row(one: Comparison) -> dict[str, str]:
    return {
        "question": QUESTIONS[one.question][2],
        "domain": one.domain,
        "against": one.contender,
        "jepa": f"{one.ours:.3g}",
        "theirs": f"{one.theirs:.3g}",
        "difference": f"{one.difference:+.3g} [{one.low:+.2g}, {one.high:+.2g}]",
        "groups": str(one.groups),
        "jepa is": SIGN[one.outcome],
    }


def _losses(comparisons: Sequence[Comparison], results: Frame) -> list[str | Table | Picture]:
    lost = sorted(
        (one for one in comparisons if one.outcome == "loss"),
        key=lambda one: one.ours / max(abs(one.theirs), 1e-12),
        reverse=True,
    )
    if not lost:
        return ["In no cell is any contender significantly better. With few seeds that says little."]
    by = pd.Series([one.contender for one in lost]).value_counts()
    told = ", ".join(f"{name} in {count}" for name, count in by.items())
    shown = [_row(one) for one in lost]
    return [
        f"In {len(lost)} of {len(comparisons)} comparisons a contender is significantly better: {told}.",
        Table(shown, "Every one of them, the largest ratio first."),
    ]


def _questions(results: Frame) -> list[Section]:
    """A section a question, of those that were asked."""
    asked = set(results.question)
    sections = []
    if "map" in asked:
        sections.append(Section("1 Noise and persistence", [figures.noise_map(results), _frozen(results)]))
    if "identifiability" in asked:
        sections.append(Section("2 Identifiability", [_identified(results)]))
    if "levels" in asked:
        means = _means(results, "levels", "crps", "variant")
        effects = _effects(results)
        tables = [
            Table(means, "CRPS under other plans, by the policy in the training data."),
            Table(effects, "Error of effects: RMS of the error over RMS of the truth; 1 is no effect at all."),
        ]
        sections.append(Section("3 Interventions", tables))
    if "shift" in asked:
        sections.append(Section("4 Shift", [_retention(results), _coverage(results)]))
    if "hallucination" in asked:
        sections.append(Section("5 Hallucination", [figures.hallucination_by_horizon(results), _hallucinated(results)]))
    if "trust" in asked:
        sections.append(Section("6 Selective trust", [figures.risk_coverage(results), _trust(results)]))
    if "cheaper" in asked:
        sections.append(Section("7 Cheaper", [figures.cheaper(results)]))
    return sections


def _means(results: Frame, question: str, metric: str, by: str) -> list[dict[str, str]]:
    rows = results[(results.question == question) & (results.metric == metric) & (results.horizon == 0)]
    return _table(rows.groupby(["contender", "domain", by]).value.mean().unstack([1, 2]), results)


def _table(frame: Frame, results: Frame, form: str = "{:.3g}") -> list[dict[str, str]]:
    frame = frame.reindex([name for name in [*families(results), *frame.index] if name in frame.index])
    frame = frame[~frame.index.duplicated()]
    return [
        {"contender": str(name)}
        | {
            " / ".join(column) if isinstance(column, tuple) else str(column): form.format(value)
            if value == value
            else "-"
            for column, value in row.items()
        }
        for name, row in frame.iterrows()
    ]


def _frozen(results: Frame) -> Table:
    rows = results[(results.question == "map") & results.metric.str.startswith("lost")]
    read = 1 - rows.groupby(["contender", "metric"]).value.agg(["mean", "max"]).unstack()
    read.columns = [
        f"{name.removeprefix('lost, ')}, {'mean' if part == 'mean' else 'least'}" for part, name in read.columns
    ]
    caption = (
        "R2 over the map: from encoded states; from imagined ones; and from imagined ones with a probe that has seen "
        "encoded ones alone (frozen), which only latent prediction trains for. `Least` is over single episodes."
    )
    return Table(_table(read, results, "{:.2f}"), caption)


def _identified(results: Frame) -> Table:
    rows = results[(results.question == "identifiability") & (results.metric == "lost, encoded")]
    read = 1 - rows.groupby(["contender", "setting"]).value.mean().unstack()
    own = results[(results.question == "identifiability") & (results.metric == "orthogonality")]
    told = ", ".join(f"{setting} {value:.2f}" for setting, value in own.groupby("setting").value.mean().items())
    caption = f"R2 of the latents, read linearly. Distance of the isotropic map from an orthogonal one: {told}."
    return Table(_table(read, results, "{:.2f}"), caption)


def _effects(results: Frame) -> list[dict[str, str]]:
    rows = results[results.question == "effects"]
    sums = rows.groupby(["metric", "contender", "domain", "variant"]).value.mean().unstack(0)
    share = np.sqrt(sums["pehe squared"] / sums["true squared"])
    return _table(share.unstack([1, 2]), results, "{:.2f}")


def _retention(results: Frame) -> Table:
    rows = results[(results.question == "shift") & (results.metric == "crps")]
    rows = rows[~rows.setting.str.contains("trained on")]
    means = rows.groupby(["contender", "domain", "setting"]).value.mean().unstack()
    kept = means[[FAMILIAR]].to_numpy() / means.drop(columns=FAMILIAR)
    flat = kept.stack().unstack([1, 2])
    caption = "Retention: error in distribution over error under shift. It does not say how large the error was."
    return Table(_table(flat, results, "{:.2f}"), caption)


def _coverage(results: Frame) -> Table:
    kinds = ["covered 90", "covered 90, supported", "supported"]
    rows = results[(results.question == "shift") & results.metric.isin(kinds)]
    rows = rows[~rows.setting.str.contains("trained on")]
    where = np.where(rows.setting == FAMILIAR, "in distribution", "under shift")
    means = rows.assign(where=where).groupby(["contender", "metric", "where"]).value.mean().unstack([1, 2])
    caption = "Coverage of 90% intervals, and where the support flag vouches; mean over domains."
    return Table(_table(means, results, "{:.2f}"), caption)


def _hallucinated(results: Frame) -> Table:
    rows = results[(results.question == "hallucination") & (results.horizon == 0)]
    rows = rows[~rows.setting.str.contains("trained on")]
    where = np.where(rows.setting == FAMILIAR, "in distribution", "under shift")
    means = rows.assign(where=where).groupby(["contender", "metric", "where", "domain"]).value.mean()
    means = means.groupby(["contender", "metric", "where"]).mean().unstack([1, 2])
    return Table(_table(means, results), "Rates by kind, mean over domains.")


def _trust(results: Frame) -> Table:
    some = results[results.question == "trust"]
    found: dict[str, dict[str, float]] = {}
    for name in families(some):
        for domain, each in some.groupby("domain"):
            cases = scoreboard.trusted(each, name)
            if len(cases):
                found.setdefault(name, {})[f"{domain}, in distribution"] = scoreboard.recovered(cases, mixed=False)
                found[name][f"{domain}, mixed"] = scoreboard.recovered(cases, mixed=True)
    caption = "Share of the AURC gap between no order and the true one."
    return Table(_table(pd.DataFrame(found).T, results, "{:.0%}"), caption)


def _cost(results: Frame) -> Table:
    rows = results[(results.question == "cost") & (results.kind == "world")]
    means = rows.groupby(["contender", "metric"]).value.mean().unstack()
    least = rows[rows.metric == "parameters_share"].groupby("contender").value.agg(["min", "max"])
    table = []
    for name in families(results):
        cost = means.loc[name].dropna() if name in means.index else pd.Series(dtype=float)
        share = least.loc[name] if name in least.index else None
        table.append(
            {
                "contender": name,
                "what it does": contenders.of(name).words,
                "parameters": f"{cost['parameters']:,.0f}" if "parameters" in cost else "-",
                "of jepa's": "-" if share is None else f"{share['min']:.2f} to {share['max']:.2f}",
                "training TFLOP": f"{cost['flops'] / 1e12:.2f}" if "flops" in cost else "-",
                "seconds to train": f"{cost['seconds']:.0f}" if "seconds" in cost else "-",
                "ms a question": f"{1000 * cost['seconds a question']:.1f}" if "seconds a question" in cost else "-",
            }
        )
    return Table(table, f"Mean over domains and seeds; {OURS} is the default. Seconds are those of a shared core.")


def _failed(failed: Frame) -> Table:
    rows = [
        {"contender": row.contender, "domain": row.domain, "piece": row.variant, "why": row.setting}
        for row in failed.itertuples()
    ]
    return Table(rows, "They could not be trained on what they were given, and count for nothing above.")
