"""How observations have just moved: their changes over the last few rows, each in units of its own usual size.

A level varies over its whole range while its last changes are small; to a network that sees scaled levels alone, the
slope that decides the near future is lost in the rounding of the level.
"""

import numpy as np
from jaxtyping import Float

from foreworld.data.scaling import INCREMENT_LAGS, LIMIT, Encoding


def increments_width(encoding: Encoding) -> int:
    """Numbers that the increments of one row take."""
    return len(INCREMENT_LAGS) * sum(variable.kind == "continuous" for variable in encoding.schema.observations)


def increments(
    observations: Float[np.ndarray, "row observation"], encoding: Encoding
) -> Float[np.ndarray, "row increment"]:
    """Changes since each lag, for every continuous observation; zero where one of the two is missing."""
    schema, scales = encoding.schema, encoding.scaling.variables
    out = np.zeros((len(observations), increments_width(encoding)), np.float32)
    column = 0
    for index, variable in enumerate(schema.observations):
        if variable.kind != "continuous":
            continue
        for lag, usual in zip(INCREMENT_LAGS, scales[variable.name].increments, strict=True):
            change = (observations[lag:, index] - observations[: max(len(observations) - lag, 0), index]) / usual
            out[lag:, column] = np.clip(np.nan_to_num(change, nan=0.0), -LIMIT, LIMIT)
            column += 1
    return out
