"""From trajectories to surprises: p-values of every row and channel, and alarms that keep a budget."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.errors import QuestionError
from foreworld.reasoning.support.judge import Support
from foreworld.reasoning.support.overlap import actions_in_range
from foreworld.reasoning.surprise.alarm import Alarms, onset, p_values
from foreworld.reasoning.surprise.answer import Surprise
from foreworld.reasoning.surprise.budget import alarms_a_row
from foreworld.reasoning.surprise.expect import unit_columns
from foreworld.reasoning.surprise.gaps import carry
from foreworld.reasoning.surprise.look import Looks
from foreworld.reasoning.surprise.monitor import Monitor
from foreworld.reasoning.surprise.see import Seen, by_episode
from foreworld.reasoning.surprise.standard import Judged, sides
from foreworld.world.build import belief_network

if TYPE_CHECKING:
    from foreworld.model import WorldModel

HALF_90 = 1.645  # Of a 90% interval, in normal scores.
PLAIN = -np.log(0.01)  # Evidence from which on a channel, and not the belief alone, is named.


def surprise(model: "WorldModel", data: Episodes, budget: float | int | str) -> Surprise:
    """Hold trajectories against what was expected of them; see `WorldModel.surprise`."""
    monitor, encoding = model.monitor, model.encoding
    if monitor is None:
        raise QuestionError("surprise: this model was not fitted to notice any")
    rate = alarms_a_row(budget, model.schema, encoding.scaling.step)
    if rate < monitor.watch.rates[-1]:
        raise QuestionError(
            f"budget: '{budget}' is one false alarm in {1 / rate:.0f} rows; the {monitor.watch.rows} held-out rows of "
            f"this model tell nothing about less than one in {1 / monitor.watch.rates[-1]:.0f}"
        )
    if not any(episode.steps for episode in data):
        raise QuestionError("there is no row with another before it, so nothing to be surprised at")
    data = Episodes(data.schema, tuple(episode for episode in data if episode.steps), data.backend)
    carried, unjudged = carry(data, monitor.complete)
    seen = monitor.see(belief_network(model.network), encoding, carried)
    scores = np.where(unjudged, np.nan, seen.scores)
    judged = monitor.standard.judge(by_episode(scores, seen.table))
    alarms = monitor.watch.run(judged.scores, np.array([monitor.watch.threshold(rate)]))[0]
    there = np.arange(judged.scores.shape[1]) < (seen.table.lengths - 1)[:, None]
    two_sided = sides(model.schema.observations)
    expected = [_expected(monitor, encoding, seen, judged, there, at) for at in (-HALF_90, 0.0, HALF_90)]
    p = np.where(np.isfinite(judged.scores), p_values(judged.scores, two_sided), np.nan)
    return Surprise(
        data=data,
        p=p[there],
        low=expected[0],
        expected=expected[1],
        high=expected[2],
        raised=alarms.raised[there],
        rate=monitor.watch.rate(alarms.level)[there],
        sudden=alarms.sudden[there],
        named=_name(alarms)[there],
        since=_since(alarms, judged.scores, two_sided)[there],
        supported=_supported(model.support, seen.looks, data, encoding),
        budget=str(budget),
        allowed=rate,
        held_out=monitor.watch.counted(rate),
    )


def _name(alarms: Alarms) -> Int[np.ndarray, "episode step"]:
    """The stream that says most: a channel if any of them says something by itself, or else the belief or all."""
    evidence = np.where(alarms.sudden[..., None], alarms.by_row, alarms.gathered)
    channels = evidence[..., :-2]
    return np.where(channels.max(-1) >= PLAIN, channels.argmax(-1), channels.shape[-1] + evidence[..., -2:].argmax(-1))


def _since(
    alarms: Alarms, judged: Float[np.ndarray, "episode step stream"], two_sided: Bool[np.ndarray, " stream"]
) -> Int[np.ndarray, "episode step"]:
    """The step that the change behind each alarm most likely began with; of a sudden one, its own."""
    since = np.tile(np.arange(judged.shape[1]), (len(judged), 1))
    names = _name(alarms)
    for episode, step in np.argwhere(alarms.raised & ~alarms.sudden):
        earlier = np.flatnonzero(alarms.raised[episode, :step])
        begin = earlier[-1] + 1 if len(earlier) else 0
        stream = names[episode, step]
        since[episode, step] = begin + onset(judged[episode, begin : step + 1, stream], bool(two_sided[stream]))
    return since


def _expected(
    monitor: Monitor,
    encoding: Encoding,
    seen: Seen,
    judged: Judged,
    there: Bool[np.ndarray, "episode step"],
    at: float,
) -> Float[np.ndarray, "row unit"]:
    """The value at which a channel would have this normal score, native units; of categories, their chance."""
    out = []
    for index, (variable, columns) in enumerate(
        zip(encoding.schema.observations, unit_columns(encoding.schema.observations), strict=True)
    ):
        if variable.kind != "continuous":
            chance = seen.expected.chances(variable, columns).mean(0)
            out.append(chance if at == 0 else np.full_like(chance, np.nan))
            continue
        score = monitor.standard.score(index, at, judged.centre[there][:, index], judged.width[there][:, index])
        mean, spread = seen.expected.mean[..., columns][..., 0], seen.expected.width[..., columns][..., 0]
        scale = encoding.scaling.variables[variable.name]
        value = (mean + spread * score).mean(0) * scale.scale + scale.centre
        out.append(np.clip(value, variable.low, variable.high)[:, None])
    return np.concatenate(out, axis=1)


def _supported(support: Support, looks: Looks, data: Episodes, encoding: Encoding) -> Bool[np.ndarray, " row"]:
    """Whether the rows before a step, and the action that led to it, lie within what training saw."""
    actions = np.concatenate([episode.actions for episode in data])[None]
    time = np.zeros((1, actions.shape[1]))
    inside = actions_in_range(data, Plan(time, actions, np.zeros((*time.shape, 0))), encoding.scaling)[0]
    return support.known(looks.before) & inside
