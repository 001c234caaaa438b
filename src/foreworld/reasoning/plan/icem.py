"""Sample-efficient CEM (Pinneri et al., CoRL 2020): coloured noise, elites that live on, shrinking populations."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from foreworld.reasoning.plan.problem import Problem
from foreworld.reasoning.plan.search import Distribution, Evaluate, Knots, best, first_noise


@dataclass(frozen=True)
class ICEM:
    """Settings.

    Attributes:
        candidates: drawn in the first iteration.
        iterations: draws and refits.
        elites: candidates that the next distribution is fitted to.
        width: first deviation, as a share of the range between the bounds.
        momentum: share of the present distribution that the next one keeps.
        colour: exponent of the noise's power spectrum, 1 / frequency^colour: 0 is white, larger changes more slowly.
        decay: by which the population shrinks from one iteration to the next, but never below twice the elites.
        reused: share of the elites that compete again in the next iteration.
        finalists: candidates that are scored by fully calibrated futures in the end.
    """

    candidates: int = 512
    iterations: int = 6
    elites: int = 16
    width: float = 0.5
    momentum: float = 0.1
    colour: float = 0.5
    decay: float = 1.25
    reused: float = 0.3
    finalists: int = 8

    def search(self, problem: Problem, evaluate: Evaluate, start: Knots, generator: torch.Generator) -> Knots:
        law = Distribution.around(problem, start, self.width)
        elites = kept = start
        for iteration in range(self.iterations):
            count = max(int(self.candidates * self.decay**-iteration), 2 * self.elites) - kept.shape[1]
            noise = coloured((len(start), count, *start.shape[2:]), self.colour, generator)
            noise = noise if iteration else first_noise(problem, noise, generator)
            knots = torch.cat([kept, law.draw(problem, noise, generator)], 1)
            elites = best(knots, evaluate(knots).total(), self.elites)
            law = law.refit(elites, torch.ones(elites.shape[:2]), self.momentum)
            # The mean competes too: in the last iteration it is often the best there is.
            kept = torch.cat(
                [elites[:, : max(1, int(self.reused * self.elites))], problem.project(law.mean[:, None])], 1
            )
        return torch.cat([kept[:, -1:], elites[:, : self.finalists]], 1)


def coloured(
    shape: tuple[int, ...], exponent: float, generator: torch.Generator
) -> Float[Tensor, "episode candidate knot chosen"]:
    """Noise along the knots with a power spectrum of 1 / frequency^exponent and variance one (Timmer, Koenig 1995)."""
    episodes, candidates, knots, chosen = shape
    frequency = torch.fft.rfftfreq(knots)
    frequency[0] = frequency[1] if knots > 1 else 1.0
    size = frequency ** (-exponent / 2)
    parts = torch.randn((2, episodes, candidates, chosen, len(size)), generator=generator) * size
    parts[1, ..., 0] = 0.0
    if knots % 2 == 0:
        parts[1, ..., -1] = 0.0
    # Of a real signal each inner frequency stands for two, whose parts are independent.
    power = size.square()
    power[1 : len(size) - (knots % 2 == 0)] *= 4.0
    signal = torch.fft.irfft(torch.complex(parts[0], parts[1]), n=knots) * knots / power.sum().sqrt()
    return signal.transpose(-1, -2)
