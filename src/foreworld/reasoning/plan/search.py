"""What all planners share: how candidates are scored and ranked, and the distribution that they are drawn from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.reasoning.expression import Values
from foreworld.reasoning.limit import goal_cost
from foreworld.reasoning.plan.futures import Actions, Rollout
from foreworld.reasoning.plan.problem import Problem

Knots = Float[Tensor, "episode _ knot chosen"]
_TIE = 0.1  # Weight of cost among candidates that break limits.
_WIDEST, _NARROWEST = 0.0, 2.0  # Decimal digits by which the first candidates are drawn nearer to where they start.


@dataclass(frozen=True)
class Scores:
    """How good candidates are.

    Attributes:
        cost: of the goal, mean over futures.
        excess: how far each limit is broken; zero where it is kept.
    """

    cost: Float[Tensor, "episode candidate"]
    excess: Float[Tensor, "episode candidate limit"]

    def total(self) -> Float[Tensor, "episode candidate"]:
        """One number, smaller is better: who keeps all limits by cost, then the others by how far they break them.

        Deb's rules (Computer Methods in Applied Mechanics and Engineering 186, 2000). Limits are in different units, so
        each is measured against the worst candidate. Where a limit is broken already, whatever is done, all break it
        alike: then cost decides, by a tenth of its range.
        """
        cost = torch.nan_to_num(self.cost, nan=1e30, posinf=1e30, neginf=-1e30)
        if not self.excess.shape[-1]:
            return cost
        excess = torch.nan_to_num(self.excess, nan=1e30, posinf=1e30)
        broken = (excess / excess.amax(1, keepdim=True).clamp_min(1e-12)).sum(-1)
        kept = broken <= 0
        worst = torch.where(kept, cost, -1e30).amax(1, keepdim=True)
        least = cost.amin(1, keepdim=True)
        size = (cost.amax(1, keepdim=True) - least).clamp_min(1e-12)
        penalty = broken * size + _TIE * (cost - least)
        return torch.where(kept, cost, torch.where(worst > -1e30, worst, 0.0) + penalty)


Evaluate = Callable[[Knots], Scores]


@runtime_checkable
class Planner(Protocol):
    """A search for the knots with the least cost that keep the limits."""

    def search(self, problem: Problem, evaluate: Evaluate, start: Knots, generator: torch.Generator) -> Knots:
        """A few finalists of each episode, projected, the best first.

        Args:
            problem: what may be chosen.
            evaluate: scores projected knots; without gradients where the caller has switched them off.
            start: knots to begin with, such as the plan before, shifted by a step.
            generator: of every random number.
        """
        ...


def evaluator(problem: Problem, rollout: Rollout, offset: Float[Tensor, "episode limit"] | None = None) -> Evaluate:
    """Scores of candidates from the few futures of a search.

    Args:
        problem, rollout: the task, and what it is searched in.
        offset: what the few futures are known to miss of each limit, in its native units.
    """

    def evaluate(knots: Knots) -> Scores:
        actions = problem.expand(knots)
        values = quantities(problem, rollout.search(actions), actions)
        cost = goal_cost(problem.goal, values).mean(0)
        reaches = [limit.rough_reach(values).expand_as(cost) for limit in problem.limits]
        reach = torch.stack(reaches, -1) if reaches else cost.new_zeros(*cost.shape, 0)
        return Scores(cost, (reach if offset is None else reach + offset[:, None]).clamp_min(0))

    return evaluate


def rough_reach(problem: Problem, rollout: Rollout, knots: Knots) -> Float[Tensor, "episode candidate limit"]:
    """How far candidates are from keeping each limit, as a search sees it."""
    actions = problem.expand(knots)
    values = quantities(problem, rollout.search(actions), actions)
    return torch.stack([limit.rough_reach(values).expand(knots.shape[:2]) for limit in problem.limits], -1)


def quantities(
    problem: Problem, samples: Float[Tensor, "sample episode candidate step target"], actions: Actions
) -> Values:
    """Targets and actions by name, as goals and limits read them."""
    targets = {target.name: samples[..., index] for index, target in enumerate(problem.schema.targets)}
    return targets | {action.name: actions[None, ..., index] for index, action in enumerate(problem.schema.actions)}


def best(knots: Knots, total: Float[Tensor, "episode _"], count: int) -> Knots:
    """The `count` best candidates of each episode, the best first."""
    return take(knots, total.topk(count, dim=1, largest=False).indices)


def take(knots: Knots, order: Int[Tensor, "episode _"]) -> Knots:
    """Some candidates of each episode."""
    return knots.gather(1, order[:, :, None, None].expand(-1, -1, *knots.shape[2:]))


@dataclass(frozen=True)
class Distribution:
    """What candidates are drawn from: a normal at each knot, and for a binary or a category the chance of each value.

    Attributes:
        mean, deviation: in native units.
        chances: of the values of each discrete action; ones and zeros elsewhere.
    """

    mean: Float[Tensor, "episode knot chosen"]
    deviation: Float[Tensor, "episode knot chosen"]
    chances: Float[Tensor, "episode knot chosen value"]

    @classmethod
    def around(cls, problem: Problem, start: Knots, width: float) -> "Distribution":
        """About the first of `start`, with a deviation of `width` times the range between the bounds."""
        mean = start[:, 0]
        span = (problem.high - problem.low).to(mean)
        values = max([1, *problem.categories])
        known = torch.nn.functional.one_hot(mean.long().clamp(0, values - 1), values)
        chances = torch.zeros(*mean.shape, values)
        for index, count in enumerate(problem.categories):
            if count:
                # Half at where it starts, half anywhere.
                chances[..., index, :count] = 0.5 / count
                chances[..., index, :] += 0.5 * known[..., index, :]
        return cls(mean, (width * span).expand_as(mean), chances)

    def draw(self, problem: Problem, noise: Knots, generator: torch.Generator) -> Knots:
        """Candidates from standard normal noise; projected."""
        numbers = self.mean[:, None] + self.deviation[:, None] * noise
        if any(problem.categories):
            chance = torch.rand(noise.shape, generator=generator)
            below = self.chances.cumsum(-1)[:, None, ..., :-1]
            codes = (chance[..., None] > below).sum(-1).to(numbers)
            numbers = torch.where(torch.tensor([count > 0 for count in problem.categories]), codes, numbers)
        return problem.project(numbers)

    def refit(self, knots: Knots, weights: Float[Tensor, "episode candidate"], keep: float) -> "Distribution":
        """Moments of weighted candidates, mixed with a share `keep` of the present ones."""
        weights = (weights / weights.sum(1, keepdim=True))[:, :, None, None]
        mean = (weights * knots).sum(1)
        # About the old mean, as in CMA-ES (Hansen 2016): what moves keeps its width, and does not stop half-way.
        deviation = (weights * (knots - self.mean[:, None]).square()).sum(1).sqrt()
        codes = torch.nn.functional.one_hot(knots.long().clamp(0, self.chances.shape[-1] - 1), self.chances.shape[-1])
        chances = (weights[..., None] * codes).sum(1)
        return replace(
            self,
            mean=torch.lerp(mean, self.mean, keep),
            deviation=torch.lerp(deviation, self.deviation, keep),
            chances=torch.lerp(chances, self.chances, keep),
        )


def first_noise(problem: Problem, noise: Knots, generator: torch.Generator) -> Knots:
    """Noise of the first candidates: near and far, jagged and constant ones, and impulses in few steps or in many.

    The range between bounds tells little about the size of a good action. A dose of a tenth of what is allowed may be
    too much, and a population that is drawn with one deviation has no small ones.
    """
    episodes, candidates, knots, chosen = noise.shape
    digits = torch.rand((episodes, candidates, 1, chosen), generator=generator)
    steady = torch.rand((episodes, candidates, 1, chosen), generator=generator)
    level = torch.randn((episodes, candidates, 1, chosen), generator=generator)
    # Of what is held, a share of the variance is one level for the whole horizon.
    noise = torch.where(problem.rest.isnan(), steady.sqrt() * level + (1 - steady).sqrt() * noise, noise)
    scaled = noise * 10 ** -(_WIDEST + (_NARROWEST - _WIDEST) * digits)
    doses = torch.rand((episodes, candidates, knots, chosen), generator=generator)
    given = doses < torch.rand((episodes, candidates, 1, chosen), generator=generator).square()
    return torch.where(problem.rest.isnan() | given, scaled, 0.0)
