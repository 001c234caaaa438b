"""Figures render without a screen, name what they show with its unit, and show what they were given."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.text import Text

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan
from foreworld.data.schema import Schema, Variable
from foreworld.evidence.evaluation import Evaluation
from foreworld.evidence.plots import calibration_plot, crps_by_horizon, fan_chart, learning_curves, png
from foreworld.reasoning.imagination import Imagination

from ..simulated import verdict

TARGETS = (
    Variable(name="glucose", role="observation", unit="mg/dL", target=True),
    Variable(name="alarm", role="observation", kind="binary", target=True),
    Variable(name="state", role="observation", kind="categorical", categories=("low", "in range", "high"), target=True),
)
ACTIONS = (
    Variable(name="insulin", role="action", unit="U"),
    Variable(name="mode", role="action", kind="categorical", categories=("off", "on")),
)


def imagination(targets: int, *, dose: float, datetimes: bool = False, rows: int = 20) -> Imagination:
    rng = np.random.default_rng(0)
    schema = Schema(
        id="patient",
        time="minute",
        time_kind="datetime" if datetimes else "number",
        time_unit="" if datetimes else "min",
        variables=(*TARGETS[:targets], *ACTIONS),
    )
    columns = [rng.normal(120, 20, rows), rng.integers(0, 2, rows), rng.integers(0, 3, rows)]
    observations = np.stack(columns[:targets], axis=1).astype(float)
    observations[rows // 6 : rows // 5, 0] = np.nan
    history = Episode(
        id="p",
        time=np.arange(rows) * (300.0 if datetimes else 5.0),
        observations=observations,
        actions=rng.integers(0, 2, (rows - 1, 2)).astype(float),
        static=np.empty(0),
        known_future=np.empty((rows, 0)),
        pending=np.full(2, np.nan),
    )
    time = history.time[-1] + np.arange(1, 9)[None] * (300.0 if datetimes else 5.0)
    actions = np.zeros((1, 8, 2))
    actions[0, 2, 0] = dose
    draws = [
        rng.normal(120 - 20 * dose, 10, (50, 1, 8)),
        rng.integers(0, 2, (50, 1, 8)),
        rng.integers(0, 3, (50, 1, 8)),
    ]
    return Imagination(
        samples=np.stack(draws[:targets], axis=-1).astype(np.float32),
        verdict=verdict(np.arange(8)[None] < 6),
        histories=Episodes(schema, (history,)),
        plan=Plan(time, actions, np.empty((1, 8, 0))),
    )


def evaluation(targets: int, forecasters: int) -> Evaluation:
    rng = np.random.default_rng(0)
    shape = (forecasters, 40, 8, targets)
    pit = rng.random(shape)
    pit[:, :5] = np.nan
    return Evaluation(
        forecasters=tuple(f"model {index}" for index in range(forecasters)),
        schema=imagination(targets, dose=0.0).histories.schema,
        backend="pyarrow",
        lead=np.arange(1, 9) * 5.0,
        group=tuple(f"p{index % 6}" for index in range(40)),
        crps=rng.random(shape),
        error=rng.normal(size=shape),
        pit=pit,
        covered=(rng.random((3, *shape)) < 0.9).astype(float),
        width=rng.random((3, *shape)),
    )


def words(figure: Figure) -> str:
    """All text of a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))


def points(line: Line2D) -> np.ndarray:
    """Where a line goes: [point, 2]."""
    return np.asarray(line.get_xydata())


def render(figure: Figure, tmp_path) -> np.ndarray:
    path = tmp_path / "figure.png"
    path.write_bytes(png(figure, dpi=50))
    pixels = imread(path)
    assert pixels.std() > 0.02, "the picture is blank"
    return pixels


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("datetimes", [False, True])
def test_fan_chart_of_two_plans(targets, datetimes, tmp_path):
    futures = {f"do({dose:g} U)": imagination(targets, dose=dose, datetimes=datetimes) for dose in (0.0, 2.0)}
    truth = {"do(2 U)": np.ones((3, 8, targets))}
    figure = fan_chart(futures, truth=truth, past=12, title="Patient p")
    render(figure, tmp_path)
    text = words(figure)
    named = [
        "glucose (mg/dL)",
        "insulin\n(U)",
        "mode",
        "do(0 U)",
        "do(2 U)",
        "what happened",
        "not supported",
        "Patient p",
    ]
    named += ["time from now (h)" if datetimes else "time from now (min)"]
    named += ["P(alarm)", "P(state)", "in range"] if targets == 3 else []
    assert all(name in text for name in named)
    assert len(figure.axes) == targets + 2


def test_fan_chart_of_one_future_from_a_single_row(tmp_path):
    figure = fan_chart(imagination(1, dose=1.0, rows=1))
    render(figure, tmp_path)
    assert "median" in words(figure) and "what happened" not in words(figure)


def test_the_fan_is_where_the_samples_are():
    future = imagination(1, dose=2.0)
    line = next(line for line in map(points, fan_chart(future).axes[0].lines) if len(line) == 9)
    np.testing.assert_allclose(line[1:, 1], np.median(future.samples[:, 0, :, 0], axis=0))
    np.testing.assert_allclose(line[:, 0], np.arange(9) * 5.0)


@pytest.mark.parametrize("targets", [1, 3])
def test_scores_of_one_and_of_several_targets(targets, tmp_path):
    found = evaluation(targets, 3)
    figure = crps_by_horizon(found)
    render(figure, tmp_path)
    assert "CRPS (mg/dL)" in words(figure) and "time ahead (min)" in words(figure) and "model 2" in words(figure)
    drawn = points(figure.axes[0].lines[1])
    np.testing.assert_allclose(drawn[:, 1], found.by_step("crps").mean[1, :, 0])


@pytest.mark.parametrize("forecasters", [1, 3])
def test_calibration_of_uniform_pits_is_the_diagonal(forecasters, tmp_path):
    found = evaluation(2, forecasters)
    figure = calibration_plot(found, target="alarm", steps=(1, 8))
    render(figure, tmp_path)
    assert all(name in words(figure) for name in ("Calibration of alarm", "5 min", "40 min", "all steps", "model 0"))
    curve = next(points(line) for line in figure.axes[0].lines if line.get_label() == "all steps")
    np.testing.assert_allclose(curve[:, 1], curve[:, 0], atol=0.08)


def test_learning_curves_show_what_was_logged_and_nothing_else(tmp_path):
    rows = [
        {"step": step, "loss": 2.0 / step, "prediction": 1.0 / step, "seconds": 0.1 * step} for step in range(1, 40)
    ]
    rows[9] |= {"rank": 3.0, "std_min": 0.1, "std_mean": 0.9, "learning_rate": 1e-3}
    rows[19] |= {"rank": 5.0, "std_min": float("nan"), "std_mean": 1.0}
    figure = learning_curves(rows)
    render(figure, tmp_path)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert titles == ["loss", "effective rank", "spread of latent dimensions", "learning rate"]
    np.testing.assert_array_equal(points(figure.axes[1].lines[0])[:, 0], [10, 20])
    with pytest.raises(ValueError, match="no metrics"):
        learning_curves([{"step": 1}])


def test_the_same_figure_is_the_same_file():
    future = imagination(1, dose=1.0)
    assert png(fan_chart(future)) == png(fan_chart(replace(future)))


def test_no_screen_and_no_global_state_is_needed_and_a_missing_matplotlib_is_named():
    code = (
        "import sys; from foreworld.evidence import plots; assert 'matplotlib.pyplot' not in sys.modules\n"
        "ours = [name for name in sys.modules if name.startswith(('foreworld', 'matplotlib'))]\n"
        "for name in ours: del sys.modules[name]\n"
        "sys.modules['matplotlib'] = None\n"
        "import foreworld.evidence.plots"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "MissingExtraError: plots needs an optional part: pip install 'foreworld[plot]'" in run.stderr
