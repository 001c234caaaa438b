"""The pictures of the report."""

import numpy as np
import pandas as pd

from foreworld.evidence.bet.scoreboard import Frame
from foreworld.evidence.plots import style
from foreworld.evidence.report import Picture

SHOWN = ("jepa", "jepa, no grounding", "generative", "generative, gated", "next token", "GRU-Gaussian")


def noise_map(results: Frame, metric: str = "lost, imagined") -> Picture:
    """R2 by amplitude and persistence, one panel a contender."""
    rows = results[(results.question == "map") & (results.metric == metric)]
    read = 1 - rows.groupby(["contender", "setting"]).value.mean()
    names = [name for name in SHOWN if name in read.index.get_level_values(0)]
    places = [_place(setting) for setting in rows.setting.unique()]
    amplitudes, persistences = (sorted({place[axis] for place in places}) for axis in (0, 1))
    figure = style.new_figure(2.6 * -(-len(names) // 3))
    panels = figure.subplots(-(-len(names) // 3), 3, squeeze=False).ravel()
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels, names, strict=False):
        grid = np.full((len(amplitudes), len(persistences)), np.nan)
        for setting, value in read[name].items():
            amplitude, persistence = _place(str(setting))
            grid[amplitudes.index(amplitude), persistences.index(persistence)] = value
        axes.imshow(grid, vmin=0, vmax=1, cmap="cividis", aspect="auto", origin="lower")
        for (row, column), value in np.ndenumerate(grid):
            if np.isfinite(value):
                axes.text(
                    column, row, f"{value:.2f}", ha="center", va="center", color="white" if value < 0.6 else "black"
                )
        axes.set_xticks(range(len(persistences)), [f"{p:g}" for p in persistences])
        axes.set_yticks(range(len(amplitudes)), [f"{a:g}" for a in amplitudes])
        axes.set_title(name, fontsize=10, loc="left", color=style.INK)
        axes.set_xlabel("persistence", fontsize=9)
        axes.set_ylabel("amplitude", fontsize=9)
    caption = "R2 of the true state, read linearly from states imagined eight steps ahead. 1 is all of it."
    return Picture(style.png(figure), caption, "heat maps of R2 by nuisance amplitude and persistence")


def hallucination_by_horizon(results: Frame) -> Picture:
    """Rate by step ahead, in distribution and under shift, mean over domains."""
    rows = results[(results.question == "hallucination") & (results.metric == "rate") & (results.horizon > 0)]
    rows = rows[~rows.setting.str.contains("trained on")]
    figure = style.new_figure(3.4)
    panels = figure.subplots(1, 2, sharey=True)
    familiar = rows.setting == "in distribution"
    titles = ("in distribution", "under shift")
    names = [name for name in (*SHOWN, "next token, text", "ridge-ARX") if name in set(rows.contender)]
    for axes, part, title in zip(panels, (rows[familiar], rows[~familiar]), titles, strict=True):
        order = part.groupby("domain").horizon.rank(method="dense")
        part = part.assign(ahead=order / order.groupby(part.domain).transform("max"))
        for index, name in enumerate(names):
            means = part[part.contender == name].groupby(["domain", "ahead"]).value.mean().groupby("ahead").mean()
            axes.plot(
                means.index,
                means,
                color=style.colour(index),
                linestyle=style.line(index + index // len(style.COLOURS)),
                label=name,
            )
        style.dress(axes, x="share of the horizon", y="rate" if title == titles[0] else "", title=title)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    caption = "Share of forecasts that break an invariant, are confidently wrong or cannot be read; mean over domains."
    return Picture(style.png(figure), caption, "hallucination rate against horizon")


def cheaper(results: Frame) -> Picture:
    """CRPS against shares of trajectories, labels and training steps, as a multiple of ridge-ARX on everything."""
    whole = results[(results.question == "levels") & results.metric.eq("crps")]
    first = whole.groupby("domain").variant.transform("first")
    whole = whole[whole.variant == first]
    less = results[(results.question == "cheaper") & results.metric.eq("crps")]
    base = whole[whole.contender == "ridge-ARX"].groupby("domain").value.mean()
    figure = style.new_figure(3.4)
    panels = figure.subplots(1, 3, sharey=True)
    for axes, axis in zip(panels, ("trajectories", "labels", "steps"), strict=True):
        part = less[less.setting.str.startswith(axis)]
        part = part.assign(share=part.setting.str.split().str[-1].astype(float) if len(part) else [])
        full = whole[whole.domain.isin(part.domain)].assign(share=1.0)
        both = pd.concat([part, full])
        both = both.assign(value=both.value / both.domain.map(base))
        for index, name in enumerate(n for n in (*SHOWN, "ridge-ARX", "LightGBM") if n in set(part.contender)):
            mine = both[both.contender == name].groupby(["domain", "share"]).value.mean().groupby("share").mean()
            axes.plot(
                mine.index,
                mine,
                marker="o",
                color=style.colour(index),
                linestyle=style.line(index + index // len(style.COLOURS)),
                label=name,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        style.dress(axes, x=f"share of {axis}", y="CRPS / ridge-ARX on all" if axis == "trajectories" else "")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    caption = "Error in distribution on less of everything; one is the linear model trained on all. Mean over domains."
    return Picture(style.png(figure), caption, "CRPS against shares of data, labels and compute")


def risk_coverage(results: Frame) -> Picture:
    """Risk of the cases answered, from the surest on, in the mixture with shifts; a multiple of the mean risk."""
    from foreworld.evidence.bet import scoreboard

    some = results[results.question == "trust"]
    figure = style.new_figure(3.2)
    axes = figure.subplots(1, 1)
    for index, name in enumerate(n for n in (*SHOWN, "ridge-ARX") if n in set(some.contender)):
        curves = []
        for _, each in some.groupby("domain"):
            cases = scoreboard.trusted(each, name)
            if len(cases) < 4:
                continue
            ordered = cases["risk"].to_numpy()[np.argsort(cases["expected"].to_numpy(), kind="stable")]
            curve = np.cumsum(ordered) / np.arange(1, len(ordered) + 1) / ordered.mean()
            curves.append(np.interp(np.linspace(0.05, 1, 20), np.linspace(0, 1, len(curve)), curve))
        if curves:
            x = np.linspace(0.05, 1, 20)
            axes.plot(
                x,
                np.mean(curves, 0),
                color=style.colour(index),
                linestyle=style.line(index + index // len(style.COLOURS)),
                label=name,
            )
    style.dress(axes, x="share of cases answered, the surest first", y="risk / mean risk")
    axes.legend(frameon=False, fontsize=9)
    caption = "Risk and coverage, in distribution and shifts together; lower on the left is better. Mean over domains."
    return Picture(style.png(figure), caption, "risk-coverage curves")


def _place(setting: str) -> tuple[float, float]:
    amplitude, persistence = (part.split()[-1] for part in setting.split(","))
    return float(amplitude), float(persistence)
