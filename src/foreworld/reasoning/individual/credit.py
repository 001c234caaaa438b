"""How much what was learnt of individuals is worth for new ones: tried on those that it was not learnt from.

Where individuals do not differ, or are few for so many terms, a law of their differences fits what chance did in them.
So it is learnt from some and tried on the others: what each history up to a moment lets expect is held against what the
model missed after it. The slope of the misses on what was expected is the credit, drawn to zero by the share of
its square that its error makes up (positive-part Stein shrinkage; Efron and Morris, JASA 1973).
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from foreworld.reasoning.individual.look import Looks
from foreworld.reasoning.individual.population import Population

FOLDS = 3
MOMENTS = (0.25, 0.5, 0.75)  # Of each history, after which it is tried.


def fit_with_credit(looks: Looks) -> Population:
    """The law of all individuals, with the credit that it has on those that it is not learnt from."""
    law = Population.fit(looks)
    if not law.variance.any():
        return law
    products, squares = (np.zeros((len(looks.places), *law.noise.shape)) for _ in range(2))
    fold = np.random.default_rng(0).permutation(len(looks.places)) % FOLDS
    for part in range(FOLDS):
        others = Population.fit(looks.take(np.flatnonzero(fold != part)))
        own = np.flatnonzero(fold == part)
        for moment in MOMENTS:
            product, square = _tried(others, looks, own, moment)
            products[own] += product
            squares[own] += square
    return replace(law, credit=credit(products, squares))


def credit(
    products: Float[np.ndarray, "individual lead target"], squares: Float[np.ndarray, "individual lead target"]
) -> Float[np.ndarray, "lead target"]:
    """From the sums of expected times missed and of expected squared, by individual; 0 to 1."""
    power = np.maximum(squares.sum(0), 1e-12)
    slope = products.sum(0) / power
    error = np.sqrt(np.square(products - slope * squares).sum(0)) / power
    worth = np.where(slope > 0, 1 - np.square(error / np.where(slope > 0, slope, 1.0)), 0.0)
    return np.clip(slope * np.maximum(worth, 0.0), 0.0, 1.0)


def _tried(
    law: Population, looks: Looks, own: Int[np.ndarray, " _"], moment: float
) -> tuple[Float[np.ndarray, "individual lead target"], Float[np.ndarray, "individual lead target"]]:
    """What histories up to a moment let expect of the looks after it: sums over these, by individual."""
    whole = looks.take(own)
    now = np.ceil(moment * whole.steps).astype(int)
    mean = law.know(replace(whole, steps=now)).mean
    products, squares = (np.zeros((len(own), *law.noise.shape)) for _ in range(2))
    for part, some in law.evidence(whole):
        later = looks.row[whole.places[part]] >= now[part, None]
        expected = some.expected(mean[part])
        weight = some.weight * later[:, None, None]
        products[part] = (weight * expected * some.missed).sum(-1)
        squares[part] = (weight * np.square(expected)).sum(-1)
    return products, squares
