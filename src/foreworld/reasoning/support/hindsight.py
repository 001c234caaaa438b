"""How well would the model have foretold the end of the very history that it is asked about?

A world that has changed - another sensor, another dynamics - often leaves single beliefs as they always were; what gives
it away is that the latest rows did not come as the model expects. From some past rows of the history the model looks
ahead along what was then done, and what it expected is compared with what came: each target, and the belief itself,
which covers what is not a target.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.scaling import Encoding
from foreworld.data.tabulate import encode_histories, move_width
from foreworld.reasoning.support.familiar import whiten
from foreworld.world.network import WorldNetwork
from foreworld.world.readout import Reading, binary_logits, deviation

ANCHORS = 12  # Past rows from which the model looks ahead, at most.
LAGS = (1, 4, 12)  # How many rows ahead what came is compared.
DRAWS = 8  # Of the noise, a member.
PRIOR = 4.0  # Comparisons at their usual size that every history is given: a short one has little to say.
CAP = 30.0  # Times the usual size at most: one glitch is not a change.


@dataclass(frozen=True)
class Misses:
    """What came against what was expected, in squares of expected deviations.

    Attributes:
        targets: each target at each lag.
        beliefs: encoded minus expected belief.
        known: whether the history is long enough for this anchor and lag.
    """

    targets: Float[Tensor, "member episode anchor lag target"]
    beliefs: Float[Tensor, "member episode anchor lag latent"]
    known: Bool[Tensor, "episode anchor lag"]

    def of(self, member: int, episodes: Bool[Tensor, " episode"]) -> "Misses":
        """Of one member about some of the histories."""
        return Misses(self.targets[member, None, episodes], self.beliefs[member, None, episodes], self.known[episodes])


@dataclass(frozen=True)
class Hindsight:
    """What misses are usual on held-out histories.

    Attributes:
        whitening: of the misses of beliefs, by member and lag.
        usual: mean of each channel's squared miss, the belief last.
        border: what 98% of held-out histories stay below, to make channels comparable.
    """

    whitening: Float[Tensor, "member lag latent latent"]
    usual: Float[Tensor, "lag channel"]
    border: Float[Tensor, "lag channel"]

    @classmethod
    def fit(cls, misses: list[Misses]) -> "tuple[Hindsight, Float[Tensor, ' episode']]":
        """From the misses of each member about histories that it was not trained on; and their measures, in turn."""
        latent = misses[0].beliefs.shape[-1]
        lags = misses[0].known.shape[-1]
        whitening = torch.eye(latent).expand(len(misses), lags, -1, -1).clone()
        for member, missed in enumerate(misses):
            for lag in range(lags):
                rows = missed.beliefs[0, :, :, lag][missed.known[..., lag]]
                if len(rows) > 1:
                    whitening[member, lag] = whiten(rows)
        ones = torch.ones(lags, misses[0].targets.shape[-1] + 1)
        plain = cls(whitening, ones, ones)
        squares = [plain._squares(missed, slice(m, m + 1)) for m, missed in enumerate(misses)]
        known = torch.cat([missed.known[..., None] & part[0].isfinite() for missed, part in zip(misses, squares, strict=True)])
        every = torch.cat([part[0] for part in squares])
        counts = known.sum((0, 1))
        usual = torch.where(known, every.nan_to_num(), 0).sum((0, 1)) / counts.clamp_min(1)
        usual = torch.where(counts > 0, usual, 1.0).clamp_min(1e-6)
        scaled = replace(plain, usual=usual)
        means = torch.cat([scaled._means(missed, slice(m, m + 1))[0] for m, missed in enumerate(misses)])
        border = means.quantile(0.98, dim=0)
        return replace(scaled, border=border), (means / border).flatten(1).amax(1)

    def measure(self, misses: Misses) -> tuple[Float[Tensor, " episode"], Float[Tensor, "episode lag channel"]]:
        """The worst channel of each history, in units of its border, and every channel in units of what is usual."""
        means = self._means(misses, slice(None)).mean(0)
        return (means / self.border).flatten(1).amax(1), means

    def _squares(self, misses: Misses, members: slice) -> Float[Tensor, "member episode anchor lag channel"]:
        white = torch.einsum("mealj,mljk->mealk", misses.beliefs, self.whitening[members])
        belief = white.square().mean(-1, keepdim=True)
        return torch.cat([misses.targets.square(), belief], dim=-1)

    def _means(self, misses: Misses, members: slice) -> Float[Tensor, "member episode lag channel"]:
        """Mean squared miss over the anchors in units of what is usual, drawn to one where there are few."""
        ratio = (self._squares(misses, members) / self.usual).clamp_max(CAP)
        known = misses.known[..., None] & ratio.isfinite()
        return (torch.where(known, ratio, 0).sum(2) + PRIOR) / (known.sum(2) + PRIOR)


@torch.no_grad()
def look_back(network: WorldNetwork, histories: Episodes, encoding: Encoding) -> Misses:
    """Look ahead from past rows of each history, along what was done."""
    parts = [_look_back(network, histories, encoding, slice(at, at + 64)) for at in range(0, len(histories), 64)]
    targets, beliefs = (torch.cat([getattr(part, name) for part in parts], 1) for name in ("targets", "beliefs"))
    return Misses(targets, beliefs, torch.cat([part.known for part in parts]))


def _look_back(network: WorldNetwork, histories: Episodes, encoding: Encoding, pick: slice) -> Misses:
    config, episodes = network.config, tuple(histories)[pick]
    lags = [lag for lag in LAGS if lag <= config.horizon]
    rows = torch.from_numpy(encode_histories(episodes, encoding, config.context))
    last = torch.tensor([min(len(episode.time), config.context) - 1 for episode in episodes])
    beliefs = network.encoder(rows.expand(config.members, *rows.shape))
    anchors, ahead = _places(last, lags[-1])
    reached = anchors[..., None] + ahead
    known = (reached <= last[:, None, None]) & (anchors >= 0)[..., None]
    place = reached.clamp(min=0).minimum(last[:, None, None]).clamp_min(0)
    index = torch.arange(len(episodes))[:, None, None]
    seen = encoding.width("observation")
    moves = rows[index, place, seen : seen + move_width(encoding)]
    elapsed = _elapsed(episodes, encoding, config.context, rows.shape[1])[index, place]
    latent, noise = beliefs.shape[-1], torch.randn(
        config.members, DRAWS, lags[-1], config.noise, generator=torch.Generator().manual_seed(0)
    )
    count = anchors.numel()
    start = beliefs[:, index[..., 0], anchors.clamp_min(0)].flatten(1, 2)
    rolled = network.rollout(
        start.repeat_interleave(DRAWS, 1),
        moves.flatten(0, 1).repeat_interleave(DRAWS, 0).expand(config.members, -1, -1, -1),
        elapsed.flatten(0, 1).repeat_interleave(DRAWS, 0).expand(config.members, -1, -1),
        noise.repeat(1, count, 1, 1),
    )
    at = torch.tensor(lags) - 1
    rolled = rolled[:, :, at].unflatten(1, (*anchors.shape, DRAWS))
    targets = _targets(episodes, encoding, config.context, rows.shape[1])[index, place[..., at]]
    expected = rolled.mean(3)
    came = beliefs[:, index, place[..., at]]
    squares = _squared(network.readout(rolled), targets)
    assert expected.shape[-1] == latent
    return Misses(squares, came - expected, known[..., at])


def _places(last: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Anchor rows of each history, evenly over it and never the last; -1 where there are fewer. And the rows ahead."""
    share = torch.arange(ANCHORS) / ANCHORS
    few = last < ANCHORS
    spread = last[:, None] - 1 - (share * last[:, None]).floor().long()
    each = last[:, None] - 1 - torch.arange(ANCHORS)
    return torch.where(few[:, None], each.clamp_min(-1), spread), torch.arange(1, longest + 1)


def _elapsed(episodes: tuple, encoding: Encoding, context: int, rows: int) -> Float[Tensor, "episode row"]:
    """Time since the row before, in median steps."""
    out = np.ones((len(episodes), rows), np.float32)
    for index, episode in enumerate(episodes):
        time = episode.time[-context:]
        out[index, 1 : len(time)] = np.diff(time) / encoding.scaling.step
    return torch.from_numpy(out)


def _targets(episodes: tuple, encoding: Encoding, context: int, rows: int) -> Float[Tensor, "episode row target"]:
    """Scaled targets."""
    schema = encoding.schema
    centre, scale = encoding.scaling.of(schema.targets)
    out = np.full((len(episodes), rows, len(schema.targets)), np.nan, np.float32)
    for index, episode in enumerate(episodes):
        seen = episode.observations[-context:, list(schema.target_indices)]
        out[index, : len(seen)] = (seen - centre) / scale
    return torch.from_numpy(out)


def _squared(
    reading: Reading, truth: Float[Tensor, "episode anchor lag target"]
) -> Float[Tensor, "member episode anchor lag target"]:
    """Squared miss over its expectation (Pearson's chi square for categories); NaN where the truth is missing."""
    missed = []
    for index, (variable, part) in enumerate(zip(reading.variables, reading.parts(), strict=True)):
        came = truth[..., index]
        if variable.kind == "continuous":
            mean, spread = part[..., 0].movedim(3, 0), deviation(part[..., 1]).movedim(3, 0)
            variance = spread.square().mean(0) + mean.var(0, correction=0)
            missed.append((came - mean.mean(0)) / variance.sqrt())
        else:
            logits = binary_logits(part) if variable.kind == "binary" else part
            chances = torch.softmax(logits, -1).mean(3)
            code = came.nan_to_num().long().expand(chances.shape[:-1])[..., None]
            chance = chances.gather(-1, code)[..., 0].clamp_min(0.01)
            missed.append(torch.where(came.isfinite(), (1 / chance - 1).sqrt(), torch.nan))
    return torch.stack(missed, dim=-1)
