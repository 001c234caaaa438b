"""Model-predictive path integral control (Williams et al. 2017): all candidates count, the better ones more."""

from dataclasses import dataclass

import torch

from foreworld.reasoning.plan.problem import Problem
from foreworld.reasoning.plan.search import Distribution, Evaluate, Knots, best, first_noise


@dataclass(frozen=True)
class MPPI:
    """Settings.

    Attributes:
        candidates: drawn in each iteration.
        iterations: draws and refits.
        temperature: of the weights exp(-cost / temperature), in units of the distance from the best candidate to the
            best tenth: costs have the units of the user, and limits are broken by more or less.
        width: first deviation, as a share of the range between the bounds.
        momentum: share of the present distribution that the next one keeps.
        finalists: candidates that are scored by fully calibrated futures in the end.
    """

    candidates: int = 512
    iterations: int = 6
    temperature: float = 0.3
    width: float = 0.5
    momentum: float = 0.1
    finalists: int = 8

    def search(self, problem: Problem, evaluate: Evaluate, start: Knots, generator: torch.Generator) -> Knots:
        law = Distribution.around(problem, start, self.width)
        kept = start
        for iteration in range(self.iterations):
            noise = torch.randn((len(start), self.candidates - kept.shape[1], *start.shape[2:]), generator=generator)
            noise = noise if iteration else first_noise(problem, noise, generator)
            knots = torch.cat([kept, law.draw(problem, noise, generator)], 1)
            total = evaluate(knots).total()
            above = total - total.amin(1, keepdim=True)
            size = above.quantile(0.1, dim=1, keepdim=True).clamp_min(1e-12)
            law = law.refit(knots, torch.exp(-above / size / self.temperature), self.momentum)
            kept = torch.cat([best(knots, total, self.finalists), problem.project(law.mean[:, None])], 1)
        return kept
