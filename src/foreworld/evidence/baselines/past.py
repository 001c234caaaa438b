"""The last rows of many histories side by side."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.last_seen import last_seen
from foreworld.evidence.baselines.codes import encode

RECENT = 96


def anchors(histories: Episodes) -> Float[np.ndarray, "episode code"]:
    """The last value seen of every target, encoded; NaN where none was."""
    targets = list(histories.schema.target_indices)
    values = [last_seen(episode.observations[:, targets])[0][-1] for episode in histories]
    return encode(np.stack(values), histories.schema.targets)


@dataclass(frozen=True)
class Past:
    """The last L rows of N histories, latest first. Rows before the first are NaN, and not `there`.

    Attributes:
        observations: the last value seen up to each row.
        seen: 1 where it was seen in that very row, and in rows that are not there; else 0.
        actions: the action that led to each row.
        known: known-future variables of each row.
        elapsed: time from each row to the present.
        there: 1 where the row exists, else 0.
        ages: time since each observation was last seen.
        means: of observations and of actions over the last RECENT rows.
        static: static facts.
        now: time of the last row.
    """

    observations: Float[np.ndarray, "episode lag observation"]
    seen: Float[np.ndarray, "episode lag observation"]
    actions: Float[np.ndarray, "episode lag action"]
    known: Float[np.ndarray, "episode lag known"]
    elapsed: Float[np.ndarray, "episode lag"]
    there: Float[np.ndarray, "episode lag"]
    ages: Float[np.ndarray, "episode observation"]
    means: Float[np.ndarray, "episode mean"]
    static: Float[np.ndarray, "episode static"]
    now: Float[np.ndarray, " episode"]

    @classmethod
    def of(cls, histories: Episodes, lags: int) -> "Past":
        """Gather the last `lags` rows of every history."""
        parts = zip(*(_past(episode, lags) for episode in histories), strict=True)
        return cls(*(np.stack(part) for part in parts))


def _past(episode: Episode, lags: int) -> tuple[np.ndarray, ...]:
    """The attributes of `Past` for one history, in order."""
    filled, rows = last_seen(episode.observations)
    now = episode.time[-1]
    return (
        _latest(filled, lags, np.nan),
        _latest(np.isfinite(episode.observations), lags, 1.0),
        _latest(episode.actions, lags, np.nan),
        _latest(episode.known_future, lags, np.nan),
        _latest(now - episode.time, lags, np.nan),
        _latest(np.ones(len(episode.time)), lags, 0.0),
        np.where(rows[-1] >= 0, now - episode.time[rows[-1]], np.nan),
        np.concatenate([_mean(episode.observations[-RECENT:]), _mean(episode.actions[-RECENT:])]),
        episode.static,
        np.asarray(now),
    )


def _latest(values: np.ndarray, lags: int, fill: float) -> np.ndarray:
    result = np.full((lags, *values.shape[1:]), fill)
    kept = values[::-1][:lags]
    result[: len(kept)] = kept
    return result


def _mean(values: Float[np.ndarray, "row variable"]) -> Float[np.ndarray, " variable"]:
    seen = np.isfinite(values)
    count = seen.sum(axis=0)
    return np.where(count > 0, np.where(seen, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
