"""Episodes as flat arrays of network inputs, so that a batch is one gather."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.increments import increments, increments_width
from foreworld.data.last_seen import last_seen
from foreworld.data.layout import move_columns
from foreworld.data.memory import memories, memory_width, run_memory, run_plan, stack_padded
from foreworld.data.plan import Plan
from foreworld.data.scaling import INCREMENT_LAGS, Encoding


@dataclass(frozen=True)
class Facts:
    """Columns of the continuous static facts among the inputs of encoder and predictor."""

    history: list[int]
    moves: list[int]


@dataclass(frozen=True)
class Table:
    """All rows of all episodes, end to end. Row r of an episode describes time r and the move from r to r + 1.

    Attributes:
        history: what a belief is formed from at each row: observations, the action before and its memory, known and
            static facts, and the time since the row before; see `encode_histories`.
        moves: what drives the next transition: the action and its memory, what is known of the next row, static facts,
            elapsed time. Zero in the last row of an episode.
        elapsed: time to the next row in units of the median step; one in the last row.
        targets: scaled targets, NaN where not observed; categorical targets are indices.
        starts, lengths: where each episode begins, and its rows.
        facts: where the static facts stand.
    """

    history: Float[np.ndarray, "row history"]
    moves: Float[np.ndarray, "row move"]
    elapsed: Float[np.ndarray, " row"]
    targets: Float[np.ndarray, "row target"]
    starts: Int[np.ndarray, " episode"]
    lengths: Int[np.ndarray, " episode"]
    facts: Facts

    def tails(
        self, rows: Int[np.ndarray, " row"], length: int
    ) -> tuple[Float[np.ndarray, "row length history"], Int[np.ndarray, " row"]]:
        """The last rows of the histories that end at some rows of the table, and where among them each of these is."""
        begin = self.starts[np.searchsorted(self.starts, rows, side="right") - 1]
        first = np.maximum(rows - length + 1, begin)
        last = rows - first
        time = np.arange(last.max(initial=0) + 1)
        index = first[:, None] + np.minimum(time, last[:, None])
        return np.where((time <= last[:, None])[..., None], self.history[index], np.float32(0)), last

    def ahead(
        self, rows: Int[np.ndarray, " row"], horizon: int
    ) -> tuple[Float[np.ndarray, "row step move"], Float[np.ndarray, "row step"]]:
        """The moves that follow some rows, and the time that each takes."""
        index = rows[:, None] + np.arange(horizon)
        return self.moves[index], self.elapsed[index]


def history_width(encoding: Encoding) -> int:
    """Inputs of the belief encoder."""
    return encoding.width("observation") + move_width(encoding) + 1 + increments_width(encoding)


def move_width(encoding: Encoding) -> int:
    """Inputs of the predictor besides belief and noise."""
    roles = sum(encoding.width(role) for role in ("action", "static", "known_future"))
    return roles + memory_width(encoding) + 1


def memory_columns(encoding: Encoding) -> slice:
    """Where the memory of the actions stands in a row of history, right after the one that led to it."""
    start = encoding.width("observation") + encoding.width("action")
    return slice(start, start + memory_width(encoding))


def fact_columns(encoding: Encoding) -> Facts:
    """Where the continuous static facts stand."""
    facts = [column for column in move_columns(encoding)[1] if column.variable.role == "static"]
    moves = [column.start for column in facts if column.variable.kind == "continuous"]
    seen = encoding.width("observation")
    return Facts([seen + place for place in moves], moves)


def encode_moves(
    static: Float[np.ndarray, "episode static"],
    actions: Float[np.ndarray, "episode step action"],
    memory: Float[np.ndarray, "episode step sum"],
    known_future: Float[np.ndarray, "episode step known"],
    elapsed: Float[np.ndarray, "episode step"],
    encoding: Encoding,
) -> Float[np.ndarray, "episode step move"]:
    """What happens between two rows: an action and its memory, facts, what is known of the row arrived at, the time."""
    facts = np.repeat(encoding(static, "static")[:, None], actions.shape[1], axis=1)
    gap = np.log(np.maximum(elapsed, 1e-3))[..., None]
    parts = [encoding(actions, "action"), memory, facts, encoding(known_future, "known_future"), gap]
    return np.concatenate(parts, axis=2, dtype=np.float32)


def encode_histories(
    episodes: Sequence[Episode], encoding: Encoding, rows: int | None = None
) -> Float[np.ndarray, "episode row history"]:
    """Inputs of the belief encoder for the last `rows` rows of each episode (all by default), padded at the end.

    A row holds what is seen in it, and the move that led to it. Where a value is missing, which its flag says, the last
    one that was seen stands in its place. Nothing led to the first row of an episode; a flag says so.
    """
    starts = [0 if rows is None else max(0, len(episode.time) - rows) for episode in episodes]
    tails = list(zip(episodes, starts, strict=True))
    step = encoding.scaling.step
    actions = stack_padded([episode.actions[start:] for episode, start in tails])
    since = stack_padded([_before(episode.time, start, step)[:, None] for episode, start in tails])[..., 0]
    earlier = memories(episodes, encoding, starts)
    memory = run_memory(earlier, actions, since[:, :-1], encoding)
    led = np.stack([_action_into(episode, start) for episode, start in tails])
    moves = encode_moves(
        np.stack([episode.static for episode in episodes]),
        np.concatenate([led[:, None], actions], axis=1),
        np.concatenate([earlier[:, None], memory], axis=1),
        stack_padded([episode.known_future[start:] for episode, start in tails]),
        since,
        encoding,
    )
    known = [last_seen(episode.observations)[0] for episode in episodes]
    seen = encoding(stack_padded([values[start:] for values, start in zip(known, starts, strict=True)]), "observation")
    present = stack_padded([np.isfinite(episode.observations[start:]).astype(np.float32) for episode, start in tails])
    seen[..., seen.shape[-1] - present.shape[-1] :] = present
    opening = np.zeros((*seen.shape[:2], 1), np.float32)
    opening[np.array(starts) == 0, 0] = 1.0
    lead = max(INCREMENT_LAGS)
    led_by = stack_padded([_led_by(values, start, lead) for values, start in zip(known, starts, strict=True)])
    changes = increments(led_by, encoding)[:, lead:]
    return np.concatenate([seen, moves, opening, changes], axis=2)


def _before(time: Float[np.ndarray, " row"], start: int, step: float) -> Float[np.ndarray, " tail"]:
    """Time since the row before, in median steps, from row `start` on; one for a first row, nothing is known of it."""
    return np.concatenate([[1.0], np.diff(time) / step])[start:]


def _led_by(
    values: Float[np.ndarray, "row variable"], start: int, lead: int
) -> Float[np.ndarray, "lead_and_tail variable"]:
    """The rows from `start` on and some before; nothing is known of those before the first."""
    before = values[max(0, start - lead) : start]
    return np.concatenate([np.full((lead - len(before), values.shape[1]), np.nan), before, values[start:]])


def _action_into(episode: Episode, start: int) -> Float[np.ndarray, " action"]:
    """The action that led to a row; missing for the first one."""
    return episode.actions[start - 1] if start else np.full(episode.actions.shape[1], np.nan, np.float32)


def encode_plan(
    histories: Episodes, plan: Plan, encoding: Encoding
) -> tuple[Float[np.ndarray, "episode step move"], Float[np.ndarray, "episode step"]]:
    """Predictor inputs of a plan, and the elapsed times in median steps."""
    now = np.array([episode.time[-1] for episode in histories])
    elapsed = np.diff(np.concatenate([now[:, None], plan.time], axis=1), axis=1) / encoding.scaling.step
    memory = run_plan(histories, plan, encoding)[1]
    static = np.stack([episode.static for episode in histories])
    moves = encode_moves(static, plan.actions, memory, plan.known_future, elapsed, encoding)
    return moves, elapsed.astype(np.float32)


def encode_targets(values: Float[np.ndarray, "*row target"], encoding: Encoding) -> Float[np.ndarray, "*row target"]:
    """Targets as the readout sees them: scaled, or indices of categories; missing ones stay NaN."""
    centre, scale = encoding.scaling.of(encoding.schema.targets)
    return ((values - centre) / scale).astype(np.float32)


def tabulate(data: Episodes, encoding: Encoding) -> Table:
    """Encode a set of episodes."""
    targets, seen = list(data.schema.target_indices), encoding.width("observation")
    rows = encode_histories(tuple(data), encoding)
    lengths = np.array([len(episode.time) for episode in data])
    exists = np.arange(rows.shape[1]) < lengths[:, None]
    # The move that leaves a row is the one that leads to the next, so it stands there already.
    moves = np.zeros((*rows.shape[:2], move_width(encoding)), np.float32)
    moves[:, :-1] = np.where(exists[:, 1:, None], rows[:, 1:, seen : seen + move_width(encoding)], 0.0)
    gaps = [np.append(np.diff(episode.time) / encoding.scaling.step, 1.0) for episode in data]
    return Table(
        history=rows[exists],
        moves=moves[exists],
        elapsed=np.concatenate(gaps).astype(np.float32),
        targets=encode_targets(np.concatenate([episode.observations[:, targets] for episode in data]), encoding),
        starts=np.concatenate([[0], np.cumsum(lengths)[:-1]]),
        lengths=lengths,
        facts=fact_columns(encoding),
    )
