"""What a correction is worth, tried on those that it was not learnt from."""

import numpy as np
from jaxtyping import Float


def worth(
    products: Float[np.ndarray, "individual *number"], squares: Float[np.ndarray, "individual *number"]
) -> Float[np.ndarray, "*number"]:
    """The slope of misses on what was expected, drawn to zero by the share of its square that its error makes up.

    Positive-part Stein shrinkage (Efron and Morris, JASA 1973), 0 to 1; from the sums of expected times missed and of
    expected squared, by individual.
    """
    power = np.maximum(squares.sum(0), 1e-12)
    slope = products.sum(0) / power
    error = np.sqrt(np.square(products - slope * squares).sum(0)) / power
    share = np.where(slope > 0, 1 - np.square(error / np.where(slope > 0, slope, 1.0)), 0.0)
    return np.clip(slope * np.maximum(share, 0.0), 0.0, 1.0)
