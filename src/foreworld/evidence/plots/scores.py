"""Figures of an evaluation: who forecasts better, how far ahead, and whose probabilities can be taken at their word."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foreworld.evidence.evaluation import Evaluation
from foreworld.evidence.metrics import bootstrap_mean, within
from foreworld.evidence.plots import style

NOMINAL = np.linspace(0.02, 0.98, 49)
BINS = 20


def crps_by_horizon(evaluation: Evaluation) -> Figure:
    """Mean CRPS of every forecaster by time ahead, with 90% intervals over episodes; a panel a target."""
    targets = evaluation.schema.targets
    columns = min(len(targets), 2)
    lines = -(-len(targets) // columns)
    figure = style.new_figure(3.6 * lines, width=6.4 if columns == 1 else 10.0)
    panels = figure.subplots(lines, columns, squeeze=False).reshape(-1)
    scale, unit = style.time_scale(evaluation.schema)
    lead = evaluation.lead / scale
    score = evaluation.by_step("crps")
    for target, axes in enumerate(panels[: len(targets)]):
        for order, name in enumerate(evaluation.forecasters):
            mean, low, high = (part[order, :, target] for part in score)
            axes.fill_between(lead, low, high, color=style.colour(order), alpha=0.16, linewidth=0)
            axes.plot(lead, mean, color=style.colour(order), linestyle=style.line(order), linewidth=2.0, label=name)
        own = targets[target].unit
        style.dress(
            axes,
            x=f"time ahead ({unit})" if unit else "time ahead",
            y=f"CRPS ({own})" if own else "CRPS",
            title=targets[target].name,
        )
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.legend(frameon=False, fontsize=10, labelcolor=style.INK)
    for axes in panels[len(targets) :]:
        axes.set_visible(False)
    return figure


def calibration_plot(evaluation: Evaluation, target: str | None = None, steps: Sequence[int] | None = None) -> Figure:
    """Nominal against observed coverage of central intervals, and below it the PIT histogram; a column a forecaster.

    Args:
        evaluation: of any number of forecasters.
        target: its name; by default the first.
        steps: steps ahead, from 1, with a line each; by default three. The black line with its 90% band is all steps.
    """
    names = [variable.name for variable in evaluation.schema.targets]
    index = 0 if target is None else names.index(target)
    chosen = list(steps or np.unique(np.linspace(0, evaluation.steps, 4)[1:].round().astype(int)).tolist())
    count = len(evaluation.forecasters)
    figure = style.new_figure(5.4, width=max(3.1 * count, 4.2))
    panels = figure.subplots(2, count, squeeze=False, sharey="row", height_ratios=(1.6, 1.0))
    for order, name in enumerate(evaluation.forecasters):
        pit = evaluation.pit[order, :, :, index]
        _draw_coverage(panels[0, order], evaluation, pit, chosen)
        _draw_histogram(panels[1, order], pit, order)
        style.dress(panels[0, order], x="nominal coverage", title=name)
        style.dress(panels[1, order], x="place of the truth among samples")
    panels[0, 0].set_ylabel("observed coverage", color=style.INK, fontsize=11)
    panels[1, 0].set_ylabel("density", color=style.INK, fontsize=11)
    panels[0, 0].legend(frameon=False, fontsize=9, labelcolor=style.INK, loc="upper left")
    figure.suptitle(f"Calibration of {names[index]}", color=style.INK, fontsize=13, x=0.01, ha="left")
    return figure


def _draw_coverage(axes: Axes, evaluation: Evaluation, pit: np.ndarray, steps: Sequence[int]) -> None:
    """A central interval of level q holds the truth where its PIT is within q / 2 of one half."""
    inside = np.stack([within(pit, level) for level in NOMINAL], axis=-1)
    axes.plot([0, 1], [0, 1], color=style.FAINT, linewidth=1.0, linestyle=":")
    cases = inside.reshape(-1, len(NOMINAL))
    groups = [group for group in map(str, evaluation.group) for _ in range(evaluation.steps)]
    mean, low, high = bootstrap_mean(cases, groups, draws=500)
    axes.fill_between(NOMINAL, low, high, color=style.INK, alpha=0.15, linewidth=0)
    axes.plot(NOMINAL, mean, color=style.INK, linewidth=2.0, label="all steps")
    for order, step in enumerate(steps):
        mean = bootstrap_mean(inside[:, step - 1], evaluation.group, draws=1).mean
        colour, line = style.colour(order), style.line(order + 1)
        axes.plot(NOMINAL, mean, color=colour, linestyle=line, linewidth=1.5, label=evaluation.label(step))
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")


def _draw_histogram(axes: Axes, pit: np.ndarray, order: int) -> None:
    density, edges = np.histogram(pit[np.isfinite(pit)], bins=BINS, range=(0, 1), density=True)
    axes.stairs(density, edges, fill=True, color=style.colour(order), alpha=0.55)
    axes.axhline(1.0, color=style.INK, linewidth=1.0, linestyle=":")
    axes.set_xlim(0, 1)
