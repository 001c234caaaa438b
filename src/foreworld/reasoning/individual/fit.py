"""Learn how individuals differ from those that the forecasting member never saw."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from foreworld.data.episodes import Episodes
from foreworld.data.scaling import Encoding
from foreworld.reasoning.held_out import only
from foreworld.reasoning.individual.alike import Alike
from foreworld.reasoning.individual.credit import fit_with_credit
from foreworld.reasoning.individual.look import leads_of, look_back, together
from foreworld.reasoning.individual.part import Part
from foreworld.reasoning.individual.population import Population
from foreworld.world.build import Network

LOOKS = 6_000  # That what is missed about everybody is learnt from, where individuals have as many.
NUMBERS = 240_000  # Looks times steps at most.
ENOUGH = 32  # Looks of an individual that a law is learnt from: its cost grows with their third power.


def fit_population(
    network: Network, encoding: Encoding, data: Episodes, held_out: list[Int[np.ndarray, " _"]]
) -> tuple[Population, list[Part]]:
    """Each episode is looked back on as a whole, by the first member that left it out.

    Returns:
        The law of new individuals, and the parts that those that it was learnt from are in.
    """
    horizon = network.config.horizon
    most = max(ENOUGH, min(LOOKS, NUMBERS // horizon) // len(data))
    looks, parts, done = [], [], np.zeros(0, int)
    for member, fold in enumerate(held_out):
        own = np.setdiff1d(fold, done)
        if own.size:
            alone, some = only(network, encoding, member), data.take(own.tolist())
            looks.append(look_back(alone, encoding, some, most, every_step=True))
            parts.append(own)
            done = np.union1d(done, own)
    found = together(looks)
    part = np.repeat(np.arange(len(looks)), [len(some.row) for some in looks])
    *apart, alike = Alike.fit(found, part)
    rest = [some.beyond(law).fewer(ENOUGH).at(leads_of(horizon)) for some, law in zip(looks, apart, strict=True)]
    population = replace(fit_with_credit(together(rest)), alike=alike)
    return population, [Part(own, replace(population, alike=law)) for own, law in zip(parts, apart, strict=True)]
