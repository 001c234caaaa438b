"""From the futures of each member of the ensemble to those of the ensemble: average quantiles, not probabilities.

Throwing calibrated members together gives a mixture that is wider than any of them, and so no longer calibrated (Ranjan
and Gneiting, JRSS B 2010). Averaging their quantiles keeps their width (Lichtendahl, Grushka-Cockayne and Winkler,
Management Science 2013). The ranks of the members' own futures put the averaged values in order, so that each stays one
coherent path (ensemble copula coupling, Schefzik, Thorarinsdottir and Gneiting, Statistical Science 2013).
"""

import numpy as np
from jaxtyping import Float

from foreworld.data.schema import Variable


def pool(samples: Float[np.ndarray, "member draw *question"], count: int) -> Float[np.ndarray, "sample *question"]:
    """The first `count` futures of the ensemble, members in turn, at evenly spread levels of its averaged quantiles."""
    members, draws = samples.shape[:2]
    averaged = np.sort(samples, axis=1).mean(0)
    paths = samples.swapaxes(0, 1).reshape(members * draws, *samples.shape[2:])[:count]
    order = np.argsort(paths, axis=0, kind="stable")
    # Of k sorted values the first stands for the level 1 / (k + 1): so does `quantiles` read them, and so calibration.
    place = np.clip(np.arange(1, count + 1) / (count + 1) * (draws + 1) - 1, 0, draws - 1)
    below = np.minimum(place.astype(int), max(draws - 2, 0))
    share = (place - below).reshape(-1, *[1] * (samples.ndim - 2)).astype(samples.dtype)
    values = averaged[below] * (1 - share) + averaged[np.minimum(below + 1, draws - 1)] * share
    out = np.empty_like(paths)
    np.put_along_axis(out, order, values, axis=0)
    return out


def bounded(
    samples: Float[np.ndarray, "*question target"], targets: tuple[Variable, ...]
) -> Float[np.ndarray, "*question target"]:
    """The samples within the bounds that were declared for these targets."""
    low, high = np.array([variable.bounds for variable in targets]).T
    return np.clip(samples, low, high)
