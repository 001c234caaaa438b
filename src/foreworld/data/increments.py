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
    observations: Float[np.ndarray, "*episode row observation"], encoding: Encoding
) -> Float[np.ndarray, "*episode row increment"]:
    """Changes since each lag, for every continuous observation; zero where one of the two is not known."""
    schema, scales = encoding.schema, encoding.scaling.variables
    moving = [index for index, variable in enumerate(schema.observations) if variable.kind == "continuous"]
    usual = np.array([scales[schema.observations[index].name].increments for index in moving])
    values = observations[..., moving]
    rows = values.shape[-2]
    out = np.zeros((*values.shape, len(INCREMENT_LAGS)), np.float32)
    for place, lag in enumerate(INCREMENT_LAGS if moving else ()):
        change = (values[..., lag:, :] - values[..., : max(rows - lag, 0), :]) / usual[:, place]
        out[..., lag:, :, place] = np.clip(np.nan_to_num(change, nan=0.0), -LIMIT, LIMIT)
    return out.reshape(*values.shape[:-1], increments_width(encoding))
