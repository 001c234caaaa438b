"""How individuals differ: what the model misses about one is a regression with coefficients of its own.

    miss(row, lead) = terms . b + rest,   b ~ N(0, V) for each individual, V diagonal, rest ~ N(0, noise)

A random-effects model (Laird and Ware, Biometrics 1982), for each target and lead; misses are in deviations of the
forecast. V and the noise are learnt by EM
from individuals that the forecasting member never saw; b of a new one is told from its history, and stays near zero
as far as that says little. Nothing is trained anew: the model learns from what it sees of a case as it goes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from foreworld.reasoning.calibrate import FEWEST
from foreworld.reasoning.individual.look import Looks, Terms

ROUNDS = 30  # Of EM.
NUMBERS = 20_000_000  # That are held in memory at once.
PRIOR = 30.0  # Looks of the usual size that every history is given: a short one has little to say.
CAP = 5.0  # Deviations: one glitch says no more.


@dataclass(frozen=True)
class Evidence:
    """The misses of some histories; those that are not known weigh nothing.

    Attributes:
        design: the terms of each.
        missed, weight: what came less what was expected, and what that counts.
    """

    design: Float[np.ndarray, "history lead target look term"]
    missed: Float[np.ndarray, "history lead target look"]
    weight: Float[np.ndarray, "history lead target look"]

    def expected(
        self, mean: Float[np.ndarray, "history lead target term"]
    ) -> Float[np.ndarray, "history lead target look"]:
        """The misses that coefficients let expect."""
        return np.einsum("hktnf,hktf->hktn", self.design, mean)


@dataclass(frozen=True)
class Posterior:
    """What some histories tell of their coefficients b ~ N(mean, .), by looks rather than terms, as these are fewer.

    With X the design times the root of weight over noise, the covariance is V - V X' (I + X V X')^-1 X V.

    Attributes:
        spread: X V.
        inverse: (I + X V X')^-1.
        mean: of the coefficients.
    """

    spread: Float[np.ndarray, "history lead target look term"]
    inverse: Float[np.ndarray, "history lead target look look"]
    mean: Float[np.ndarray, "history lead target term"]

    @cached_property
    def explained(self) -> Float[np.ndarray, "history lead target term"]:
        """By how much the variance of each coefficient is less than before."""
        return (self.spread * (self.inverse @ self.spread)).sum(-2)

    @property
    def taken(self) -> Float[np.ndarray, "history lead target"]:
        """Looks' worth of noise that the coefficients take up: the trace of X cov X', or of I - (I + X V X')^-1."""
        return self.inverse.shape[-1] - np.trace(self.inverse, axis1=-2, axis2=-1)


@dataclass(frozen=True)
class Population:
    """The law that coefficients are drawn from; all zero where it could not be learnt.

    Attributes:
        leads: steps ahead that it was learnt at.
        centre, scale: of the common terms; the own one, which comes last, stays as it is.
        variance: of each coefficient.
        noise: variance of what is left.
        credit: what the expected misses of new individuals are to be multiplied by, see `credit`; 1 before it is known.
    """

    leads: Int[np.ndarray, " lead"]
    centre: Float[np.ndarray, " common"]
    scale: Float[np.ndarray, " common"]
    variance: Float[np.ndarray, "lead target term"]
    noise: Float[np.ndarray, "lead target"]
    credit: Float[np.ndarray, "lead target"]

    @classmethod
    def fit(cls, looks: Looks) -> "Population":
        """By EM, from whole trajectories; of targets that too few of them have, nothing is learnt."""
        centre, scale = _standard(looks)
        leads, targets, terms = *looks.missed.shape[1:], len(centre) + 1
        one = np.ones((leads, targets))
        law = cls(looks.leads, centre, scale, np.zeros((leads, targets, terms)), one, one)
        told, weight, squares = np.zeros((3, leads, targets))
        for _, some in law.evidence(looks):
            told += some.weight.any(-1).sum(0)
            weight += some.weight.sum((0, 3))
            squares += (some.weight * np.square(some.missed)).sum((0, 3))
        usable = (told >= FEWEST) & (squares > 0)
        if not usable.any():
            return law
        noise = np.where(usable, squares / np.maximum(weight, 1e-9) / 2, 1.0)
        variance = np.where(usable, noise / terms, 0.0)[..., None] * np.ones(terms)
        law = replace(law, variance=variance, noise=noise)
        for _ in range(ROUNDS):
            second, rest = np.zeros_like(variance), np.zeros_like(noise)
            for _, some in law.evidence(looks):
                mean_square, left = law._expected(some)
                second += mean_square
                rest += left
            variance = np.where(usable[..., None], second / np.maximum(told, 1)[..., None], 0.0)
            noise = np.where(usable, np.maximum(rest / np.maximum(weight, 1e-9), 1e-9), 1.0)
            law = replace(law, variance=variance, noise=noise)
        return law

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything fitted: arrays, and a dictionary that JSON takes."""
        return {name: np.ascontiguousarray(value) for name, value in vars(self).items()}, {}

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> "Population":
        """The inverse of `state`."""
        return cls(**arrays, **settings)

    def know(self, looks: Looks) -> "Known":
        """What each history tells of its individual."""
        mean = np.zeros((len(looks.places), *self.variance.shape))
        size = np.ones(mean.shape[:-1])
        for part, some in self.evidence(looks):
            posterior = self.posterior(some)
            mean[part] = posterior.mean * self.credit[..., None]
            size[part] = self._size(some, mean[part], posterior)
        return Known(self, looks, mean, size)

    def _size(
        self, some: Evidence, mean: Float[np.ndarray, "history lead target term"], posterior: Posterior
    ) -> Float[np.ndarray, "history lead target"]:
        """Mean square of what is left of the misses as a multiple of the noise, with some looks' worth of one."""
        rest = np.abs(some.missed - some.expected(mean)) / np.sqrt(self.noise)[..., None]
        squares = (some.weight * np.square(np.minimum(rest, CAP))).sum(-1)
        return (PRIOR + squares + self.credit * posterior.taken) / (PRIOR + some.weight.sum(-1))

    def _expected(self, some: Evidence) -> tuple[np.ndarray, np.ndarray]:
        """Sums over histories of the expected squares of the coefficients, and of the weighted rest."""
        posterior = self.posterior(some)
        known = np.any(some.weight, axis=-1)[..., None]
        square = (np.square(posterior.mean) + self.variance - posterior.explained) * known
        rest = some.missed - some.expected(posterior.mean)
        left = (some.weight * np.square(rest)).sum(-1) + self.noise * posterior.taken
        return square.sum(0), left.sum(0)

    def evidence(self, looks: Looks) -> Iterator[tuple[slice, Evidence]]:
        """The misses of some histories after the others, as many as memory holds."""
        if not len(looks.row):
            return
        count, places = looks.places.shape
        leads, targets, terms = self.variance.shape
        size = max(1, NUMBERS // (leads * targets * places * (places + 2 * terms)))
        for start in range(0, count, size):
            part = slice(start, start + size)
            some = looks.places[part]
            design = self.join(looks.common[some].swapaxes(1, 2)[:, :, None], looks.own[some].swapaxes(1, 2)[:, None])
            known = np.moveaxis(looks.known(part), 1, -1)
            missed = np.where(known, np.moveaxis(looks.missed[some], 1, -1), 0.0)
            yield part, Evidence(design, missed, known * looks.weight(part)[:, :, None, None])

    def posterior(self, some: Evidence) -> Posterior:
        """What misses tell of the coefficients behind them."""
        root = np.sqrt(some.weight / self.noise[..., None])
        scaled = some.design * root[..., None]
        spread = scaled * self.variance[:, :, None]
        inverse = np.linalg.inv(spread @ scaled.swapaxes(-1, -2) + np.eye(root.shape[-1]))
        explained = np.einsum("hktnm,hktm->hktn", inverse, root * some.missed)
        return Posterior(spread, inverse, np.einsum("hktnf,hktn->hktf", spread, explained))

    def join(
        self, common: Float[np.ndarray, "... common"], own: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "... term"]:
        """Regressors: the common terms in deviations from their means, and the own one."""
        standard = (common - self.centre) / self.scale
        shape = np.broadcast_shapes(standard.shape[:-1], own.shape)
        parts = np.broadcast_to(standard, (*shape, standard.shape[-1])), np.broadcast_to(own, shape)[..., None]
        return np.concatenate(parts, axis=-1)


@dataclass(frozen=True)
class Known:
    """What is known of the individual behind each history.

    Attributes:
        population: that it is one of.
        looks: what its history showed.
        mean: its coefficients, as far as they are given credit.
        size: mean square of what they leave of its misses, as a multiple of what they leave of everybody's.
    """

    population: Population
    looks: Looks
    mean: Float[np.ndarray, "history lead target term"]
    size: Float[np.ndarray, "history lead target"]

    def take(self, histories: Sequence[int] | Int[np.ndarray, " _"]) -> "Known":
        """Of some histories."""
        index = np.asarray(histories, int)
        return Known(self.population, self.looks.take(index), self.mean[index], self.size[index])

    def shift(self, facts: Terms) -> Float[np.ndarray, "history step target"]:
        """What it is expected to be missed by, in deviations of the forecast, at the steps that the facts are of."""
        common = (facts.common - self.population.centre) / self.population.scale
        along = np.einsum("hsf,hktf->hskt", common, self.mean[..., :-1], optimize=True)
        own = facts.own[:, None] * self.mean[..., -1]
        return np.einsum("sk,hskt->hst", self._between(facts.steps), along + own[:, None])

    def by_sums(
        self, facts: Terms
    ) -> tuple[Float[np.ndarray, "history step target"], Float[np.ndarray, "history step target sum"]]:
        """The shift as a linear function of the leaky sums at the step foretold: its value at zero, and its slopes."""
        first = (facts.common.shape[2] + 1) // 2
        own = self.mean[..., first:-1] / self.population.scale[first:]
        slope = np.einsum("sk,hktm->hstm", self._between(facts.steps), own)
        return self.shift(facts) - np.einsum("hsm,hstm->hst", facts.common[..., first:], slope), slope

    def unsettled(self, facts: Terms) -> Float[np.ndarray, "history step"]:
        """Deviation of what comes, the individual being known no better, as a multiple of that of one known exactly."""
        population = self.population
        leads = population.leads
        at = np.abs(facts.steps - leads[:, None]).argmin(1)  # The nearest of the steps asked for.
        variance = self._variance_left(population.join(facts.common[:, at][:, :, None], facts.own[:, None]))
        numbers = population.variance.any((0, 2))
        times = (population.credit * variance / population.noise)[..., numbers]
        ratio = np.sqrt(1 + (times.mean(-1) if numbers.any() else np.zeros(times.shape[:2])))
        return ratio @ self._between(facts.steps).T

    def grounds(self, facts: Terms) -> Float[np.ndarray, "ground history step"]:
        """Why a forecast of each may be worse than usual: it is not known well, or was not foretold well."""
        return np.stack([self.unsettled(facts), self.missed(facts.steps)])

    def missed(self, steps: Int[np.ndarray, " step"]) -> Float[np.ndarray, "history step"]:
        """How far off forecasts of each history were at these steps ahead, as a multiple of what is usual."""
        numbers = np.isfinite(self.looks.missed).any((0, 1))
        square = self.size[..., numbers].mean(-1) if numbers.any() else np.ones(self.size.shape[:2])
        return np.sqrt(square) @ self._between(steps).T

    def _variance_left(
        self, terms: Float[np.ndarray, "history lead target term"]
    ) -> Float[np.ndarray, "history lead target"]:
        """Variance of terms . b after all that each history tells of it."""
        population = self.population
        left = (np.square(terms) * population.variance).sum(-1)
        if population.variance.any():
            for part, some in population.evidence(self.looks):
                posterior = population.posterior(some)
                along = np.einsum("hktnf,hktf->hktn", posterior.spread, terms[part])
                left[part] -= np.einsum("hktn,hktnm,hktm->hkt", along, posterior.inverse, along, optimize=True)
        return np.maximum(left, 0.0)

    def _between(self, steps: Int[np.ndarray, " step"]) -> Float[np.ndarray, "step lead"]:
        """Weights of the leads at each step: linear between them, constant after the last."""
        leads = self.population.leads
        return np.stack([np.interp(steps, leads, one) for one in np.eye(len(leads))], axis=1)


def _standard(looks: Looks) -> tuple[Float[np.ndarray, " common"], Float[np.ndarray, " common"]]:
    """Mean and deviation of the common terms; the first, which is one, stays one."""
    width = looks.common.shape[2]
    centre, scale = np.zeros(width), np.ones(width)
    if len(looks.common):
        centre[1:] = looks.common.mean((0, 1))[1:]
        deviation = looks.common.std((0, 1))[1:]
        scale[1:] = np.where(deviation > 1e-6, deviation, 1.0)
    return centre, scale
