"""Figures, drawn with matplotlib's objects alone: no window, no global state. All return a `matplotlib.figure.Figure`.

Raises:
    MissingExtraError: on import, if matplotlib is not installed.
"""

from importlib.util import find_spec

from foreworld.errors import MissingExtraError

if find_spec("matplotlib") is None:
    raise MissingExtraError("plots", "plot")

from foreworld.evidence.plots.fan import fan_chart
from foreworld.evidence.plots.learning import learning_curves
from foreworld.evidence.plots.scores import calibration_plot, crps_by_horizon
from foreworld.evidence.plots.style import png
from foreworld.evidence.plots.surprises import surprise_chart

__all__ = ["calibration_plot", "crps_by_horizon", "fan_chart", "learning_curves", "png", "surprise_chart"]
