"""The cross-entropy method (Rubinstein 1999; for planning, Kobilarov 2012): draw, keep the best, draw about those."""

from dataclasses import dataclass

import torch

from foreworld.reasoning.plan.problem import Problem
from foreworld.reasoning.plan.search import Distribution, Evaluate, Knots, best, first_noise


@dataclass(frozen=True)
class CEM:
    """Settings.

    Attributes:
        candidates: drawn in each iteration.
        iterations: draws and refits.
        elites: candidates that the next distribution is fitted to, and finalists.
        width: first deviation, as a share of the range between the bounds.
        momentum: share of the present distribution that the next one keeps.
        finalists: candidates that are scored by fully calibrated futures in the end.
    """

    candidates: int = 512
    iterations: int = 6
    elites: int = 32
    width: float = 0.5
    momentum: float = 0.1
    finalists: int = 8

    def search(self, problem: Problem, evaluate: Evaluate, start: Knots, generator: torch.Generator) -> Knots:
        law = Distribution.around(problem, start, self.width)
        kept = start
        for iteration in range(self.iterations):
            noise = torch.randn((len(start), self.candidates - kept.shape[1], *start.shape[2:]), generator=generator)
            noise = noise if iteration else first_noise(problem, noise, generator)
            # The mean and the finalists so far compete again: the best plan is never lost.
            knots = torch.cat([kept, law.draw(problem, noise, generator)], 1)
            elites = best(knots, evaluate(knots).total(), self.elites)
            law = law.refit(elites, torch.ones(elites.shape[:2]), self.momentum)
            kept = torch.cat([elites[:, : self.finalists], problem.project(law.mean[:, None])], 1)
        return kept
