"""What the networks miss about everybody alike: a linear correction of their forecasts, learnt where they were not.

    came - expected = (row, expected, expected at the first step) . w + rest,   for each target and step

In weather forecasting this is called model output statistics (Glahn and Lowry, J. Appl. Meteor. 1972): a large model
leaves something that is linear in what it was given and in what it says, and a small one that is fitted to its
mistakes takes that away. What is done afterwards is no regressor: whoever acts answers to what has happened by then, so
that recorded actions tell of chance that no plan can know.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.reasoning.calibrate import FEWEST
from foreworld.reasoning.individual.worth import worth

if TYPE_CHECKING:
    from foreworld.reasoning.individual.look import Looks, Terms

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e6)  # A look; the last leaves what is said alone.
LIGHT = 1e-4  # The penalty of what is said, and of the constant.
FARTHEST = 4.0  # Times as much as usual is moved at most: nothing was learnt outside.
CAP = 8.0  # Deviations that a miss counts.


@dataclass(frozen=True)
class Alike:
    """Regressions by lead and target; all zero where they are not worth it.

    Attributes:
        leads: steps ahead that they were learnt at.
        centre, scale: of the regressors row, expected at the step and at the first one, one after the other; infinite
            where one never varies.
        weights: of the regressors in deviations from their means, and last the constant.
        most: that a forecast is moved by.
    """

    leads: Int[np.ndarray, " lead"]
    centre: Float[np.ndarray, " regressor"]
    scale: Float[np.ndarray, " regressor"]
    weights: Float[np.ndarray, "lead target weight"]
    most: Float[np.ndarray, "lead target"]

    @classmethod
    def none(cls, facts: "Terms", targets: int) -> "Alike":
        """Nothing is missed."""
        width = facts.row.shape[1] + 2 * targets
        weights = np.zeros((len(facts.steps), targets, width + 1))
        return cls(facts.steps, np.zeros(width), np.full(width, np.inf), weights, np.zeros(weights.shape[:2]))

    @classmethod
    def fit(cls, looks: "Looks", part: Int[np.ndarray, " look"]) -> list["Alike"]:
        """From the misses of individuals that the forecasting members left out, in several parts.

        Returns:
            What each part is to be corrected by, learnt from the others, and last what everybody else is.
        """
        facts, expected = looks.facts, looks.expected
        empty, parts = cls.none(facts, expected.shape[2]), int(part.max(initial=0)) + 1
        whose = looks.whose()
        if len(np.unique(whose)) < FEWEST or parts == 1:
            return [empty] * (parts + 1)
        every = _regressors(facts, expected)
        deviation = every.std((0, 1))
        law = replace(empty, centre=every.mean((0, 1)), scale=np.where(deviation > 1e-6, deviation, np.inf))
        weights = np.zeros((parts + 1, *empty.weights.shape))
        most = empty.most.copy()
        heavy = np.arange(len(law.centre) + 1) < facts.row.shape[1]
        for lead in range(len(facts.steps)):
            regressors = law.standard(every[:, lead])
            for target in range(expected.shape[2]):
                missed, unit = looks.missed[:, lead, target], looks.deviation[:, lead, target]
                seen = np.isfinite(missed)
                if len(np.unique(whose[seen])) >= FEWEST:
                    some = Regression.of(regressors[seen], missed[seen], unit[seen], whose[seen], part[seen], parts)
                    weights[:, lead, target] = some.solve(heavy)
                    moved = regressors[seen] @ weights[-1, lead, target]
                    most[lead, target] = FARTHEST * np.sqrt(np.square(moved).mean())
        return [replace(law, weights=own, most=most) for own in weights]

    def shift(
        self, facts: "Terms", expected: Float[np.ndarray, "history step target"]
    ) -> Float[np.ndarray, "history step target"]:
        """What forecasts are expected to be missed by, scaled units, at the steps that the facts are of."""
        weights, most = self.at(facts)
        if not most.any():
            return np.zeros(expected.shape)
        return np.einsum("hsr,str->hst", self.standard(_regressors(facts, expected)), weights).clip(-most, most)

    def at(self, facts: "Terms") -> tuple[Float[np.ndarray, "step target weight"], Float[np.ndarray, "step target"]]:
        """Weights at the steps that the facts are of, and the most that is moved there."""
        between = facts.between(self.leads)
        return np.einsum("sk,ktr->str", between, self.weights), between @ self.most

    def standard(self, regressors: Float[np.ndarray, "*look regressor"]) -> Float[np.ndarray, "*look weight"]:
        """In deviations from the mean, with a constant."""
        values = (regressors - self.centre) / self.scale
        return np.concatenate([values, np.ones((*values.shape[:-1], 1))], axis=-1)


def _regressors(
    facts: "Terms", expected: Float[np.ndarray, "history step target"]
) -> Float[np.ndarray, "history step regressor"]:
    row, first = (np.repeat(part[:, None], expected.shape[1], axis=1) for part in (facts.row, expected[:, 0]))
    return np.concatenate([row, expected, first], axis=2, dtype=np.float64)


@dataclass(frozen=True)
class Regression:
    """One lead and target: every look counts in units of its forecast.

    Attributes:
        design, missed: regressors, and what is to be told from them.
        index, part: the individual of each look, and the part that it is in.
        grams, products: sums over the looks of each part.
    """

    design: Float[np.ndarray, "look weight"]
    missed: Float[np.ndarray, " look"]
    index: Int[np.ndarray, " look"]
    part: Int[np.ndarray, " look"]
    grams: Float[np.ndarray, "part weight weight"]
    products: Float[np.ndarray, "part weight"]

    @classmethod
    def of(
        cls,
        regressors: Float[np.ndarray, "look weight"],
        missed: Float[np.ndarray, " look"],
        unit: Float[np.ndarray, " look"],
        whose: Int[np.ndarray, " look"],
        part: Int[np.ndarray, " look"],
        parts: int,
    ) -> "Regression":
        """Of regressors, misses in deviations of the forecast, these, and the individual and part of each look."""
        usual = np.sqrt(np.square(unit).mean())
        design, missed = regressors * (usual / unit)[:, None], np.clip(missed, -CAP, CAP) * usual
        index = np.unique(whose, return_inverse=True)[1]
        split = [(design[part == own], missed[part == own]) for own in range(parts)]
        grams = np.stack([some.T @ some for some, _ in split])
        return cls(design, missed, index, part, grams, np.stack([some.T @ came for some, came in split]))

    def solve(self, heavy: Bool[np.ndarray, " weight"]) -> Float[np.ndarray, "law weight"]:
        """By the penalty that foretells other parts best, with the credit that it has there; laws as of `Alike.fit`."""
        laws = [self._weights(np.where(heavy, penalty, LIGHT)) for penalty in PENALTIES]
        tried = [(self.design * law[self.part]).sum(1) for law in laws]
        best = int(np.argmin([np.square(self.missed - found).sum() for found in tried]))
        products, squares = (
            np.bincount(self.index, tried[best] * other)[:, None] for other in (self.missed, tried[best])
        )
        return worth(products, squares)[0] * laws[best]

    def _weights(self, penalty: Float[np.ndarray, " weight"]) -> Float[np.ndarray, "law weight"]:
        """Without each part, and last with all."""
        looks = np.bincount(self.part, minlength=len(self.grams))
        without = (
            np.append(total - own, total[None], axis=0)
            for own, total in ((own, own.sum(0)) for own in (self.grams, self.products, looks))
        )
        gram, product, count = without
        return np.linalg.solve(gram + np.diag(penalty) * count[:, None, None], product[..., None])[..., 0]
