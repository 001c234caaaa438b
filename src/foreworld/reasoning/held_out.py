"""Forecasts of episodes that the forecasting member never saw: what calibration and support rest on.

Each member leaves out its own episodes, and a few of another's, so that every episode serves both training and
calibration, and no forecast used for calibration comes from a network that was trained on its episode (cross-conformal
prediction, Vovk 2015).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from foreworld.data.episodes import Episodes
from foreworld.data.plan import cut
from foreworld.data.scaling import Encoding
from foreworld.reasoning.calibrate import LEVELS, Calibration, fit_band, fit_calibration, quantiles, widened
from foreworld.reasoning.conformal import conformal_quantile, misses
from foreworld.reasoning.forecast import draw
from foreworld.reasoning.individual.look import Terms, look_back
from foreworld.reasoning.individual.part import Part
from foreworld.reasoning.persistence import fit_persistence
from foreworld.reasoning.pool import bounded
from foreworld.world.build import Network, build_network
from foreworld.world.network import WorldNetwork

BATCH = 40  # Questions that share their noise.
EVERY = 4  # One batch in so many tells how long readings last.


@dataclass(frozen=True)
class HeldOut:
    """Held-out questions, their answers before calibration, and the truth; scaled back to native units.

    A question about an episode that two members left out is there twice.

    Attributes:
        samples: of a member that did not train on the episode.
        truth: NaN where not observed.
        origin: the episode, by position, and the row that each case starts from.
        member: that was asked.
        shift: what `samples` were moved by for what is known of the individual.
        individual: how strange it is, see `Known.grounds`.
        persistence: of readings, see `foreworld.reasoning.persistence`; none where there are none.
    """

    samples: Float[np.ndarray, "draw case step target"]
    truth: Float[np.ndarray, "case step target"]
    origin: Int[np.ndarray, "case 2"]
    member: Int[np.ndarray, " case"]
    shift: Float[np.ndarray, "case step target"]
    individual: Float[np.ndarray, "ground case step"]
    persistence: list[float] = field(default_factory=list)


def spread_origins(
    data: Episodes, episodes: Int[np.ndarray, " episode"], *, horizon: int, limit: int
) -> list[tuple[int, int]]:
    """Up to `limit` (episode, row) origins, evenly over the rows that have `horizon` rows after them."""
    places = [(int(index), row) for index in episodes for row in range(data[int(index)].steps - horizon + 1)]
    if len(places) <= limit:
        return places
    return [places[int(place)] for place in np.linspace(0, len(places) - 1, limit)]


def forecast_held_out(
    network: Network,
    encoding: Encoding,
    data: Episodes,
    held_out: list[Int[np.ndarray, " _"]],
    parts: Sequence[Part],
    *,
    seed: int,
) -> HeldOut:
    """Ask each member about the episodes that it left out; members that left out the same ones are asked once.

    What is missed about them is told as the law says that was learnt without them, see `fit_population`.
    """
    horizon = network.config.horizon
    members = {tuple(fold.tolist()): member for member, fold in enumerate(held_out)}
    every = spread_origins(data, np.unique(np.concatenate(held_out)), horizon=horizon, limit=network.config.cases)
    samples, truth, origin, asked, shifts, individual, compared = [], [], [], [], [], [], []
    centre, scale = encoding.scaling.of(encoding.schema.targets)
    for (fold, member), part in product(members.items(), parts):
        own = set(fold) & set(part.episodes.tolist())
        origins = [place for place in every if place[0] in own]
        if not origins:
            continue
        cases = cut(data, origins, horizon)
        alone = only(network, encoding, member)
        known = part.population.know(look_back(alone, encoding, cases.histories))
        facts = Terms.of(cases.histories, cases.plan, encoding)
        moved = np.zeros(cases.truth.shape)
        # As many draws as in every forecast: extreme quantiles depend a little on their number.
        draws = network.config.draws
        for start in range(0, len(origins), BATCH):
            some = cases.histories.take(range(start, min(start + BATCH, len(origins))))
            plan = cases.plan.take(slice(start, start + BATCH))
            noise = batch_seed(seed, len(samples))
            here = slice(start, start + BATCH)
            drawn = draw(alone, some, plan, encoding, draws=draws, seed=noise)
            moved[here] = known.take(range(*here.indices(len(origins)))).shift(facts.take(here), drawn) * scale
            samples.append(drawn[0] * scale + moved[here] + centre)
            if isinstance(alone, WorldNetwork) and start // BATCH % EVERY == 0:
                steady = draw(alone, some, plan, encoding, draws=draws, seed=noise, persistence=[1.0] * len(scale))[0]
                compared.append(
                    (samples[-1], steady * scale + moved[here] + centre, cases.truth[start : start + BATCH])
                )
        truth.append(cases.truth)
        origin.append(np.array(origins))
        asked.append(np.full(len(origins), member))
        shifts.append(moved)
        individual.append(known.grounds(facts))
    found = HeldOut(
        samples=np.concatenate(samples, 1).astype(np.float32),
        truth=np.concatenate(truth),
        origin=np.concatenate(origin),
        member=np.concatenate(asked),
        shift=np.concatenate(shifts),
        individual=np.concatenate(individual, axis=1),
    )
    if not compared:
        return found
    loose, steady, came = zip(*compared, strict=True)
    continuous = [variable.kind == "continuous" for variable in encoding.schema.targets]
    lasting = fit_persistence(np.concatenate(loose, 1), np.concatenate(steady, 1), np.concatenate(came), continuous)
    return replace(found, persistence=lasting)


def batch_seed(seed: int, start: int) -> int:
    """Noise of its own for each batch of questions.

    One set of draws is a little too wide or too narrow, by 6% of a 90% interval for 100 of them, and so for every
    question that it serves. Calibrated on one set, intervals would be off by as much on any other: scores are
    exchangeable with new ones only if their noise is as well.
    """
    return int(np.random.default_rng([seed, 5, start]).integers(2**62))


def only(network: Network, encoding: Encoding, member: int) -> Network:
    """One member of the ensemble as an ensemble of one."""
    alone = build_network(network.config.model_copy(update={"members": 1}), encoding, seed=0)
    alone.load_state_dict({name: value[member : member + 1] for name, value in network.state_dict().items()})
    return alone.requires_grad_(False)


def calibrate(
    held_out: HeldOut, encoding: Encoding, members: int, growth: Float[np.ndarray, "question step"]
) -> Calibration:
    """Calibration of an ensemble of so many members from held-out forecasts of single ones.

    Args:
        held_out: what members say of questions that they left out.
        encoding: of the model.
        members: of the ensemble.
        growth: of the error of each question of `spread_origins`, as `fit_support` gives it.
    """
    targets, group = encoding.schema.targets, held_out.origin[:, 0]
    question = np.unique(held_out.origin, axis=0, return_inverse=True)[1].reshape(-1)
    held_out = replace(held_out, samples=widened(held_out.samples, growth[question], targets))
    continuous = [variable.kind == "continuous" for variable in targets]
    alone = fit_calibration(held_out.samples, held_out.truth, continuous, group)
    calibrated = replace(held_out, samples=alone.apply(held_out.samples))
    # Of the ensemble interval and error are smaller alike, so that the band of a member is that of the ensemble.
    band = fit_band(bounded(calibrated.samples, targets), held_out.truth, continuous)
    gain = np.where(np.array(continuous)[:, None], ensemble_gain(calibrated, members), 1.0)
    factors = (np.array(alone.factors) * gain).tolist()
    return alone.model_copy(update={"factors": factors, "band": band, "persistence": held_out.persistence})


def ensemble_gain(held_out: HeldOut, members: int) -> Float[np.ndarray, "step target level"]:
    """How much narrower than a calibrated member's the interval of the ensemble is to be, by LEVELS; 1 if not known.

    Averaging leaves large errors, which members share, and takes away small ones, so that it gains more in the middle
    of the distribution than in its tails. What two members gain is measured on the questions that both were asked, as
    the stretch of their averaged interval that covers as much. Of M members it follows as in a mean of M forecasts,
    whose squared error is that of one less (1 - 1/M) of the variance between them (Krogh and Vedelsby, NeurIPS 1995).
    """
    _, question, counts = np.unique(held_out.origin, axis=0, return_inverse=True, return_counts=True)
    twice = np.flatnonzero(counts[question] == 2)
    steps, targets = held_out.truth.shape[1:]
    if not twice.size or members == 1:
        return np.ones((steps, targets, len(LEVELS)))
    pairs = twice[np.argsort(question[twice], kind="stable")].reshape(-1, 2)
    alone = held_out.samples[:, pairs.T.reshape(-1)]
    together = np.sort(held_out.samples[:, pairs].astype(np.float64), axis=0).mean(2)
    truth = held_out.truth[pairs[:, 0]].astype(np.float64)
    share = np.stack(
        [
            _needed(together, truth, level) / np.maximum(_needed(alone, np.concatenate([truth, truth]), level), 1e-9)
            for level in LEVELS
        ],
        axis=-1,
    )
    squared = 1 - 2 * (1 - 1 / members) * (1 - _smooth(np.where(share > 0, share, 1.0)) ** 2)
    return np.sqrt(np.clip(squared, 1 / members**2, 1))


def _needed(
    samples: Float[np.ndarray, "draw case step target"], truth: Float[np.ndarray, "case step target"], level: float
) -> Float[np.ndarray, "step target"]:
    """The stretch at which the central interval that ends at a level holds as many truths as it should."""
    share = abs(2 * level - 1)
    low, middle, high = quantiles(samples, [(1 - share) / 2, 0.5, (1 + share) / 2]).astype(np.float64)
    return conformal_quantile(misses(low, middle, high, truth), share)


def _smooth(values: Float[np.ndarray, "step target level"]) -> Float[np.ndarray, "step target level"]:
    """Mean over neighbouring steps, a third of all: few cases are asked of two members."""
    reach = max(len(values) // 6, 1)
    total = np.cumsum(np.concatenate([np.zeros_like(values[:1]), values]), axis=0)
    first = np.maximum(np.arange(len(values)) - reach, 0)
    last = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    return (total[last] - total[first]) / (last - first)[:, None, None]
