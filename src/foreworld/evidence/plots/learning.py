"""Learning curves: what was minimised, and whether the beliefs collapsed while it was."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foreworld.evidence.plots import style

# Panels in order: title, and the known keys that belong together. Any other number gets a panel of its own.
PANELS = (
    ("loss", ("loss", "prediction", "grounding", "regulariser", "validation")),
    ("effective rank", ("rank",)),
    ("spread of latent dimensions", ("std_min", "std_mean")),
    ("action sensitivity", ("action_sensitivity",)),
    ("probe R²", ("probe_r2",)),
)
LABELS = {"std_min": "least of them", "std_mean": "mean"}


def learning_curves(rows: Sequence[Mapping[str, float | int]]) -> Figure:
    """Loss terms, and the diagnostics that show a collapse, by training step; a panel for each that was logged.

    Args:
        rows: the log, each row with `step` and any of the keys in PANELS; not every row needs every key.
    """
    found = dict.fromkeys(key for row in rows for key in row if key not in ("step", "seconds"))
    panels = [(title, [key for key in keys if key in found]) for title, keys in PANELS]
    known = {key for _, keys in PANELS for key in keys}
    panels = [panel for panel in panels if panel[1]] + [
        (key.replace("_", " "), [key]) for key in found if key not in known
    ]
    if not panels:
        raise ValueError("the log has no metrics to plot")
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    figure = style.new_figure(2.8 * lines, width=3.4 * columns)
    axes = figure.subplots(lines, columns, squeeze=False).reshape(-1)
    for panel, (title, keys) in zip(axes, panels, strict=False):
        _draw(panel, title, keys, rows)
    for panel in axes[len(panels) :]:
        panel.set_visible(False)
    return figure


def _draw(axes: Axes, title: str, keys: list[str], rows: Sequence[Mapping[str, float | int]]) -> None:
    lowest = np.inf
    for order, key in enumerate(keys):
        points = np.array([(row["step"], row[key]) for row in rows if key in row], dtype=float)
        label = LABELS.get(key, key.replace("_", " "))
        marker = "o" if len(points) < 30 else ""
        colour, line = style.colour(order), style.line(order)
        axes.plot(*points.T, color=colour, linestyle=line, marker=marker, markersize=3, linewidth=1.6, label=label)
        lowest = min(lowest, np.nanmin(points[:, 1], initial=np.inf))
    if title == "loss" and lowest > 0:
        axes.set_yscale("log")
    style.dress(axes, x="step", title=title)
    if title != "loss" and lowest >= 0:
        axes.set_ylim(bottom=0)
    if len(keys) > 1:
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.26)}
        axes.legend(
            **place, ncols=min(len(keys), 3), frameon=False, fontsize=8.5, labelcolor=style.INK, columnspacing=1.0
        )
