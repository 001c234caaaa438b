"""What the model gets wrong about the effect of actions on average, learnt from recorded episodes.

The model's own effects are biased: training shrinks them, and its intervals know nothing of that. So its forecasts
serve as the outcome regression of a doubly robust estimate (Robins, Rotnitzky and Zhao, JASA 1994; Chernozhukov et al.,
Econometrics Journal 2018). At every recorded row t the action has a part that the history does not explain,

    u_t = a_t - E[a_t | history],

as good as a small experiment if nothing hidden drives action and outcome. Let tau_l(t) be what the model says that a_t
does, as against rest, l steps later, and m_l(t) its forecast with a_t and rest afterwards. With the effects of later
actions taken off, what is left over is regressed on u_t:

    y_{t+l} - m_l(t) - sum_{0<j<l} [tau_{l-j}(t+j) + d_{l-j} (a_{t+j} - rest)]  =  d_l u_t + error,

lag after lag, and the same with a and u times each of a few facts of the row (see `modifiers`): g-estimation of a
structural nested mean model (Robins 1994) with machine-learnt nuisances (Lewis and Syrgkanis, NeurIPS 2021). d_l is the
model's error of the effect a unit of action has after l steps. A later action responds to what came before; taking its
effect off rather than adjusting for it is what time-varying confounding needs. Each u_t of a binary action is weighted
by 1 / Var(a_t | history), so that d_l is the error's mean over all rows and not over the undecided ones. Without a
model, at one step, this is partialling out (Robinson, Econometrica 1988).

What tau is beyond a multiple of these terms, its bend, may be real or a network's whim. The share of it that is real is
its coefficient in the same regression, kept between 0 and 1: what is left of tau after the terms, and after what the
history says of it, against what is left of the outcome.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from foreworld.data.schema import Schema
from foreworld.reasoning.effect.arms import column_owners
from foreworld.reasoning.effect.modifiers import Modifiers, with_products
from foreworld.reasoning.effect.nuisance import design, folds_of, logistic, ridge
from foreworld.reasoning.effect.record import Record

FEWEST = 20  # Episodes: standard errors over fewer clusters mean little.
BEFORE = 8  # Shocks before an action that serve as negative controls.
ROWS_PER_FEATURE = 2  # At least; below, history explains rows by chance.
CERTAIN = 0.02  # Chances nearer to 0 or 1 are cut here.


@dataclass(frozen=True)
class Moments:
    """Sums over the rows of each episode that all estimates, and all resamples of them, are made of.

    Attributes:
        columns: of actions; further terms are their products with modifiers.
        own: u w, of the action's unexplained part with its weighted self, by lag.
        later: the same of the actions j steps later (0 < j < lag).
        missed: the same of what the forecasts missed.
        bends, bent: of what is left of the model's bend, squared, and times what is left of the outcome.
        before: the same of the shocks that led to the row of the action and to those before: negative controls.
        leftover: variance of the outcome that neither history nor actions explain, by lag.
        free: variance of the action that history does not explain.
        rows: that each lag rests on.
        features: of the history, that actions and outcomes were regressed on.
    """

    modifiers: Modifiers
    columns: int
    own: Float[np.ndarray, "lag episode term term"]
    later: list[Float[np.ndarray, "episode _ term term"]]
    missed: Float[np.ndarray, "lag episode term unit"]
    bends: Float[np.ndarray, "lag episode unit"]
    bent: Float[np.ndarray, "lag episode unit"]
    before: Float[np.ndarray, "shock episode column unit"]
    leftover: Float[np.ndarray, "lag unit"]
    free: Float[np.ndarray, " column"]
    rows: Int[np.ndarray, " lag"]
    features: int

    @property
    def lags(self) -> int:
        """Steps ahead that can be corrected."""
        return len(self.own)

    def until(self, lag: int) -> "Moments":
        """The first few lags."""
        names = ("own", "later", "missed", "bends", "bent", "leftover", "rows")
        return replace(self, **{name: getattr(self, name)[:lag] for name in names})

    def errors(self, weights: Float[np.ndarray, "resample episode"]) -> Float[np.ndarray, "resample lag term unit"]:
        """The model's error of the effect of a unit of each term, for episodes weighted like this."""
        return solve_lags(list(self.own), self.later, list(self.missed), weights)

    def real(self, weights: Float[np.ndarray, "resample episode"]) -> Float[np.ndarray, "resample lag unit"]:
        """The share of the model's bend that is real, on average over lags up to each; between 0 and 1."""
        size, found = (np.einsum("be,leu->blu", weights, part).cumsum(1) for part in (self.bends, self.bent))
        return np.clip(1 + np.divide(found, size, out=np.zeros_like(found), where=size > 1e-12), 0, 1)

    def placebo(
        self, weights: Float[np.ndarray, "resample episode"]
    ) -> Float[np.ndarray, "resample shock column unit"]:
        """The same estimate of what cannot be: the effect of an action on shocks that came before it."""
        own = np.tensordot(weights, self.own[0][:, : self.columns, : self.columns], 1)
        return np.stack([_solve(own, np.tensordot(weights, part, 1)) for part in self.before], axis=1)


def solve_lags(
    own: Sequence[Float[np.ndarray, "episode term term"]],
    later: Sequence[Float[np.ndarray, "episode _ term term"]],
    missed: Sequence[Float[np.ndarray, "episode term unit"]],
    weights: Float[np.ndarray, "resample episode"],
) -> Float[np.ndarray, "resample lag term unit"]:
    """d_l lag after lag, for every resample at once."""
    found: list[np.ndarray] = []
    for lag in range(len(own)):
        left = np.tensordot(weights, missed[lag], 1)
        if lag:
            done = np.stack(found[::-1], axis=1)  # After j steps, lag - j are to go.
            left = left - np.einsum("bjkc,bjcu->bku", np.tensordot(weights, later[lag], 1), done)
        found.append(_solve(np.tensordot(weights, own[lag], 1), left))
    return np.stack(found, axis=1)


def _solve(
    own: Float[np.ndarray, "resample column column"], other: Float[np.ndarray, "resample column unit"]
) -> Float[np.ndarray, "resample column unit"]:
    """An action that was never free to vary gets no correction, rather than an infinite one."""
    size = np.trace(own, axis1=1, axis2=2)[:, None, None]
    return np.linalg.solve(own + (1e-9 * size + 1e-12) * np.eye(own.shape[1]), other)


def gather(record: Record, schema: Schema, *, seed: int) -> Moments | None:
    """Take out of actions and outcomes what the history says of them, and sum up; None with too few episodes."""
    episode, row = np.nonzero(record.acted)
    fold = folds_of(episode, seed)
    x = design(record.features[episode, row])
    free, weighted = unexplained(record.columns[episode, row], x, fold, schema)
    modifiers = Modifiers.fit(record)
    z = modifiers.of(record.facts)
    alone, deviation = weighted, free.var(0)
    moved = with_products(record.columns - record.rest, z)
    free, weighted = with_products(free, z[episode, row]), with_products(weighted, z[episode, row])
    horizon, episodes = record.expected.shape[2], len(record.ids)
    own, later, missed, bends, bent, leftover, rows = [], [], [], [], [], [], []
    shocks = np.zeros((*record.acted.shape, record.targets.shape[2]))
    for lag in range(1, horizon + 1):
        left, after, valid = _left_over(record, moved, episode, row, lag)
        if len(np.unique(episode[valid])) < FEWEST or valid.sum() < ROWS_PER_FEATURE * x.shape[1]:
            break
        bend = model_bend(record.blip[episode, row, lag - 1][valid], moved[episode, row][valid])
        outcomes = np.concatenate([left[valid], after[valid].reshape(valid.sum(), -1), bend], axis=1)
        clean = outcomes - ridge(x[valid], outcomes, fold[valid])
        where, width = episode[valid], left.shape[1]
        w, u = weighted[valid], free[valid]
        beside = clean[:, width:-width].reshape(valid.sum(), lag - 1, u.shape[1])
        own.append(_sum(where, episodes, np.einsum("nk,nc->nkc", w, u)))
        later.append(_sum(where, episodes, np.einsum("nk,njc->njkc", w, beside)))
        missed.append(_sum(where, episodes, np.einsum("nk,nu->nku", w, clean[:, :width])))
        error = solve_lags(own, later, missed, np.ones((1, episodes)))[0]
        rest = clean[:, :width] - u @ error[-1]
        if lag > 1:
            rest = rest - np.einsum("njc,jcu->nu", beside, error[:-1][::-1])
        else:
            shocks[where, row[valid]] = rest
        bend = clean[:, -width:] - u @ np.linalg.lstsq(u, clean[:, -width:], rcond=1e-9)[0]
        bends.append(_sum(where, episodes, bend**2))
        bent.append(_sum(where, episodes, bend * rest))
        leftover.append(rest.var(0))
        rows.append(int(valid.sum()))
    if not own:
        return None
    return Moments(
        modifiers=modifiers,
        columns=record.columns.shape[2],
        own=np.stack(own),
        later=later,
        missed=np.stack(missed),
        bends=np.stack(bends),
        bent=np.stack(bent),
        before=_before(record, shocks, episode, row, alone),
        leftover=np.stack(leftover),
        free=deviation,
        rows=np.array(rows),
        features=x.shape[1],
    )


def model_bend(
    blip: Float[np.ndarray, "row unit"], moved: Float[np.ndarray, "row term"]
) -> Float[np.ndarray, "row unit"]:
    """What the model says of the actions beyond a multiple of the terms."""
    return blip - moved @ np.linalg.lstsq(moved, blip, rcond=1e-9)[0]


def unexplained(
    columns: Float[np.ndarray, "row column"],
    x: Float[np.ndarray, "row feature"],
    fold: Int[np.ndarray, " row"],
    schema: Schema,
) -> tuple[Float[np.ndarray, "row column"], Float[np.ndarray, "row column"]]:
    """The part of each action that history does not explain; and the same over its variance given the history."""
    free = columns - ridge(x, columns, fold)
    weighted = free.copy()
    for column, owner in enumerate(column_owners(schema)):
        if schema.actions[owner].kind != "continuous":
            chance = logistic(x, columns[:, column] > 0.5, fold).clip(CERTAIN, 1 - CERTAIN)
            free[:, column] = columns[:, column] - chance
            weighted[:, column] = free[:, column] / (chance * (1 - chance))
    return free, weighted


def _left_over(
    record: Record,
    moved: Float[np.ndarray, "episode time term"],
    episode: Int[np.ndarray, " row"],
    row: Int[np.ndarray, " row"],
    lag: int,
) -> tuple[Float[np.ndarray, "row unit"], Float[np.ndarray, "row after term"], Bool[np.ndarray, " row"]]:
    """The outcome after so many steps less the forecast and less the model's effect of later actions; those actions."""
    length = record.acted.shape[1]
    inside = np.minimum(row + lag, length)
    left = record.targets[episode, inside] - record.expected[episode, row, lag - 1]
    valid = row + lag <= length
    after = np.zeros((len(row), lag - 1, moved.shape[2]))
    for j in range(1, lag):
        then = np.minimum(row + j, length - 1)
        valid &= record.acted[episode, then]
        left = left - record.blip[episode, then, lag - j - 1]
        after[:, j - 1] = moved[episode, then]
    valid &= np.isfinite(left).all(1)
    return left, after, valid


def _before(
    record: Record,
    shocks: Float[np.ndarray, "episode time unit"],
    episode: Int[np.ndarray, " row"],
    row: Int[np.ndarray, " row"],
    weighted: Float[np.ndarray, "row column"],
) -> Float[np.ndarray, "shock episode column unit"]:
    """The shock that led to a row is known when its action is chosen, and so are those that came before."""
    sums = []
    for back in range(1, BEFORE + 1):
        there = np.where((row >= back)[:, None], shocks[episode, np.maximum(row - back, 0)], 0.0)
        sums.append(_sum(episode, len(record.ids), np.einsum("nk,nu->nku", weighted, there)))
    return np.stack(sums)


def _sum(where: Int[np.ndarray, " row"], episodes: int, values: Float[np.ndarray, "row *value"]) -> np.ndarray:
    """Sums over the rows of each episode."""
    members = csr_array((np.ones(len(where)), (where, np.arange(len(where)))), shape=(episodes, len(where)))
    return (members @ values.reshape(len(values), -1)).reshape(episodes, *values.shape[1:])
