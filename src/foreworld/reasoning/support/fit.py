"""Learn from held-out questions what support looks like.

Every measure of a held-out question is taken by a member that was not trained on its episode, so that it is what a new
question would give. Only the disagreement needs all members: it is scaled to what two members that both left out an
episode show (`spread.honest_share`).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, cut
from foreworld.data.scaling import Encoding
from foreworld.reasoning.forecast import encode_now
from foreworld.reasoning.held_out import only, spread_origins
from foreworld.reasoning.support.error import ErrorModel
from foreworld.reasoning.support.evidence import Evidence, Measures, by_target, usual_between
from foreworld.reasoning.support.familiar import Familiar
from foreworld.reasoning.support.hindsight import Hindsight, Misses, look_back
from foreworld.reasoning.support.judge import Support, strangeness
from foreworld.reasoning.support.overlap import Overlap
from foreworld.reasoning.support.ranks import Ranks
from foreworld.reasoning.support.spread import Spread, channels, honest_share, spread_of
from foreworld.world.network import WorldNetwork

CASES = 1000  # Held-out questions.
REFERENCES = 512  # Training beliefs kept a member.


def fit_support(
    network: WorldNetwork,
    encoding: Encoding,
    data: Episodes,
    held_out: list[Int[np.ndarray, " _"]],
    gain: Float[np.ndarray, "step target"],
    *,
    seed: int,
) -> Support:
    """Fit every part.

    Args:
        network, encoding: of the model.
        data: all its episodes.
        held_out: for each member, the positions of those that it left out.
        gain: error of the ensemble as a share of a member's.
        seed: of the choice of references.
    """
    rng = np.random.default_rng([seed, 3])
    horizon = network.config.horizon
    origins = spread_origins(data, np.unique(np.concatenate(held_out)), horizon=horizon, limit=CASES)
    cases = cut(data, origins, horizon)
    whose = np.array([index for index, _ in origins])
    left_out = np.stack([np.isin(whose, fold) for fold in held_out])
    asked = left_out.argmax(0)
    beliefs = encode_now(network, cases.histories, encoding)
    familiar = Familiar.fit(*_training_beliefs(network, encoding, data, held_out, rng))
    misses = look_back(network, cases.histories, encoding)
    hindsight, missed = _fit_hindsight(misses, asked, len(held_out))
    overlap = Overlap.fit(data, encoding, rng)
    spread = spread_of(network, beliefs, cases.histories, cases.plan, encoding)
    share = honest_share(spread, left_out)
    measures = Measures(familiar, hindsight, overlap, *usual_between(spread, share))
    own, every = asked, np.arange(len(asked))
    distance, norm, near = familiar.measure(beliefs)
    unlike, near_actions = overlap.measure(cases.histories, cases.plan, encoding, torch.from_numpy(whose))
    evidence = measures.join(
        encoding,
        history=distance[own, every].numpy(),
        norm=norm[own, every].numpy(),
        hindsight=missed.numpy(),
        missed=np.zeros((len(own), 0, 0)),
        overlap=unlike.numpy(),
        between=np.sqrt(spread.variance() * share),
        within=spread.width[own, every],
        near_history=near[own, every].numpy(),
        near_actions=near_actions.numpy(),
    )
    return _rank(measures, evidence, _errors(spread, asked, cases, encoding) * gain, data)


def _rank(
    measures: Measures, evidence: Evidence, error: Float[np.ndarray, "case step target"], data: Episodes
) -> Support:
    ranks = Ranks.fit(np.moveaxis(evidence.grounds, 1, 0))
    usual = np.maximum(np.median(evidence.grounds, axis=(1, 2)), 1e-6)
    return Support(
        measures=measures,
        ranks=ranks,
        together=Ranks.fit(strangeness(ranks, evidence.grounds)),
        usual=usual,
        error=ErrorModel.fit(evidence.features(usual), error),
        names=tuple(episode.id for episode in data),
    )


def _fit_hindsight(
    misses: Misses, asked: Int[np.ndarray, " case"], members: int
) -> tuple[Hindsight, Float[Tensor, " case"]]:
    """From what each member missed in its own questions; and how much that was, in the order of the questions."""
    parts = [misses.of(member, torch.from_numpy(asked == member)) for member in range(members)]
    hindsight, measured = Hindsight.fit(parts)
    order = np.concatenate([np.flatnonzero(asked == member) for member in range(members)])
    return hindsight, measured[torch.from_numpy(np.argsort(order))]


def _errors(
    spread: Spread, asked: Int[np.ndarray, " case"], cases: Cases, encoding: Encoding
) -> Float[np.ndarray, "case step target"]:
    """Absolute error of the mean of the member that left out the episode; native units, or of probabilities."""
    centre, scale = encoding.scaling.of(encoding.schema.targets)
    truth = channels((cases.truth - centre) / scale, encoding)
    return by_target(truth - spread.mean[asked, np.arange(len(asked))], encoding) * scale


def _training_beliefs(
    network: WorldNetwork,
    encoding: Encoding,
    data: Episodes,
    held_out: list[Int[np.ndarray, " _"]],
    rng: np.random.Generator,
) -> tuple[Float[Tensor, "member reference latent"], Int[Tensor, "member reference"]]:
    """Beliefs of each member at random rows of its training episodes, and whose they are."""
    lengths = np.array([episode.steps + 1 for episode in data], float)
    beliefs, episodes = [], []
    for member, fold in enumerate(held_out):
        seen: Bool[np.ndarray, " episode"] = ~np.isin(np.arange(len(data)), fold)
        # Always as many, with repeats where there are fewer rows, to stack evenly.
        chosen = rng.choice(len(data), size=REFERENCES, p=lengths * seen / (lengths * seen).sum())
        histories = [data[int(index)].until(int(rng.integers(0, lengths[index]))) for index in chosen]
        alone = only(network, encoding, member)
        beliefs.append(encode_now(alone, Episodes(data.schema, tuple(histories)), encoding)[0])
        episodes.append(torch.from_numpy(chosen))
    return torch.stack(beliefs), torch.stack(episodes)
