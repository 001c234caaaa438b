"""Fan charts: what was, what may come under one plan or under several, and what is done meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from foreworld.data.episodes import Episode
from foreworld.data.schema import Schema, Variable
from foreworld.evidence.metrics import interval
from foreworld.evidence.plots import style
from foreworld.reasoning.imagination import Imagination

TARGET_HEIGHT, ACTION_HEIGHT = 3.0, 0.75  # inches


def fan_chart(
    futures: Imagination | Mapping[str, Imagination],
    *,
    episode: int = 0,
    truth: Mapping[str, Float[np.ndarray, "branch step target"]] | None = None,
    past: int | None = None,
    title: str = "",
) -> Figure:
    """History, and median with 50, 80 and 90% bands of each future; below it the actions.

    Binary and categorical targets are shown as probabilities. Where all plans agree on an action it is drawn once.
    Steps that training does not support are hatched.

    Args:
        futures: one, or several by name, such as `do(insulin)` and `do(nothing)`, of the same history.
        episode: which of the histories.
        truth: what did happen, by the names of `futures` ("" if there is only one), in native units; a line a branch.
        past: rows of history to show; by default twice as many as steps ahead.
        title: above the chart.
    """
    named = dict(futures) if isinstance(futures, Mapping) else {"": futures}
    if not named:
        raise ValueError("a fan chart needs at least one future")
    scene = _Scene.of(named, truth or {}, episode, past)
    schema = scene.schema
    heights = [TARGET_HEIGHT] * len(schema.targets) + [ACTION_HEIGHT] * len(schema.actions)
    figure = style.new_figure(sum(heights) + 1.0)
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for index, variable in enumerate(schema.targets):
        _draw_target(axes[index], variable, index, scene)
    for index, variable in enumerate(schema.actions):
        _draw_action(axes[len(schema.targets) + index], variable, index, scene)
    unit = style.time_scale(schema)[1]
    axes[-1].set_xlabel(f"time from now ({unit})" if unit else "time from now", color=style.INK, fontsize=11)
    figure.legend(
        handles=_handles(scene), loc="outside lower center", ncols=3, frameon=False, fontsize=10, labelcolor=style.INK
    )
    if title:
        figure.suptitle(title, color=style.INK, fontsize=13, x=0.01, ha="left")
    figure.align_ylabels(axes)
    return figure


@dataclass(frozen=True)
class _Scene:
    """What is drawn, with times from now in the unit shown."""

    futures: dict[str, Imagination]
    truth: Mapping[str, np.ndarray]
    schema: Schema
    history: Episode
    episode: int
    begin: int
    before: Float[np.ndarray, " row"]
    ahead: Float[np.ndarray, " step"]

    @classmethod
    def of(
        cls, futures: dict[str, Imagination], truth: Mapping[str, np.ndarray], episode: int, past: int | None
    ) -> "_Scene":
        first = next(iter(futures.values()))
        history, schema = first.histories[episode], first.histories.schema
        rows = 2 * first.plan.horizon if past is None else past
        begin = max(len(history.time) - 1 - rows, 0)
        now, scale = history.time[-1], style.time_scale(schema)[0]
        before, ahead = (history.time[begin:] - now) / scale, (first.plan.time[episode] - now) / scale
        return cls(futures, truth, schema, history, episode, begin, before, ahead)


def _draw_target(axes: Axes, variable: Variable, index: int, scene: _Scene) -> None:
    seen = scene.history.observations[scene.begin :, scene.schema.target_indices[index]]
    continuous = variable.kind == "continuous"
    if variable.kind != "categorical":
        axes.plot(scene.before, seen, color=style.INK, linewidth=1.8, marker="" if len(seen) > 1 else "o")
    for order, (name, future) in enumerate(scene.futures.items()):
        samples = future.samples[:, scene.episode, :, index].astype(np.float64)
        draw = _draw_fan if continuous else _draw_probability
        draw(axes, variable, np.nan if not continuous else float(seen[-1]), samples, order, scene)
        for branch in scene.truth.get(name, ()):
            axes.plot(scene.ahead, branch[:, index], color=style.dark(order), linewidth=1.1, linestyle=(0, (1, 1)))
        _draw_support(axes, future.supported[scene.episode], scene)
    axes.axvline(0.0, color=style.FAINT, linewidth=1.0, linestyle=":")
    style.dress(axes, y=style.with_unit(variable) if continuous else f"P({variable.name})")


def _draw_fan(
    axes: Axes, variable: Variable, last: float, samples: Float[np.ndarray, "member step"], order: int, scene: _Scene
) -> None:
    """Bands and median, which begin at the last value if that was observed."""
    time = np.concatenate([[0.0], scene.ahead])
    colour = style.colour(order)
    for level, opacity in style.BANDS.items():
        low, high = (np.concatenate([[last], end]) for end in interval(samples, level))
        axes.fill_between(time, low, high, color=colour, alpha=opacity, linewidth=0)
    median = np.concatenate([[last], np.median(samples, axis=0)])
    axes.plot(time, median, color=colour, linewidth=2.0, linestyle=style.line(order))


def _draw_probability(
    axes: Axes, variable: Variable, last: float, samples: Float[np.ndarray, "member step"], order: int, scene: _Scene
) -> None:
    """Share of the samples in each category; of a binary target, in 1."""
    codes = [1] if variable.kind == "binary" else list(range(len(variable.categories)))
    for place, code in enumerate(codes):
        share = (samples == code).mean(axis=0)
        axes.plot(scene.ahead, share, color=style.colour(order), linewidth=2.0, linestyle=style.line(order + place))
        if variable.kind == "categorical":
            axes.annotate(variable.categories[code], (scene.ahead[-1], share[-1]), fontsize=9, color=style.INK)
    axes.set_ylim(-0.03, 1.03)


def _draw_support(axes: Axes, supported: np.ndarray, scene: _Scene) -> None:
    """Hatch the steps that training does not support."""
    if not supported.all():
        edges = np.concatenate([[0.0], scene.ahead])
        for start, end in zip(edges[:-1][~supported], edges[1:][~supported], strict=True):
            axes.axvspan(start, end, facecolor="none", edgecolor="#CCCCCC", hatch="///", linewidth=0)


def _draw_action(axes: Axes, variable: Variable, index: int, scene: _Scene) -> None:
    """One lane: each value holds from its own time to the next."""
    done = scene.history.actions[scene.begin :, index]
    if len(done):
        axes.stairs(done, scene.before, color=style.FAINT, fill=True, linewidth=0.8, edgecolor=style.FAINT)
    plans = [future.plan.actions[scene.episode, :, index] for future in scene.futures.values()]
    edges = np.concatenate([[0.0], scene.ahead])
    if len(plans) > 1 and all(np.array_equal(plan, plans[0], equal_nan=True) for plan in plans):
        axes.stairs(plans[0], edges, color=style.INK, fill=True)
    else:
        for order, plan in enumerate(plans):
            axes.stairs(plan, edges, color=style.colour(order), fill=True, alpha=0.35)
            axes.stairs(plan, edges, color=style.colour(order), linewidth=1.5, linestyle=style.line(order))
    axes.axvline(0.0, color=style.FAINT, linewidth=1.0, linestyle=":")
    style.dress(axes, y=f"{variable.name}\n({variable.unit})" if variable.unit else variable.name)
    axes.yaxis.label.set(rotation=0, ha="right", va="center", fontsize=10)
    axes.locator_params(axis="y", nbins=2)
    if variable.kind == "categorical":
        axes.set_yticks(range(len(variable.categories)), variable.categories)


def _handles(scene: _Scene) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [Line2D([], [], color=style.INK, linewidth=1.8, label="observed")]
    for order, name in enumerate(scene.futures):
        colour, line = style.colour(order), style.line(order)
        handles.append(Line2D([], [], color=colour, linewidth=2.0, linestyle=line, label=name or "median"))
    handles.append(Patch(color=style.FAINT, alpha=0.4, linewidth=0, label="50, 80, 90% bands"))
    if scene.truth:
        handles.append(Line2D([], [], color=style.INK, linewidth=1.1, linestyle=(0, (1, 1)), label="what happened"))
    if not all(future.supported[scene.episode].all() for future in scene.futures.values()):
        handles.append(Patch(facecolor="none", edgecolor="#BBBBBB", hatch="///", linewidth=0, label="not supported"))
    return handles
