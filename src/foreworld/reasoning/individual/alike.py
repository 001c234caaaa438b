"""What the networks miss about everybody alike: a linear correction of their forecasts, learnt where they were not.

    came - expected = (row, move, expected, expected at the first step) . w + rest,   for each target and lead

In weather forecasting this is called model output statistics (Glahn and Lowry, J. Appl. Meteor. 1972): a large model
leaves something that is linear in what it was given and in what it says, and a small one that is fitted to its
mistakes takes that away. Rows and moves are those that the networks read, so that it cannot be told apart from a last
layer of theirs; but it is fitted to members that left an episode out, in units of what they take for their error.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.reasoning.calibrate import FEWEST
from foreworld.reasoning.individual.worth import worth

if TYPE_CHECKING:
    from foreworld.reasoning.individual.look import Looks, Terms

FOLDS = 4
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e6)  # A look; the last leaves what is said alone.
LIGHT = 1e-4  # The penalty of what is said, and of the constant.
FARTHEST = 4.0  # Times as much as usual is moved at most: nothing was learnt outside.
CAP = 8.0  # Deviations that a miss counts.


@dataclass(frozen=True)
class Alike:
    """Regressions by lead and target; all zero where they are not worth it.

    Attributes:
        leads: steps ahead that they were learnt at.
        centre, scale: of the regressors row, move, expected at the step and at the first one, one after the other;
            infinite where one never varies.
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
        width = facts.row.shape[1] + facts.moves.shape[2] + 2 * targets
        weights = np.zeros((len(facts.steps), targets, width + 1))
        return cls(facts.steps, np.zeros(width), np.full(width, np.inf), weights, np.zeros(weights.shape[:2]))

    @classmethod
    def fit(cls, looks: "Looks") -> "Alike":
        """From the misses of individuals that the forecasting members left out."""
        facts, expected = looks.facts, looks.expected
        empty = cls.none(facts, expected.shape[2])
        whose = looks.whose()
        if len(np.unique(whose)) < FEWEST:
            return empty
        every = _regressors(facts, expected)
        deviation = every.std((0, 1))
        law = replace(empty, centre=every.mean((0, 1)), scale=np.where(deviation > 1e-6, deviation, np.inf))
        weights, most = empty.weights.copy(), empty.most.copy()
        heavy = np.arange(weights.shape[2]) < weights.shape[2] - 1 - 2 * expected.shape[2]
        for lead in range(len(facts.steps)):
            regressors = law.standard(every[:, lead])
            for target in range(expected.shape[2]):
                missed, unit = looks.missed[:, lead, target], looks.deviation[:, lead, target]
                seen = np.isfinite(missed)
                if len(np.unique(whose[seen])) >= FEWEST:
                    some = Regression.of(regressors[seen], missed[seen], unit[seen], whose[seen])
                    weights[lead, target] = some.solve(heavy)
                    moved = regressors[seen] @ weights[lead, target]
                    most[lead, target] = FARTHEST * np.sqrt(np.square(moved).mean())
        return replace(law, weights=weights, most=most)

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
    return np.concatenate([row, facts.moves, expected, first], axis=2, dtype=np.float64)


@dataclass(frozen=True)
class Regression:
    """One lead and target: every look counts in units of its forecast.

    Attributes:
        design, missed: regressors, and what is to be told from them.
        index, fold: the individual of each look, and the part that it is in.
        grams, products: sums over the looks of each part.
    """

    design: Float[np.ndarray, "look weight"]
    missed: Float[np.ndarray, " look"]
    index: Int[np.ndarray, " look"]
    fold: Int[np.ndarray, " look"]
    grams: Float[np.ndarray, "fold weight weight"]
    products: Float[np.ndarray, "fold weight"]

    @classmethod
    def of(
        cls,
        regressors: Float[np.ndarray, "look weight"],
        missed: Float[np.ndarray, " look"],
        unit: Float[np.ndarray, " look"],
        whose: Int[np.ndarray, " look"],
    ) -> "Regression":
        """Of regressors, misses in deviations of the forecast, these, and the individual of each look."""
        usual = np.sqrt(np.square(unit).mean())
        design, missed = regressors * (usual / unit)[:, None], np.clip(missed, -CAP, CAP) * usual
        names, index = np.unique(whose, return_inverse=True)
        fold = (np.random.default_rng(0).permutation(len(names)) % FOLDS)[index]
        parts = [(design[fold == part], missed[fold == part]) for part in range(FOLDS)]
        grams = np.stack([some.T @ some for some, _ in parts])
        return cls(design, missed, index, fold, grams, np.stack([some.T @ came for some, came in parts]))

    def solve(self, heavy: Bool[np.ndarray, " weight"]) -> Float[np.ndarray, " weight"]:
        """By the penalty that foretells other individuals best, with the credit that it has there."""
        penalties = [np.where(heavy, penalty, LIGHT) for penalty in PENALTIES]
        tried = [self._foretold(penalty) for penalty in penalties]
        best = int(np.argmin([np.square(self.missed - found).sum() for found in tried]))
        products, squares = (
            np.bincount(self.index, tried[best] * other)[:, None] for other in (self.missed, tried[best])
        )
        return worth(products, squares)[0] * self._weights(penalties[best], np.arange(FOLDS))

    def _foretold(self, penalty: Float[np.ndarray, " weight"]) -> Float[np.ndarray, " look"]:
        """What the other parts let expect of the looks of each."""
        found = np.zeros(len(self.missed))
        for part in range(FOLDS):
            own = self.fold == part
            found[own] = self.design[own] @ self._weights(penalty, np.delete(np.arange(FOLDS), part))
        return found

    def _weights(
        self, penalty: Float[np.ndarray, " weight"], parts: Int[np.ndarray, " part"]
    ) -> Float[np.ndarray, " weight"]:
        gram = self.grams[parts].sum(0)
        looks = np.isin(self.fold, parts).sum()
        return np.linalg.solve(gram + np.diag(penalty * looks), self.products[parts].sum(0))
