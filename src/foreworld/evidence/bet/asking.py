"""Putting the same questions to every contender, and what is kept of an answer."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases
from foreworld.evidence.bet.contenders import Fitted
from foreworld.evidence.evaluate import subset
from foreworld.reasoning.forecast import encode_now, invent
from foreworld.reasoning.imagination import Imagination, own_error
from foreworld.reasoning.pool import bounded
from foreworld.world.network import WorldNetwork


@dataclass(frozen=True)
class Answer:
    """What a contender says.

    Attributes:
        samples: futures as they are handed out, within the physical bounds of the schema.
        unbounded: the same before they were cut at these bounds.
        malformed: share of the futures in which a value of this step could not be read.
        supported: where the contender vouches for its answer; all of it, if it has no say in that.
        expected: the error of the answer that it expects, native units.
    """

    samples: Float[np.ndarray, "member case step target"]
    unbounded: Float[np.ndarray, "member case step target"]
    malformed: Float[np.ndarray, "case step"]
    supported: Bool[np.ndarray, "case step"]
    expected: Float[np.ndarray, "case step target"]


def ask(fitted: Fitted, cases: Cases, *, members: int, seed: int) -> Answer:
    """Forecast every case."""
    shape, targets = cases.truth.shape[:2], cases.histories.schema.targets
    model = fitted.model
    if model is None:
        unbounded = fitted.forecaster.forecast(cases.histories, cases.plan, members=members, seed=seed)
        samples = bounded(unbounded, targets)
        return Answer(samples, unbounded, np.zeros(shape), np.ones(shape, bool), own_error(samples, targets))
    network, encoding = model.network, model.encoding
    draws = max(model.config.draws, -(-members // model.config.members))
    malformed = np.zeros(shape)
    if isinstance(network, WorldNetwork):
        drawn = model.draw(cases.histories, cases.plan, draws=draws, seed=seed)
    else:
        futures = invent(network, cases.histories, cases.plan, encoding, draws=draws, seed=seed)
        drawn, malformed = futures.values.numpy(), futures.malformed.any(-1).float().mean((0, 1)).double().numpy()
        drawn = model.of_individuals(drawn, cases.histories, cases.plan)
    beliefs = encode_now(network, cases.histories, encoding)
    # Futures of beliefs are cheap to draw again, and are drawn as for anybody's question.
    again = None if isinstance(network, WorldNetwork) else drawn
    individual = model.individual(cases.histories, cases.plan)
    verdict = model.support.judge(network, encoding, beliefs, cases.histories, cases.plan, individual, drawn=again)
    unbounded = model.calibrated(drawn, members, cases.histories, verdict.growth)
    found = Imagination(bounded(unbounded, targets), verdict, cases.histories, cases.plan)
    return Answer(found.samples, unbounded, malformed, found.supported, found.expected_error())


def fewer(cases: Cases, count: int) -> tuple[Cases, np.ndarray]:
    """Evenly spread cases, and their positions among all."""
    places = np.unique(np.linspace(0, len(cases.truth) - 1, min(count, len(cases.truth))).round().astype(int))
    return subset(cases, places.tolist()), places


def noisy(cases: Cases, share: float, scale: Float[np.ndarray, " observation"], seed: int) -> Cases:
    """Histories measured with more noise: normal, with a standard deviation of a share of each channel's own."""
    rng = np.random.default_rng(seed)
    schema = cases.histories.schema
    kinds = np.array([variable.kind == "continuous" for variable in schema.observations])
    low, high = np.array([variable.bounds for variable in schema.observations]).T

    def disturb(values: np.ndarray) -> np.ndarray:
        moved = values + kinds * share * scale * rng.normal(size=values.shape)
        return np.where(np.isfinite(values), np.clip(moved, low, high), values)

    return _seen(cases, disturb)


def patchy(cases: Cases, share: float, seed: int) -> Cases:
    """Histories of which a share of all values is missing."""
    rng = np.random.default_rng(seed)
    return _seen(cases, lambda values: np.where(rng.random(values.shape) < share, np.nan, values))


def _seen(cases: Cases, change) -> Cases:  # noqa: ANN001
    episodes = tuple(replace(episode, observations=change(episode.observations)) for episode in cases.histories)
    histories = Episodes(cases.histories.schema, episodes, cases.histories.backend)
    return replace(cases, histories=histories)
