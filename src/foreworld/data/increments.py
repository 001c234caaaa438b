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
    observations: Float[np.ndarray, "row observation"], encoding: Encoding, start: int = 0
) -> Float[np.ndarray, "tail increment"]:
    """Changes since each lag, for every continuous observation; zero where one of the two is not known.

    Args:
        observations: of an episode.
        encoding: of the data.
        start: the first row that is asked for; of the rows before it no more than the longest lag is looked at.
    """
    first = max(0, start - max(INCREMENT_LAGS))
    schema, scales = encoding.schema, encoding.scaling.variables
    moving = [index for index, variable in enumerate(schema.observations) if variable.kind == "continuous"]
    usual = np.array([scales[schema.observations[index].name].increments for index in moving])
    values = observations[first:, moving]
    out = np.zeros((len(values), len(moving), len(INCREMENT_LAGS)), np.float32)
    for place, lag in enumerate(INCREMENT_LAGS if moving else ()):
        change = (values[lag:] - values[: max(len(values) - lag, 0)]) / usual[:, place]
        out[lag:, :, place] = np.clip(np.nan_to_num(change, nan=0.0), -LIMIT, LIMIT)
    return out.reshape(len(values), increments_width(encoding))[start - first :]
