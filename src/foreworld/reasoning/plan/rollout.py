"""The one batched rollout behind every planner: members x noise draws x episodes x candidates, with no loop over any.

Actions enter the network's first layer affinely, directly and through their leaky sums. So all else that layer is given
is computed once, and a candidate costs its own few columns. Every candidate meets the same noise (common random
numbers): plans differ by what they do alone.
"""

from collections.abc import Sequence
from copy import copy
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu

from foreworld.allocator import keep_large_allocations
from foreworld.cores import on_each_core
from foreworld.data.episodes import Episodes
from foreworld.data.layout import move_columns
from foreworld.data.memory import decay, doses, memories, memory_width, since_action
from foreworld.data.plan import Plan
from foreworld.data.scaling import LIMIT, Encoding
from foreworld.data.tabulate import encode_plan
from foreworld.nets.ensemble import affine
from foreworld.reasoning.calibrate import LEVELS, Calibration, widened
from foreworld.reasoning.individual.look import LEAST, Terms
from foreworld.reasoning.individual.population import Known
from foreworld.reasoning.plan.futures import Actions, Futures
from foreworld.reasoning.pool import pool
from foreworld.world.draws import decorrelated, persistent, stratified
from foreworld.world.network import WorldNetwork
from foreworld.world.readout import Reading, binary_logits, deviation

CHUNK_ROWS = 1280  # Members x draws x candidates that go through the network together: they stay in the cache.
TRIALS = 2000  # Handfuls of draws to choose from.
_IQR = 1.349  # Interquartile range of a normal, in standard deviations.


class ModelRollout:
    """A world model behind some histories.

    Args:
        network, encoding, calibration: of the world model.
        beliefs: after each history.
        known: of the individual behind each.
        histories, plan: what was known; what is known of the future, and the actions that no candidate changes.
        growth: of the error by step, see `foreworld.reasoning.calibrate.widened`.
        draws: of the noise, a member: in the search, and for the answer.
        seed: of the noise.
    """

    def __init__(
        self,
        network: WorldNetwork,
        encoding: Encoding,
        calibration: Calibration,
        beliefs: Float[Tensor, "member episode latent"],
        known: Known,
        histories: Episodes,
        plan: Plan,
        growth: Float[np.ndarray, "episode step"],
        *,
        draws: tuple[int, int],
        seed: int,
    ):
        keep_large_allocations()
        self.network, self.encoding, self.calibration, self.beliefs = network, encoding, calibration, beliefs
        self.growth, self.seed = growth, seed
        moves, elapsed = (torch.from_numpy(array) for array in encode_plan(histories, plan, encoding))
        self.left = torch.from_numpy(decay(since_action(histories, plan, encoding), encoding))
        self.memory = torch.from_numpy(memories(histories, encoding))
        shift = known.by_sums(Terms.of(histories, plan, encoding))
        self.shift, self.slope = (torch.from_numpy(part).float() for part in shift)
        self._take_apart(moves, elapsed)
        self.many = self._noise(draws[1])
        self.few = self._representative(draws[0], torch.from_numpy(plan.actions).float()[:, None])

    @torch.no_grad()
    def _take_apart(self, moves: Float[Tensor, "episode step move"], elapsed: Float[Tensor, "episode step"]) -> None:
        """Split the first layer into what stands before belief, actions, all other moves, and noise."""
        predictor = self.network.predictor
        bias = torch.cat([predictor.entry.bias, predictor.linear.bias], dim=2)
        weight = torch.cat([predictor.entry.weight, predictor.linear.weight], dim=2)
        # What is added last is the same wherever it is added.
        bias[..., predictor.hidden :] += predictor.exit.bias
        self.inner = predictor.inner.weight.detach(), predictor.inner.bias.detach()
        self.exit = predictor.exit.weight.detach()
        self.reader = [tuple(part.detach() for part in layer) for layer in self.network.readout.of_targets()]
        acted, memory = move_columns(self.encoding)[0], self.encoding.width("action")
        own = [place for column in acted for place in range(column.start, column.start + column.variable.width)]
        own += range(memory, memory + memory_width(self.encoding))
        belief, move, noise = weight.split(predictor.parts, dim=1)
        self.from_belief, self.from_noise = belief.contiguous(), noise
        self.from_actions = move[:, own].contiguous()
        others = moves.clone()
        others[..., own] = 0.0
        others[..., [column.flag for column in acted]] = 1.0  # Every action of a candidate is known.
        self.constant = torch.einsum("esi,mih->mesh", others, move) + bias[:, None]
        spans = elapsed.expand(self.network.config.members, -1, -1)
        self.keep, self.share = predictor.keep(spans), predictor.share(spans)  # [member, episode, step, latent]

    @torch.no_grad()
    def _noise(self, draws: int) -> tuple[Tensor, Tensor]:
        """What each draw adds to the first layer at each step, and the uniform numbers that its readings are drawn by.

        The numbers are those of `foreworld.reasoning.forecast.sample` for the same draws and seed.
        """
        members, _, horizon, _ = self.constant.shape
        generator = torch.Generator().manual_seed(self.seed)
        shape = (members, draws, horizon, self.network.config.noise)
        noise = decorrelated(torch.special.ndtri(stratified(shape, generator)))
        uniform = stratified((members, draws, horizon, len(self.encoding.schema.targets)), generator)
        uniform = persistent(uniform, self.calibration.persistence)
        return torch.einsum("mdsi,mih->mdsh", noise, self.from_noise), uniform

    @torch.no_grad()
    def _representative(self, draws: int, actions: Actions) -> tuple[Tensor, Tensor]:
        """The draws of each member that stand best for all of them: scenario reduction by moments.

        A handful of futures drawn at random has a mean and a spread of its own, and a search would exploit it. Of many
        handfuls the one is taken whose mean and deviation at every step, under the given plan, are nearest to those of
        all draws.
        """
        added, uniform = self.many
        drawn = self._futures(self._features(actions), self.many)[0].flatten(2)  # [member, draw, question]
        members, count, _ = drawn.shape
        mean, deviation = drawn.mean((0, 1)), drawn.flatten(0, 1).std(0).clamp_min(1e-6)
        generator = torch.Generator().manual_seed(self.seed)
        tried = torch.rand((TRIALS, members, count), generator=generator).argsort(-1)[..., :draws]
        member = torch.arange(members)[:, None]
        standard = ((drawn - mean) / deviation)[member, tried].flatten(1, 2)  # [trial, sample, question]
        spread = standard.square().mean(1).sqrt()
        misfit = (standard.mean(1).square() + (spread - 1).square()).sum(-1)
        taken = tried[misfit.argmin()]
        return added[member, taken], uniform[member, taken]

    def take(self, episodes: Sequence[int]) -> "ModelRollout":
        some = copy(self)
        some.growth, some.left, some.memory = self.growth[episodes], self.left[episodes], self.memory[episodes]
        some.shift, some.slope = self.shift[episodes], self.slope[episodes]
        some.beliefs, some.constant = self.beliefs[:, episodes], self.constant[:, episodes]
        some.keep, some.share = self.keep[:, episodes], self.share[:, episodes]
        return some

    def search(self, actions: Actions) -> Float[Tensor, "sample episode candidate step target"]:
        features = self._features(actions)
        drawn, mean, variance = self._futures(features, self.few)
        within = variance.mean(1) + (mean.var(1) if mean.shape[1] > 1 else 0.0)
        shift = self._shift(features, within.mean(0).sqrt())
        return self._calibrate((drawn + shift).flatten(0, 1), (mean + shift).flatten(0, 1), variance.flatten(0, 1))

    @torch.no_grad()
    def settle(self, actions: Actions) -> Futures:
        features = self._features(actions)
        drawn = self._futures(features, self.many)[0]
        drawn = (drawn + self._shift(features, drawn.var(1, correction=0).mean(0).sqrt())).numpy()
        horizon, targets = drawn.shape[-2:]
        growth = self.growth.repeat(actions.shape[1], 0)
        wide = (
            widened(member.reshape(len(member), -1, horizon, targets), growth, self.encoding.schema.targets)
            for member in drawn
        )
        calibrated = [self.calibration.apply(member) for member in wide]
        by_member = np.stack(calibrated).reshape(drawn.shape)
        together = by_member.swapaxes(0, 1).reshape(-1, *drawn.shape[2:])
        continuous = [variable.kind == "continuous" for variable in self.encoding.schema.targets]
        # As of a forecast: quantiles are averaged over members, and categories thrown together.
        pooled = np.where(continuous, pool(by_member, len(together)), together)
        return Futures(*(self._bounded(torch.from_numpy(values)) for values in (pooled, by_member)))

    def _futures(
        self, features: Float[Tensor, "episode candidate step feature"], noise: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Drawn targets before calibration, and mean and variance of what they are drawn from.

        Returns:
            Three tensors [member, draw, episode, candidate, step, target] in native units.
        """
        added, uniform = noise
        episodes, candidates = features.shape[:2]
        rows = max(1, CHUNK_ROWS // (len(self.constant) * uniform.shape[1]))
        # Whole candidates of several episodes, or several pieces of one.
        of_episodes, of_candidates = max(1, rows // candidates), min(rows, candidates)

        def roll(start: int, first: int) -> Tensor:
            return self._roll(features[start : start + of_episodes, first : first + of_candidates], start, added)

        starts, firsts = range(0, episodes, of_episodes), range(0, candidates, of_candidates)
        parts = on_each_core(roll, *zip(*product(starts, firsts), strict=True))
        by_start = [torch.cat(parts[at : at + len(firsts)], dim=3) for at in range(0, len(parts), len(firsts))]
        return self._read(torch.cat(by_start, dim=2), uniform[:, :, None, None])

    def _features(self, actions: Actions) -> Float[Tensor, "episode candidate step feature"]:
        """Scaled or one-hot actions and their leaky sums, as `encode_plan` has them."""
        variables = self.encoding.schema.actions
        centre, scale = (torch.from_numpy(x).to(actions) for x in self.encoding.scaling.of(variables))
        scaled = ((actions - centre) / scale).clamp(-LIMIT, LIMIT)
        columns = [
            torch.nn.functional.one_hot(actions[..., index].long(), variable.width).to(actions)
            if variable.kind == "categorical"
            else scaled[..., index, None]
            for index, variable in enumerate(variables)
        ]
        values = torch.cat(columns, -1)
        shares = self._dose_shares().to(actions)
        added = values.repeat(1, 1, 1, len(self.encoding.memory)) * shares
        sums, memory = [], self.memory[:, None].expand(-1, actions.shape[1], -1)
        for step, left in enumerate(self.left.unbind(1)):
            memory = torch.addcmul(added[:, :, step], left[:, None], memory)
            sums.append(memory)
        return torch.cat([values, torch.stack(sums, 2)], -1)

    def _shift(
        self,
        features: Float[Tensor, "episode candidate step feature"],
        width: Float[Tensor, "episode candidate step target"],
    ) -> Float[Tensor, "episode candidate step target"]:
        """What the networks are expected to miss about each individual, in native units; linear in the leaky sums."""
        scale = torch.from_numpy(self.encoding.scaling.of(self.encoding.schema.targets)[1]).to(width)
        sums = features[..., features.shape[-1] - self.slope.shape[-1] :]
        shift = self.shift[:, None] + torch.einsum("ecsm,estm->ecst", sums, self.slope)
        return shift * width.maximum(LEAST * scale)

    def _dose_shares(self) -> Float[Tensor, " sum"]:
        """What a scaled action of one, or a category that is chosen, adds to each of its sums."""
        variables = self.encoding.schema.actions
        centre, scale = self.encoding.scaling.of(variables)
        labelled = [variable.kind == "categorical" for variable in variables]
        codes = range(max(variable.width for variable in variables))
        ones = [np.where(labelled, code, centre + scale) for code in codes]
        return torch.from_numpy(np.max([doses(one, self.encoding) for one in ones], axis=0))

    def _roll(
        self, features: Float[Tensor, "episode candidate step feature"], start: int, added: Tensor
    ) -> Float[Tensor, "member draw episode candidate step output"]:
        """Run the predictor along some candidates, and read every step."""
        episodes, candidates, horizon, _ = features.shape
        pick = slice(start, start + episodes)
        members, draws = added.shape[:2]
        shape = (draws, episodes, candidates)
        belief = self.beliefs[:, None, pick, None].expand(-1, draws, -1, candidates, -1).flatten(1, 3)
        constant = self.constant[:, None, pick] + added[:, :, None]
        eager = not torch.is_grad_enabled()
        (hide, show), width, outputs = self.reader, self.network.predictor.hidden, []
        flat = features.flatten(0, 1)
        for step in range(horizon):
            from_actions = torch.matmul(flat[None, :, step], self.from_actions).unflatten(1, (1, episodes, candidates))
            entering = (from_actions + constant[:, :, :, step, None]).flatten(1, 3)
            entered = entering.baddbmm_(belief, self.from_belief)
            hidden = silu(affine(silu(entered[..., :width]), *self.inner), inplace=eager)
            drift = torch.baddbmm(entered[..., width:], hidden, self.exit).unflatten(1, shape)
            keep, share = (part[:, None, pick, step, None] for part in (self.keep, self.share))
            belief = torch.addcmul(belief.unflatten(1, shape) * keep, share, drift).flatten(1, 3)
            hidden = silu(affine(belief, *hide), inplace=eager)
            read = affine(hidden, *show)
            means = self.network.readout.means
            outputs.append(read.index_add(-1, means, belief[..., : len(means)]))
        return torch.stack(outputs, 2).unflatten(1, shape)

    def _read(self, outputs: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draws from the read distributions by inverting their distribution functions, and their two moments."""
        variables = self.encoding.schema.targets
        centre, scale = (torch.from_numpy(x).to(outputs) for x in self.encoding.scaling.of(variables))
        normal = torch.special.ndtri(uniform)
        drawn, means, variances = [], [], []
        for index, (variable, part) in enumerate(zip(variables, Reading(outputs, variables).parts(), strict=True)):
            if variable.kind == "continuous":
                spread = deviation(part[..., 1])
                means.append(part[..., 0])
                drawn.append(part[..., 0] + spread * normal[..., index])
                variances.append(spread.square())
            else:
                logits = binary_logits(part) if variable.kind == "binary" else part
                below = torch.softmax(logits, dim=-1).cumsum(-1)[..., :-1]
                drawn.append((uniform[..., index, None] > below).sum(-1).to(outputs))
                means.append(drawn[-1])
                variances.append(torch.zeros_like(drawn[-1]))
        value, mean, variance = (torch.stack(parts, -1) for parts in (drawn, means, variances))
        return value * scale + centre, mean * scale + centre, variance * scale.square()

    def _calibrate(self, drawn: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Calibration by two moments, for the search: centre, and the stretch of the 5% and of the 95% level.

        A few futures have no quantiles to speak of. Their spread is that of a mixture of normals.
        """
        steps = np.minimum(np.arange(drawn.shape[-2]), self.calibration.horizon - 1)
        known = self.calibration
        parts = (known.pivot, known.slope, known.shift, known.factors)
        pivot, slope, shift, factors = (torch.tensor(part)[steps] for part in parts)
        low, high = factors[..., LEVELS.index(0.05)], factors[..., LEVELS.index(0.95)]
        middle = mean.mean(0)
        between = (mean - middle).square().sum(0) / max(len(mean) - 1, 1)
        numbers = torch.tensor([variable.kind == "continuous" for variable in self.encoding.schema.targets])
        growth = torch.where(numbers, torch.from_numpy(self.growth).to(drawn)[:, None, :, None], 1.0)
        spread = (variance.mean(0) + between).sqrt() * growth
        away = (drawn - middle) * growth
        moved = pivot + slope * (middle - pivot) + shift * _IQR * spread
        return self._bounded(moved + torch.where(away < 0, low, high) * away)

    def _bounded(self, samples: Tensor) -> Tensor:
        low, high = torch.tensor([variable.bounds for variable in self.encoding.schema.targets]).to(samples).T
        return samples.clamp(low, high)
