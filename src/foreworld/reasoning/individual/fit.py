"""Learn how individuals differ from those that the forecasting member never saw."""

import numpy as np
from jaxtyping import Int

from foreworld.data.episodes import Episodes
from foreworld.data.scaling import Encoding
from foreworld.reasoning.held_out import only
from foreworld.reasoning.individual.credit import fit_with_credit
from foreworld.reasoning.individual.look import look_back, together
from foreworld.reasoning.individual.population import Population
from foreworld.world.build import Network

ENOUGH = 32  # Looks of an individual that a law is learnt from: its cost grows with their third power.


def fit_population(
    network: Network, encoding: Encoding, data: Episodes, held_out: list[Int[np.ndarray, " _"]]
) -> Population:
    """Each episode is looked back on as a whole, by the first member that left it out."""
    looks, done = [], np.zeros(0, int)
    for member, fold in enumerate(held_out):
        own = np.setdiff1d(fold, done)
        if own.size:
            looks.append(look_back(only(network, encoding, member), encoding, data.take(own.tolist()), ENOUGH))
            done = np.union1d(done, own)
    return fit_with_credit(together(looks))
