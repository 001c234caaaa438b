"""Expected against seen along one trajectory, with the alarms that were raised."""

import numpy as np
from matplotlib.figure import Figure

from foreworld.evidence.plots import style
from foreworld.reasoning.surprise.answer import Surprise
from foreworld.reasoning.surprise.expect import unit_columns

MOST = 6  # Channels drawn: those with alarms first, then in the order of their smallest p.
HEIGHT = 1.6  # inches


def surprise_chart(answer: Surprise, *, episode: int = 0) -> Figure:
    """The 90% interval, what was seen, and a line at each alarm, for the channels that say most; p of the belief below.

    Args:
        answer: what was found.
        episode: which trajectory.
    """
    schema, trajectory = answer.data.schema, answer.data[episode]
    steps = slice(int(answer.starts[episode]), int(answer.starts[episode]) + trajectory.steps)
    scale, unit = style.time_scale(schema)
    time = (trajectory.time[1:] - trajectory.time[0]) / scale
    p, raised, named = answer.p[steps], answer.raised[steps], answer.named[steps]
    channels, columns = answer.channels, unit_columns(answer.channels)
    alarms = np.array([(raised & (named == index)).sum() for index in range(len(channels))])
    smallest = np.nanmin(np.where(np.isfinite(p), p, 1.0), axis=0)[:-2]
    chosen = sorted(np.lexsort([smallest, -alarms])[:MOST].tolist())
    figure = style.new_figure(HEIGHT * (len(chosen) + 1) + 0.5)
    axes = figure.subplots(len(chosen) + 1, 1, sharex=True, squeeze=False)[:, 0]
    for place, index in zip(axes, chosen, strict=False):
        channel, span = channels[index], columns[index]
        seen = trajectory.observations[1:, index]
        if channel.kind == "continuous":
            low, high = (part[steps, span.start] for part in (answer.low, answer.high))
            place.fill_between(time, low, high, color=style.colour(0), alpha=0.25, linewidth=0)
        elif channel.kind == "binary":
            place.plot(time, answer.expected[steps, span.start], color=style.colour(0), linewidth=1.2)
        place.plot(time, seen, color=style.INK, linewidth=1.2)
        for at in time[raised & (named == index)]:
            place.axvline(at, color=style.colour(1), linewidth=1.5, alpha=0.7)
        style.dress(place, y=style.with_unit(channel))
    axes[-1].plot(time, -np.log10(p[:, -2]), color=style.INK, linewidth=1.0)
    for at in time[raised & (named >= len(channels))]:
        axes[-1].axvline(at, color=style.colour(1), linewidth=1.5, alpha=0.7)
    label = f"time from the first row ({unit})" if unit else "time from the first row"
    style.dress(axes[-1], y="belief\n-log10 p", x=label)
    figure.suptitle(
        f"{trajectory.id}: 90% expected (blue), seen (black), alarms (orange)", color=style.INK, fontsize=12
    )
    figure.align_ylabels(axes)
    return figure
