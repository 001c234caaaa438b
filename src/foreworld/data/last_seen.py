"""What is known at each row of a trajectory with gaps: the last value that was seen."""

import numpy as np
from jaxtyping import Float, Int


def last_seen(
    values: Float[np.ndarray, "row variable"],
) -> tuple[Float[np.ndarray, "row variable"], Int[np.ndarray, "row variable"]]:
    """At each row the last value seen so far (NaN if none was), and the row it was seen in (-1 if none was)."""
    rows = np.where(np.isfinite(values), np.arange(len(values))[:, None], -1)
    rows = np.maximum.accumulate(rows, axis=0)
    return np.where(rows >= 0, np.take_along_axis(values, np.maximum(rows, 0), axis=0), np.nan), rows
