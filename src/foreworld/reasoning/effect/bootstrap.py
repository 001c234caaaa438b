"""Intervals of effects: a bootstrap of networks and episodes.

Whole episodes are drawn anew (the asked ones with the recorded ones where they are the same), and every regression on
what history leaves unexplained is repeated. Networks are drawn anew for what the correction leaves open: how effects
differ between histories, and between the plans and what was recorded.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from foreworld.data.episodes import Episodes
from foreworld.reasoning.effect.answer import LEVELS
from foreworld.reasoning.effect.correction import Moments
from foreworld.reasoning.effect.evidence import Evidence
from foreworld.reasoning.effect.modifiers import with_products
from foreworld.reasoning.effect.nuisance import FOLDS
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
        error: the correction of a unit of each term; no lags if there is none.
        errors: the same from recorded episodes drawn anew.
        real, reals: the share of the model's bend that is real, likewise.
        stretch: how much wider intervals are than the resamples, by step; see `widening`.
    """

    asked: Float[np.ndarray, "resample episode"]
    networks: Float[np.ndarray, "resample network"]
    error: Float[np.ndarray, "1 lag term unit"]
    errors: Float[np.ndarray, "resample lag term unit"]
    real: Float[np.ndarray, "1 lag unit"]
    reals: Float[np.ndarray, "resample lag unit"]
    stretch: Float[np.ndarray, " step"]

    @classmethod
    def draw(
        cls, histories: Episodes, evidence: Evidence, shape: tuple[int, int, int, int], *, seed: int
    ) -> "Bootstrap":
        """For so many networks, steps, terms and units of targets."""
        rng = np.random.default_rng([seed, 7])
        networks, steps, terms, units = shape
        asked = draw_weights(rng, len(histories))
        again = (draw_weights(rng, networks) - 1 / networks) * np.sqrt(networks / max(networks - 1, 1))
        moments, record = evidence.moments, evidence.record
        if moments is None or record is None:
            none = [np.zeros((count, 0, *shape)) for shape in ((terms, units), (units,)) for count in (1, RESAMPLES)]
            return cls(asked, again, *none, stretch=np.ones(steps))
        clusters = len(record.ids)
        recorded = draw_weights(rng, clusters)
        if sorted(map(str, record.ids)) == sorted(str(history.id) for history in histories):
            asked = recorded[:, [record.ids.index(history.id) for history in histories]]
        wider = widening(episodes=clusters, terms=terms, features=moments.features, rows=moments.rows)
        return cls(
            asked=asked,
            networks=again,
            error=moments.errors(np.ones((1, clusters))),
            errors=moments.errors(recorded * clusters),
            real=moments.real(np.ones((1, clusters))),
            reals=moments.real(recorded),
            stretch=wider[np.minimum(np.arange(steps), moments.lags - 1)],
        )


def widening(*, episodes: int, terms: int, features: int, rows: Int[np.ndarray, " lag"]) -> Float[np.ndarray, " lag"]:
    """What resampled episodes fall short of, as a factor of their deviation.

    Few episodes: Student's quantiles, and as many episodes fewer as terms are estimated from them. And the regressions
    on p features, which stay as they are when episodes are drawn anew: with errors v of the action and e of the
    outcome, and H = X (X'X)^-1 X' across folds, the numerator of the estimate is sum v_i e_i - 2 sum H_ij v_i e_j,
    since what is missed of the action meets e as what is missed of the outcome meets v. Its variance is n + 2 f p in
    units of that of v e, of which n + f p shows in the rows, with f = 2 F / (F - 1) for F folds and p well below n.
    """
    students = stats.t.ppf(0.975, episodes - 1) / stats.norm.ppf(0.975)
    fixed = 2 * FOLDS / (FOLDS - 1) * features
    hidden = (rows + 2 * fixed) / (rows + fixed)
    return students * np.sqrt(episodes / max(episodes - terms, 1) * hidden)


def resample(
    histories: Episodes,
    gap: Float[np.ndarray, "network episode step unit"],
    apart: Float[np.ndarray, "episode step term"],
    evidence: Evidence,
    *,
    seed: int,
) -> Draws:
    """Correct the model's effects, and bootstrap them over networks and episodes."""
    networks, count, steps, units = gap.shape
    boot = Bootstrap.draw(histories, evidence, (networks, steps, apart.shape[2], units), seed=seed)
    bends = model_bends(gap, apart, evidence)
    bend, said = bends.mean(0), gap.mean(0)
    real, reals = (_to_the_end(part, steps) for part in (boot.real, boot.reals))
    unsettled = (bends - bend) * real
    effects = said + corrections(boot.error, apart, steps) + (real - 1) * bend
    average = effects.mean(0)

    around = np.tensordot(boot.asked, said, 1) + np.tensordot(boot.networks, unsettled.mean(1), 1) - average
    around = around + corrections(boot.errors, np.tensordot(boot.asked, apart, 1), steps)
    around = around + (reals - 1) * np.tensordot(boot.asked, bend, 1)
    levels = np.empty((len(LEVELS), *effects.shape))
    for start in range(0, count, CHUNK):
        pick = slice(start, start + CHUNK)
        plans, which = np.unique(apart[pick], axis=0, return_inverse=True)
        moved = np.stack([corrections(boot.errors - boot.error, plan[None], steps) for plan in plans], axis=1)
        away = np.tensordot(boot.networks, unsettled[:, pick], 1) + moved[:, which.reshape(-1)]
        away = away + (reals - real)[:, None] * bend[pick]
        levels[:, pick] = effects[pick] + boot.stretch[:, None] * np.quantile(away, LEVELS, axis=0)
    return Draws(effects, levels, average, average + boot.stretch[:, None] * np.quantile(around, LEVELS, axis=0))


def keep_informative(evidence: Evidence, apart: Float[np.ndarray, "episode step term"], *, seed: int) -> Evidence:
    """Drop the steps from which on the record leaves the correction open by more than a deviation of the outcome.

    Errors add up from lag to lag. The rule looks at their size alone and not at what was found.
    """
    moments, record = evidence.moments, evidence.record
    if moments is None or record is None:
        return evidence
    clusters = len(record.ids)
    errors = moments.errors(draw_weights(np.random.default_rng([seed, 13]), clusters) * clusters)
    unsure = corrections(errors, apart.mean(0)[None], apart.shape[1]).std(0)[: moments.lags]
    vague = np.any(unsure > np.nanstd(record.targets, axis=(0, 1)), axis=1)
    if not vague.any():
        return evidence
    lag = int(vague.argmax())
    if lag == 0:
        return replace(evidence, moments=None, reason="uncorrected: the record says too little about these plans")
    reason = f"{evidence.reason}, up to step {lag}: of later ones the record says too little"
    return replace(evidence, moments=moments.until(lag), reason=reason)


def _to_the_end(real: Float[np.ndarray, "some lag unit"], steps: int) -> Float[np.ndarray, "some step unit"]:
    """Where nothing is known of it, the model is taken at its word."""
    out = np.ones((len(real), steps, real.shape[2]))
    out[:, : real.shape[1]] = real[:, :steps]
    return out


def corrections(
    errors: Float[np.ndarray, "any lag term unit"], apart: Float[np.ndarray, "some step term"], steps: int
) -> Float[np.ndarray, "most step unit"]:
    """sum_k d_{h-k} (do_k - versus_k) by step h; zero beyond the lags that are known. One of either serves all."""
    count, lags = max(len(errors), len(apart)), errors.shape[1]
    out = np.zeros((count, steps, errors.shape[3]))
    errors, apart = (np.broadcast_to(part, (count, *part.shape[1:])) for part in (errors, apart))
    for step in range(min(lags, steps)):
        out[:, step] = np.einsum("bkcu,bkc->bu", errors[:, step::-1], apart[:, : step + 1])
    return out


def model_bends(
    gap: Float[np.ndarray, "network episode step unit"],
    apart: Float[np.ndarray, "episode step term"],
    evidence: Evidence,
) -> Float[np.ndarray, "network episode step unit"]:
    """What each network says of these histories and plans beyond what it says on average of what was recorded.

    A network whose effects are larger than another's on all that was recorded would be corrected by so much more: only
    this part of its answer stays open. Without a correction it is the whole answer.
    """
    if evidence.moments is None or evidence.record is None:
        return gap
    steps, lags = gap.shape[2], evidence.moments.lags
    settled = np.stack([corrections(part[None], apart, steps) for part in _taught(evidence.record, evidence.moments)])
    return np.where(np.arange(steps)[:, None] < lags, gap - settled, gap)


def draw_weights(rng: np.random.Generator, count: int) -> Float[np.ndarray, "resample drawn"]:
    """How often each is drawn, as shares."""
    return rng.multinomial(count, np.full(count, 1 / count), RESAMPLES) / count


def _taught(record: Record, moments: Moments) -> Float[np.ndarray, "network lag term unit"]:
    """The effect of a unit of each term by network, on average over what was recorded: what a correction replaces."""
    given = with_products(record.columns - record.rest, moments.modifiers.of(record.facts))[record.acted]
    said = record.unsettled[:, record.acted][:, :, : moments.lags]
    size = np.trace(given.T @ given)
    inverse = np.linalg.inv(given.T @ given + (1e-9 * size + 1e-12) * np.eye(given.shape[1]))
    return np.einsum("kc,nc,mnlu->mlku", inverse, given, said)
