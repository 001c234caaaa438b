"""Learn from held-out questions what support looks like.

New questions are to be judged as held-out ones were, so no question is measured against its own episode: neighbours
are sought in others, and how a member errs is taken from one that was not trained on it. The disagreement needs all
members: it is scaled to what two that both left out an episode show (`Spread.honest_share`).
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import nnls
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import cut
from foreworld.data.scaling import Encoding
from foreworld.reasoning.forecast import encode_now
from foreworld.reasoning.held_out import HeldOut, only, spread_origins
from foreworld.reasoning.support.familiar import Familiar
from foreworld.reasoning.support.hindsight import Hindsight, look_back
from foreworld.reasoning.support.judge import TAIL, Past, Support, gather, growth, relative, strangeness
from foreworld.reasoning.support.neighbours import Neighbours
from foreworld.reasoning.support.overlap import fit_overlap
from foreworld.reasoning.support.ranks import Ranks
from foreworld.reasoning.support.spread import channels, spread_of
from foreworld.reasoning.support.verdict import GROUNDS
from foreworld.world.build import Network

REFERENCES = 1024  # Training beliefs kept a member.
RIDGE, LEAST = 0.02, 0.05  # A share of cases that say that a weight is zero; smallest error as a share of the mean.
MARGIN = 1.25  # How far beyond the levels of held-out questions a new one has to lie.
FLOOR = 1e-3  # Directions in which beliefs hardly vary are not blown up.


def fit_support(
    network: Network,
    encoding: Encoding,
    data: Episodes,
    held_out: list[Int[np.ndarray, " _"]],
    answers: HeldOut,
    *,
    seed: int,
) -> tuple[Support, Float[np.ndarray, "question step"]]:
    """Fit every part; and how much larger than usual it lets expect the error of each question of `spread_origins`.

    Args:
        network, encoding: of the model.
        data: all its episodes.
        held_out: for each member, the positions of those that it left out.
        answers: of members to these questions.
        seed: of the choice of references.
    """
    rng = np.random.default_rng([seed, 3])
    horizon = network.config.horizon
    every = np.unique(np.concatenate(held_out))
    origins = spread_origins(data, every, horizon=horizon, limit=network.config.cases)
    cases, whose = cut(data, origins, horizon), np.array([index for index, _ in origins])
    left_out = np.stack([np.isin(whose, fold) for fold in held_out])
    first = np.unique(answers.origin, axis=0, return_index=True)[1]
    asked = answers.member[first]
    beliefs = encode_now(network, cases.histories, encoding)
    spread = spread_of(network, beliefs, cases.histories, cases.plan, encoding)
    nearest = Neighbours.fit(*_training_beliefs(network, encoding, data, held_out, rng), FLOOR)
    steps = fit_overlap(data, encoding, rng)
    familiar = Familiar.fit(data, encoding, horizon, seed, beliefs=nearest, steps=steps)
    disagreement = spread.disagreement(spread.honest_share(left_out))
    between = np.maximum(np.sqrt(np.square(disagreement).mean(0)), 1e-6)
    missed = _missed(network, encoding, cases.histories, asked)
    hindsight = Hindsight.fit(missed)
    own = torch.from_numpy(whose)
    past = Past(*familiar.past(beliefs, cases.histories, encoding, own), hindsight.relative(missed))
    course = familiar.course(cases.histories, cases.plan, encoding, horizon, own)
    evidence = gather(past, *course, disagreement / between, answers.individual[:, first])
    # An episode has one level, and of episodes there are few: the next may lie a little beyond them all.
    evidence.grounds[GROUNDS.index("level")] *= MARGIN
    ranks = Ranks.fit(np.moveaxis(evidence.grounds, 1, 0), TAIL)
    centre, scale = encoding.scaling.of(encoding.schema.targets)
    expected = (cases.truth - answers.shift[first] - centre) / scale
    off = spread.missed(channels(expected, encoding)[0], asked)
    usual = np.maximum(np.median(evidence.learnt, axis=1), 1e-6)
    weights = _weights(relative(evidence.learnt, usual)[..., -1].T, off)
    support = Support(
        familiar=familiar,
        hindsight=hindsight,
        usual=usual,
        weights=weights,
        between=between,
        error=spread.usual_error(),
        ranks=ranks,
        together=Ranks.fit(strangeness(ranks, evidence.grounds), 1.0),
        names=tuple(episode.id for episode in data),
    )
    return support, growth(evidence.learnt, usual, weights)


def _missed(
    network: Network, encoding: Encoding, histories: Episodes, asked: Int[np.ndarray, " case"]
) -> Float[np.ndarray, "case statistic channel"]:
    """How far off the one member that is asked was in each history."""
    found: dict[int, np.ndarray] = {}
    for member in np.unique(asked).tolist():
        own = np.flatnonzero(asked == member).tolist()
        missed = look_back(only(network, encoding, member), encoding, histories.take(own))[0]
        found |= dict(zip(own, missed, strict=True))
    return np.stack([found[case] for case in range(len(asked))])


def _weights(
    strange: Float[np.ndarray, "case ground"], off: Float[np.ndarray, " case"]
) -> Float[np.ndarray, " ground"]:
    """log error = sum of weight x log ground, by least squares; none is negative: nothing strange looks good."""
    x, y = strange - strange.mean(0), np.log(np.maximum(off, LEAST * off.mean() + 1e-9))
    gram = x.T @ x / len(x) + RIDGE * np.eye(x.shape[1])
    root = np.linalg.cholesky(gram)
    return nnls(root.T, np.linalg.solve(root, x.T @ (y - y.mean()) / len(x)))[0]


def _training_beliefs(
    network: Network,
    encoding: Encoding,
    data: Episodes,
    held_out: list[Int[np.ndarray, " _"]],
    rng: np.random.Generator,
) -> tuple[Float[Tensor, "member reference latent"], Int[Tensor, "member reference"]]:
    """Beliefs of each member at random rows of its training episodes, and whose they are."""
    lengths = np.array([episode.steps + 1 for episode in data], float)
    beliefs, episodes = [], []
    for member, fold in enumerate(held_out):
        seen = ~np.isin(np.arange(len(data)), fold)
        # Always as many, with repeats where there are fewer rows, to stack evenly.
        chosen = rng.choice(len(data), size=REFERENCES, p=lengths * seen / (lengths * seen).sum())
        histories = [data[int(index)].until(int(rng.integers(0, lengths[index]))) for index in chosen]
        alone = only(network, encoding, member)
        beliefs.append(encode_now(alone, Episodes(data.schema, tuple(histories)), encoding)[0])
        episodes.append(torch.from_numpy(chosen))
    return torch.stack(beliefs), torch.stack(episodes)
