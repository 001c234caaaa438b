"""Features of a linear forecast: lags of everything seen and done, static facts, and the plan step by step."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.schema import Schema
from foreworld.evidence.baselines.codes import encode
from foreworld.evidence.baselines.past import Past

POOLS = (0, 1, 2, 4, 8, 16)  # rows: past doses are summed between these before they interact
PLAN_POOLS = 12  # at most so many sums of planned doses interact
TREND = 3  # rows
MOST_INTERACTIONS = 1000  # columns
MOST_STATES = 12


class Column(NamedTuple):
    """What a block of columns is.

    Attributes:
        step: from which forecast step on it may be used; 0 is the history.
        stiffness: how strongly it is penalised, relative to others.
        interacts: whether it is a product of doses and facts, with a penalty of its own.
    """

    values: Float[np.ndarray, "case column"]
    step: int
    stiffness: float = 1.0
    interacts: bool = False


@dataclass(frozen=True)
class Design:
    """How histories and plans become rows of a regression, standardised on the training cases.

    Besides lags and the plan there are products: of the state (last value and trend of each continuous target) with
    itself, and of doses, summed over a few rows, with the static facts and the state, as the effect of an action
    depends on who receives it, and when.

    Columns are ordered by the step from which they are available, so that a forecast h steps ahead uses the leading
    `reach[h - 1]` of them. The first is the constant 1. A missing value counts as the mean of its column,
    next to a flag.

    Attributes:
        lags: rows of history in use.
        pool: steps of the plan that are summed before they interact.
        facts: mean and scale of what doses interact with.
        kept: which columns vary in training; the others are dropped.
        centre, scale: of the columns kept.
        stiffness: of each column: (1 + lag)^2 for lags, as the further ones matter less (Litterman's Minnesota prior).
        interacts: which columns are products of doses and facts.
        reach: columns available for each step.
    """

    lags: int
    pool: int
    facts: Float[np.ndarray, "2 fact"]
    kept: Bool[np.ndarray, " raw"]
    centre: Float[np.ndarray, " kept"]
    scale: Float[np.ndarray, " kept"]
    stiffness: Float[np.ndarray, " column"]
    interacts: Bool[np.ndarray, " column"]
    reach: Int[np.ndarray, " step"]

    @classmethod
    def fit(
        cls, back: Past, schema: Schema, plan: Plan, lags: int
    ) -> tuple["Design", Float[np.ndarray, "case column"]]:
        """Measure the columns on training cases, of which at least `needed(lags)` rows were gathered.

        Returns:
            The design, and its matrix for these very cases.
        """
        pool = -(-plan.horizon // PLAN_POOLS)
        facts = np.stack(_moments(_facts(back, schema)))
        columns = _columns(back, schema, plan, lags, pool, facts)
        raw = np.concatenate([column.values for column in columns], axis=1)
        centre, scale = _moments(raw)
        kept = scale > 1e-9 * np.abs(centre)
        widths = [column.values.shape[1] for column in columns]
        step, stiffness, interacts = (
            np.repeat([getattr(column, name) for column in columns], widths)[kept]
            for name in ("step", "stiffness", "interacts")
        )
        reach = 1 + np.searchsorted(step, np.arange(1, plan.horizon + 1), side="right")
        design = cls(
            lags,
            pool,
            facts,
            kept,
            centre[kept],
            scale[kept],
            np.concatenate([[0.0], stiffness]),
            np.concatenate([[False], interacts]),
            reach,
        )
        return design, design._standardise(raw)

    def matrix(self, histories: Episodes, plan: Plan) -> Float[np.ndarray, "case column"]:
        """Rows for new cases: the leading columns, as many as the plan's horizon needs."""
        back = Past.of(histories, needed(self.lags))
        columns = _columns(back, histories.schema, plan, self.lags, self.pool, self.facts)
        return self._standardise(np.concatenate([column.values for column in columns], axis=1))

    def _standardise(self, raw: Float[np.ndarray, "case raw"]) -> Float[np.ndarray, "case column"]:
        kept = self.kept[: raw.shape[1]]
        columns = int(kept.sum())
        x = np.ones((len(raw), 1 + columns))
        x[:, 1:] = (raw[:, kept] - self.centre[:columns]) / self.scale[:columns]
        x[np.isnan(x)] = 0.0
        return x


def needed(lags: int) -> int:
    """Rows of history that a design with so many lags looks at."""
    return max(lags, POOLS[-1], TREND + 1)


def _moments(
    values: Float[np.ndarray, "row column"],
) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " column"]]:
    """Mean and standard deviation of each column over the values present; zeros where none are."""
    seen = np.isfinite(values)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, values, 0.0).sum(axis=0) / count
    return mean, np.sqrt(np.where(seen, (values - mean) ** 2, 0.0).sum(axis=0) / count)


def _state(back: Past, schema: Schema) -> Float[np.ndarray, "case state"]:
    """Last value and trend of every continuous target, of not too many."""
    chosen = [i for i in schema.target_indices if schema.observations[i].kind == "continuous"][: MOST_STATES // 2]
    last = back.observations[:, 0, chosen]
    return np.concatenate([last, last - back.observations[:, TREND, chosen]], axis=1)


def _facts(back: Past, schema: Schema) -> Float[np.ndarray, "case fact"]:
    """What doses interact with: static facts and the state."""
    return np.concatenate([encode(back.static, schema.static), _state(back, schema)], axis=1)


def _columns(
    back: Past, schema: Schema, plan: Plan, lags: int, pool: int, moments: Float[np.ndarray, "2 fact"]
) -> list[Column]:
    """All columns before standardising, by the step from which they are available."""
    facts = _facts(back, schema)
    facts = np.nan_to_num((facts - moments[0]) / np.where(moments[1] > 0, moments[1], 1.0))
    state = facts[:, facts.shape[1] - _state(back, schema).shape[1] :]
    first, second = np.triu_indices(state.shape[1])
    static = encode(back.static, schema.static)
    once = [back.ages, back.means, static, _present(back.static), state[:, first] * state[:, second]]
    columns = [Column(np.concatenate(once, axis=1), 0)]
    columns += [Column(row, 0, stiffness=(1.0 + lag) ** 2) for lag, row in enumerate(_lagged(back, schema, lags))]
    columns += [Column(row, step + 1) for step, row in enumerate(_planned(back, schema, plan))]
    columns += _interactions(back, schema, plan, pool, facts)
    return sorted(columns, key=lambda column: column.step)


def _lagged(back: Past, schema: Schema, lags: int) -> Float[np.ndarray, "lag case column"]:
    there = back.there[..., None]
    parts = [
        encode(back.observations, schema.observations),
        back.seen,
        encode(back.actions, schema.actions),
        np.where(there > 0, _present(back.actions), 1.0),
        encode(back.known, schema.known_future),
        np.where(there > 0, _present(back.known), 1.0),
        back.elapsed[..., None],
        there,
    ]
    return np.concatenate(parts, axis=-1)[:, :lags].swapaxes(0, 1)


def _planned(back: Past, schema: Schema, plan: Plan) -> Float[np.ndarray, "step case column"]:
    parts = [
        encode(plan.actions, schema.actions),
        _present(plan.actions),
        encode(plan.known_future, schema.known_future),
        _present(plan.known_future),
        (plan.time - back.now[:, None])[..., None],
    ]
    return np.concatenate(parts, axis=-1).swapaxes(0, 1)


def _interactions(
    back: Past, schema: Schema, plan: Plan, pool: int, facts: Float[np.ndarray, "case fact"]
) -> list[Column]:
    """Sums of doses times facts; a sum of planned doses is available once the last of them is."""
    done = np.nan_to_num(encode(back.actions, schema.actions))
    doing = np.nan_to_num(encode(plan.actions, schema.actions))
    if done.shape[2] * facts.shape[1] * (len(POOLS) - 1 + PLAN_POOLS) > MOST_INTERACTIONS:
        return []
    sums = [(done[:, a:b].sum(axis=1), 0) for a, b in zip(POOLS, POOLS[1:], strict=False)]
    sums += [(doing[:, end - pool : end].sum(axis=1), end) for end in range(pool, plan.horizon + 1, pool)]
    cases = len(facts)
    return [Column((dose[:, :, None] * facts[:, None]).reshape(cases, -1), step, interacts=True) for dose, step in sums]


def _present(values: np.ndarray) -> Float[np.ndarray, "..."]:
    return np.isfinite(values).astype(np.float64)
