"""Descent through the model (Adam, Kingma and Ba 2015), from several starts at once, projected after every step.

Binary and categorical actions have no slope: each start keeps the values that it drew.
"""

import math
from dataclasses import dataclass

import torch

from foreworld.reasoning.plan.problem import Problem
from foreworld.reasoning.plan.search import Distribution, Evaluate, Knots, best, first_noise


@dataclass(frozen=True)
class Gradient:
    """Settings.

    Attributes:
        starts: plans that are improved side by side.
        steps: of descent.
        rate: of Adam, as a share of the range between the bounds; falls to zero along a half cosine.
        width: deviation of the starts, as a share of the range between the bounds.
        penalty: weight of a limit against the goal, each in units of its spread over the starts.
        finalists: candidates that are scored by fully calibrated futures in the end.
    """

    starts: int = 32
    steps: int = 40
    rate: float = 0.1
    width: float = 0.5
    penalty: float = 10.0
    finalists: int = 8

    def search(self, problem: Problem, evaluate: Evaluate, start: Knots, generator: torch.Generator) -> Knots:
        law = Distribution.around(problem, start, self.width)
        noise = torch.randn((len(start), self.starts - start.shape[1], *start.shape[2:]), generator=generator)
        drawn = torch.cat([start, law.draw(problem, first_noise(problem, noise, generator), generator)], 1)
        reached = problem.project(self._descend(problem, evaluate, drawn))
        knots = torch.cat([start, reached], 1)
        return best(knots, evaluate(knots).total(), min(self.finalists, knots.shape[1]))

    def _descend(self, problem: Problem, evaluate: Evaluate, knots: Knots) -> Knots:
        relaxed, span = problem.relaxed(), (problem.high - problem.low).to(knots).clamp_min(1e-12)
        first = evaluate(knots)
        of_cost, of_excess = (
            (values.amax(1, keepdim=True) - values.amin(1, keepdim=True)).clamp_min(1e-9)
            for values in (first.cost, first.excess)
        )
        mean, square = torch.zeros_like(knots), torch.zeros_like(knots)
        for step in range(self.steps):
            with torch.enable_grad():
                knots = knots.detach().requires_grad_()
                scores = evaluate(knots)
                loss = (scores.cost / of_cost).sum() + self.penalty * (scores.excess / of_excess).sum()
                (slope,) = torch.autograd.grad(loss, knots)
            slope = slope.nan_to_num(0.0, 0.0, 0.0) * span
            mean, square = mean.lerp(slope, 0.1), square.lerp(slope.square(), 0.01)
            # Adam's corrections for starting at zero.
            direction = mean / (1 - 0.9 ** (step + 1)) / ((square / (1 - 0.99 ** (step + 1))).sqrt() + 1e-8)
            rate = self.rate * (1 + math.cos(math.pi * step / self.steps)) / 2
            knots = relaxed.project(knots.detach() - rate * span * direction)
        return knots
