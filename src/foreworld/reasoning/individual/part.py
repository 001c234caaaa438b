"""Those that a law was learnt from are foretold by one that was not learnt from them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from foreworld.reasoning.individual.population import Population


@dataclass(frozen=True)
class Part:
    """Individuals that a law was learnt from, and one that knows nothing of what is missed about them alone.

    Attributes:
        episodes: theirs, by position.
        population: the law, but that what is missed alike was learnt from the others.
    """

    episodes: Int[np.ndarray, " _"]
    population: Population
