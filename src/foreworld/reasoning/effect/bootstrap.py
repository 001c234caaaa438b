"""Intervals of effects: a bootstrap of networks and episodes.

Whole episodes are drawn anew (the asked ones with the recorded ones where they are the same), and every regression on
what history leaves unexplained is repeated. Networks are drawn anew for what the correction leaves open: how effects
differ between histories, and between the plans and what was recorded.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from foreworld.data.episodes import Episodes
from foreworld.reasoning.effect.answer import LEVELS
from foreworld.reasoning.effect.evidence import Evidence
from foreworld.reasoning.effect.record import Record

RESAMPLES = 1000
CHUNK = 32  # Histories whose intervals are formed at once.


@dataclass(frozen=True)
class Draws:
    """Estimates and quantiles of their resamples."""

    effect: Float[np.ndarray, "episode step unit"]
    levels: Float[np.ndarray, "level episode step unit"]
    average: Float[np.ndarray, "step unit"]
    average_levels: Float[np.ndarray, "level step unit"]


@dataclass(frozen=True)
class Bootstrap:
    """What is drawn anew.

    Attributes:
        asked: shares of the histories.
        networks: shares of the networks, less 1 / M each, and widened as few draws of few are too narrow.
        error: the correction of a unit of each action; no lags if there is none.
        errors: the same from recorded episodes drawn anew.
        stretch: what the quantiles of few episodes fall short of Student's.
    """

    asked: Float[np.ndarray, "resample episode"]
    networks: Float[np.ndarray, "resample network"]
    error: Float[np.ndarray, "1 lag column unit"]
    errors: Float[np.ndarray, "resample lag column unit"]
    stretch: float

    @classmethod
    def draw(cls, histories: Episodes, evidence: Evidence, shape: tuple[int, int, int], *, seed: int) -> "Bootstrap":
        """For so many networks, action columns and units of targets."""
        rng = np.random.default_rng([seed, 7])
        networks, columns, units = shape
        asked = draw_weights(rng, len(histories))
        again = (draw_weights(rng, networks) - 1 / networks) * np.sqrt(networks / max(networks - 1, 1))
        moments, record = evidence.moments, evidence.record
        if moments is None or record is None:
            return cls(asked, again, np.zeros((1, 0, columns, units)), np.zeros((RESAMPLES, 0, columns, units)), 1.0)
        clusters = len(record.ids)
        recorded = draw_weights(rng, clusters)
        if sorted(map(str, record.ids)) == sorted(str(history.id) for history in histories):
            asked = recorded[:, [record.ids.index(history.id) for history in histories]]
        students = stats.t.ppf(0.975, clusters - 1) / stats.norm.ppf(0.975)
        return cls(
            asked=asked,
            networks=again,
            error=moments.errors(np.ones((1, clusters))),
            errors=moments.errors(recorded * clusters),
            stretch=float(students * np.sqrt(clusters / (clusters - 1))),
        )


def resample(
    histories: Episodes,
    gap: Float[np.ndarray, "network episode step unit"],
    apart: Float[np.ndarray, "episode step column"],
    evidence: Evidence,
    *,
    seed: int,
) -> Draws:
    """Correct the model's effects, and bootstrap them over networks and episodes."""
    networks, count, steps, units = gap.shape
    boot = Bootstrap.draw(histories, evidence, (networks, apart.shape[2], units), seed=seed)
    said, unsettled = gap.mean(0), left_open(gap, apart, evidence)
    effects = said + corrections(boot.error, apart, steps)
    average = effects.mean(0)

    around = np.tensordot(boot.asked, said, 1) + np.tensordot(boot.networks, unsettled.mean(1), 1) - average
    around = around + corrections(boot.errors, np.tensordot(boot.asked, apart, 1), steps)
    levels = np.empty((len(LEVELS), *effects.shape))
    for start in range(0, count, CHUNK):
        pick = slice(start, start + CHUNK)
        plans, which = np.unique(apart[pick], axis=0, return_inverse=True)
        moved = np.stack([corrections(boot.errors - boot.error, plan[None], steps) for plan in plans], axis=1)
        away = np.tensordot(boot.networks, unsettled[:, pick], 1) + moved[:, which.reshape(-1)]
        levels[:, pick] = effects[pick] + boot.stretch * np.quantile(away, LEVELS, axis=0)
    return Draws(effects, levels, average, average + boot.stretch * np.quantile(around, LEVELS, axis=0))


def corrections(
    errors: Float[np.ndarray, "any lag column unit"], apart: Float[np.ndarray, "some step column"], steps: int
) -> Float[np.ndarray, "most step unit"]:
    """sum_k d_{h-k} (do_k - versus_k) by step h; zero beyond the lags that are known. One of either serves all."""
    count, lags = max(len(errors), len(apart)), errors.shape[1]
    out = np.zeros((count, steps, errors.shape[3]))
    errors, apart = (np.broadcast_to(part, (count, *part.shape[1:])) for part in (errors, apart))
    for step in range(min(lags, steps)):
        out[:, step] = np.einsum("bkcu,bkc->bu", errors[:, step::-1], apart[:, : step + 1])
    return out


def left_open(
    gap: Float[np.ndarray, "network episode step unit"],
    apart: Float[np.ndarray, "episode step column"],
    evidence: Evidence,
) -> Float[np.ndarray, "network episode step unit"]:
    """What the networks disagree on about these histories and plans, beyond what a correction of each would settle.

    A network whose effects are larger than another's on all that was recorded would be corrected by so much more.
    """
    away, steps = gap - gap.mean(0), gap.shape[2]
    if evidence.moments is None or evidence.record is None:
        return away
    lags = evidence.moments.lags
    taught = _taught(evidence.record, lags)
    settled = np.stack([corrections(part[None], apart, steps) for part in taught - taught.mean(0)])
    return np.where(np.arange(steps)[:, None] < lags, away - settled, away)


def draw_weights(rng: np.random.Generator, count: int) -> Float[np.ndarray, "resample drawn"]:
    """How often each is drawn, as shares."""
    return rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count


def _taught(record: Record, lags: int) -> Float[np.ndarray, "network lag column unit"]:
    """The effect of a unit of each action by network, on average over what was recorded: what a correction replaces."""
    given = (record.columns - record.rest)[record.acted]
    said = record.unsettled[:, record.acted][:, :, :lags]
    size = np.trace(given.T @ given)
    inverse = np.linalg.inv(given.T @ given + (1e-9 * size + 1e-12) * np.eye(given.shape[1]))
    return np.einsum("kc,nc,mnlu->mlku", inverse, given, said)
