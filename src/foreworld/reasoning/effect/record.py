"""Recorded episodes laid out for estimation: at each row what was known, what was done, what came, what was expected.

An episode is judged by the networks that have not been trained on it: by all of them if the record is new, by those
that left it out if the record is the training data. So the ensemble is its own cross-fitting.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan
from foreworld.data.schema import Role
from foreworld.reasoning.effect.arms import Model, action_columns, roll_arms
from foreworld.reasoning.forecast import encode_tails
from foreworld.reasoning.imagination import spread
from foreworld.training.fit import folds
from foreworld.world.build import belief_network

ROWS = 3000  # That are looked at, at most.
PRODUCTS = 12  # Facts whose squares and products are features, at most.


@dataclass(frozen=True)
class Record:
    """Stretches of recorded episodes, padded to one length; `acted` says which rows are there.

    Attributes:
        ids: of the episodes.
        acted: rows that were seen and acted in, and whose every action is known.
        features: what actions and outcomes are regressed on.
        facts, owners: observed, static and known values of a row in plain columns, and the variable of each.
        given, columns: the actions in native units and as regressors; zero in rows not acted in.
        targets: of the rows from the first to one after the last; NaN where not observed.
        expected: outcome 1 to H steps after each row if its action is followed by rest.
        blip: how much of that is due to the action of the row, as against rest.
        unsettled: the same by network.
        rest: the columns of an action at rest.
    """

    ids: tuple[str | int, ...]
    acted: Bool[np.ndarray, "episode row"]
    features: Float[np.ndarray, "episode row feature"]
    facts: Float[np.ndarray, "episode row fact"]
    owners: tuple[str, ...]
    given: Float[np.ndarray, "episode row action"]
    columns: Float[np.ndarray, "episode row column"]
    targets: Float[np.ndarray, "episode row+1 unit"]
    expected: Float[np.ndarray, "episode row step unit"]
    blip: Float[np.ndarray, "episode row step unit"]
    unsettled: Float[np.ndarray, "network episode row step unit"]
    rest: Float[np.ndarray, " column"]


def read_record(model: Model, data: Episodes, *, horizon: int, seed: int) -> Record | None:
    """Lay out recorded episodes; None if there is nothing to learn from."""
    fresh = unseen(model, data)
    rng = np.random.default_rng([seed, 5])
    usable = [index for index, episode in enumerate(data) if episode.steps > 0 and fresh[:, index].any()]
    if len(usable) < 2:
        return None
    longest = max(data[index].steps for index in usable)
    length = min(longest, max(2 * horizon, ROWS // len(usable)))
    if len(usable) * length > 1.2 * ROWS:
        usable = sorted(rng.choice(usable, size=max(2, ROWS // length), replace=False).tolist())
    starts = [int(rng.integers(0, max(1, data[index].steps - length + 1))) for index in usable]
    places = [
        (episode, index, start + row)
        for episode, (index, start) in enumerate(zip(usable, starts, strict=True))
        for row in range(min(length, data[index].steps - start))
    ]
    where = tuple(np.array([(e, row - starts[e]) for e, _, row in places]).T)
    histories = Episodes(data.schema, tuple(data[index].until(row) for _, index, row in places))
    actions = np.stack([history.pending for history in histories]).astype(np.float64)
    means, rest = _expectations(model, data, places, histories, actions, horizon, seed)
    mask = fresh[:, [usable[e] for e, _, _ in places]].astype(np.float64)
    shared = np.einsum("mn,amnsu->ansu", mask / mask.sum(0), means)
    facts, owners = row_facts(histories)
    features = _features(model, histories, facts, shared[1])
    shape = (len(usable), length)

    def lay(values: np.ndarray) -> np.ndarray:
        out = np.zeros((*shape, *values.shape[1:]))
        out[where] = values
        return out

    columns = action_columns(actions, model.encoding)
    known = np.all(np.isfinite(columns), axis=1)
    difference = means[0] - means[1]
    return Record(
        ids=tuple(data[index].id for index in usable),
        acted=lay(known).astype(bool),
        features=lay(features),
        facts=lay(facts),
        owners=owners,
        given=lay(np.nan_to_num(actions)),
        columns=lay(np.where(known[:, None], columns, 0.0)),
        targets=_targets(data, usable, starts, length),
        expected=lay(shared[0]),
        blip=lay(shared[0] - shared[1]),
        unsettled=np.stack([lay(part) for part in difference]),
        rest=action_columns(rest[None], model.encoding)[0],
    )


def unseen(model: Model, data: Episodes) -> Bool[np.ndarray, "network episode"]:
    """Which networks were not trained on which episodes."""
    members = model.config.members
    if data.fingerprint != model.about["data"]:
        return np.ones((members, len(data)), dtype=bool)
    out = np.zeros((members, len(data)), dtype=bool)
    lengths = np.array([episode.steps for episode in data])
    for member, fold in enumerate(folds(lengths, members, int(model.about["seed"]))):
        out[member, fold] = True
    return out


def _expectations(
    model: Model,
    data: Episodes,
    places: list[tuple[int, int, int]],
    histories: Episodes,
    actions: Float[np.ndarray, "case action"],
    horizon: int,
    seed: int,
) -> tuple[Float[np.ndarray, "arm network case step unit"], Float[np.ndarray, " action"]]:
    """Outcomes if the action of each row is followed by rest, and if there is rest from the row on."""
    scales = [model.encoding.scaling.variables[variable.name] for variable in data.schema.actions]
    rest = np.array(
        [s.centre if v.kind == "continuous" else 0.0 for s, v in zip(scales, data.schema.actions, strict=True)]
    )
    idle = np.tile(rest, (len(places), horizon, 1))
    moved = idle.copy()
    moved[:, 0] = np.where(np.isfinite(actions), actions, rest)
    ahead = [_ahead(data[index], row, horizon, model.encoding.scaling.step) for _, index, row in places]
    time, known = (np.stack(part) for part in zip(*ahead, strict=True))
    return roll_arms(model, histories, [Plan(time, moved, known), Plan(time, idle, known)], seed=seed), rest


def _ahead(
    episode: Episode, row: int, horizon: int, step: float
) -> tuple[Float[np.ndarray, " step"], Float[np.ndarray, "step known"]]:
    """Times and known values after a row; beyond the end of the episode, where nothing is compared, they go on."""
    rows = np.minimum(np.arange(row + 1, row + 1 + horizon), episode.steps)
    beyond = np.maximum(np.arange(row + 1, row + 1 + horizon) - episode.steps, 0)
    return episode.time[rows] + step * beyond, episode.known_future[rows]


def row_facts(histories: Episodes) -> tuple[Float[np.ndarray, "case fact"], tuple[str, ...]]:
    """The last row in plain columns: numbers as they are, a category as indicators of all but the first."""
    schema = histories.schema
    last: dict[Role, np.ndarray] = {
        "observation": np.stack([history.observations[-1] for history in histories]),
        "static": np.stack([history.static for history in histories]),
        "known_future": np.stack([history.known_future[-1] for history in histories]),
    }
    parts, owners = [], []
    for role, values in last.items():
        for index, variable in enumerate(schema.of(role)):
            value = values[:, index].astype(np.float64)
            codes = range(1, variable.width) if variable.kind == "categorical" else [None]
            for code in codes:
                column = value if code is None else np.where(np.isfinite(value), value == code, np.nan)
                middle = np.nanmean(column) if np.isfinite(column).any() else 0.0
                parts.append(np.where(np.isfinite(column), column, middle))
                owners.append(variable.name)
    return np.stack(parts, axis=1), tuple(owners)


def _features(
    model: Model,
    histories: Episodes,
    facts: Float[np.ndarray, "case fact"],
    idle: Float[np.ndarray, "case step unit"],
) -> Float[np.ndarray, "case feature"]:
    """The last row as the encoder reads it, squares and products of its facts, and the forecast without action.

    The forecast says what the belief holds of the rows before, in numbers that all networks share: a prognostic score
    (Hansen, Biometrika 2008).
    """
    rows, last = encode_tails(belief_network(model.network), histories, model.encoding)
    now = rows[np.arange(len(last)), last.numpy()].numpy().astype(np.float64)
    main = facts[:, :PRODUCTS]
    deviation = main.std(0)
    main = (main - main.mean(0)) / np.where(deviation > 0, deviation, 1)
    first, second = np.triu_indices(main.shape[1])
    steps = np.unique([0, idle.shape[1] // 2, idle.shape[1] - 1])
    return np.concatenate([now, main[:, first] * main[:, second], idle[:, steps].reshape(len(now), -1)], axis=1)


def _targets(
    data: Episodes, usable: list[int], starts: list[int], length: int
) -> Float[np.ndarray, "episode row unit"]:
    places = list(data.schema.target_indices)
    out = np.full((len(usable), length + 1, len(places)), np.nan)
    for episode, (index, start) in enumerate(zip(usable, starts, strict=True)):
        seen = data[index].observations[start : start + length + 1, places]
        out[episode, : len(seen)] = seen
    return spread(out, data.schema.targets)[2].astype(np.float64)
