"""From native units to numbers of order one, and back. Fitted on the training episodes alone."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict

from foreworld.data.episodes import Episodes
from foreworld.data.schema import Role, Schema, Variable

# Scaled inputs beyond this are cut: a network saturates there anyway, and such an input is flagged as unsupported.
LIMIT = 30.0
INCREMENT_LAGS = (1, 2, 3, 4, 6, 9, 12)  # rows


class Scale(BaseModel):
    """Centre and scale of one variable, and the range that training saw; native units.

    Attributes:
        increments: usual size of the change over each of INCREMENT_LAGS rows, for a continuous observation.
        impulse: an action that is at `centre` most of the time, such as a meal or a bolus.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    centre: float = 0.0
    scale: float = 1.0
    low: float = 0.0
    high: float = 0.0
    impulse: bool = False
    increments: tuple[float, ...] = ()


class Scaling(BaseModel):
    """One `Scale` a variable, by name, and the median time step, in units of the time column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variables: dict[str, Scale]
    step: float

    def of(
        self, variables: tuple[Variable, ...]
    ) -> tuple[Float[np.ndarray, " variable"], Float[np.ndarray, " variable"]]:
        """Centres and scales of these variables, as arrays."""
        scales = [self.variables[variable.name] for variable in variables]
        return np.array([s.centre for s in scales], float), np.array([s.scale for s in scales], float)


def fit_scaling(data: Episodes) -> Scaling:
    """Measure every variable over all rows of the training episodes."""
    schema = data.schema
    columns: dict[Role, np.ndarray] = {
        "observation": np.concatenate([episode.observations for episode in data]),
        "action": np.concatenate([episode.actions for episode in data]),
        "static": np.stack([episode.static for episode in data]),
        "known_future": np.concatenate([episode.known_future for episode in data]),
    }
    scales = {
        variable.name: _measure(columns[role][:, index], variable)
        for role in columns
        for index, variable in enumerate(schema.of(role))
    }
    for index, variable in enumerate(schema.observations):
        if variable.kind == "continuous":
            sizes = _increments([episode.observations[:, index] for episode in data], scales[variable.name].scale)
            scales[variable.name] = scales[variable.name].model_copy(update={"increments": sizes})
    steps = np.concatenate([np.diff(episode.time) for episode in data])
    return Scaling(variables=scales, step=float(np.median(steps)) if len(steps) else 1.0)


def _increments(series: list[Float[np.ndarray, " _"]], otherwise: float) -> tuple[float, ...]:
    """Root mean square of the change over each lag; the level's own scale where there is none to measure."""
    sizes = []
    for lag in INCREMENT_LAGS:
        changes = np.concatenate([values[lag:] - values[: max(len(values) - lag, 0)] for values in series])
        changes = changes[np.isfinite(changes)]
        size = float(np.sqrt(np.mean(changes**2))) if len(changes) else 0.0
        sizes.append(size if size > 1e-6 * otherwise else otherwise)
    return tuple(sizes)


def _measure(values: Float[np.ndarray, " row"], variable: Variable) -> Scale:
    values = values[np.isfinite(values)].astype(np.float64)
    if len(values) == 0:
        return Scale()
    low, high = float(values.min()), float(values.max())
    if variable.kind != "continuous":
        return Scale(low=low, high=high)
    centre = float(np.median(values))
    moved = values[values != centre]
    impulse = variable.role == "action" and 2 * len(moved) < len(values)
    if impulse:
        # An impulse, such as a meal: at rest most of the time. Over all rows its deviation would be tiny and a single
        # dose would look like an outlier of twenty deviations.
        scale = float(np.sqrt(np.mean((moved - centre) ** 2))) if len(moved) else 1.0
    else:
        centre, scale = float(values.mean()), float(values.std())
    if scale <= 1e-12 * max(abs(low), abs(high), 1e-30):
        scale = 1.0
    return Scale(centre=centre, scale=scale, low=low, high=high, impulse=impulse)


@dataclass(frozen=True)
class Encoding:
    """Turns the values of one role into network inputs: scaled or one-hot values, and one presence flag a variable.

    Attributes:
        schema: what the columns mean.
        scaling: measured on the training episodes.
        memory: time constants, in median steps, over which past actions are remembered; see `foreworld.data.memory`.
    """

    schema: Schema
    scaling: Scaling
    memory: tuple[float, ...]

    def width(self, role: Role) -> int:
        """Inputs that one row of a role takes."""
        return sum(variable.width + 1 for variable in self.schema.of(role))

    def values(self, values: Float[np.ndarray, "*row variable"], role: Role) -> Float[np.ndarray, "*row input"]:
        """As inputs, without the flags of what is missing."""
        return self(values, role)[..., : sum(variable.width for variable in self.schema.of(role))]

    def __call__(self, values: Float[np.ndarray, "*row variable"], role: Role) -> Float[np.ndarray, "*row input"]:
        """Scaled values with missing ones at zero, then the flags, along the last axis."""
        variables = self.schema.of(role)
        centre, scale = self.scaling.of(variables)
        present = np.isfinite(values)
        scaled = np.clip((values - centre) / scale, -LIMIT, LIMIT)
        scaled = np.where(present, scaled, 0.0).astype(np.float32)
        parts = []
        for index, variable in enumerate(variables):
            if variable.kind == "categorical":
                parts.append(values[..., index, None] == np.arange(variable.width))
            else:
                parts.append(scaled[..., index, None])
        return np.concatenate([*parts, present], axis=-1, dtype=np.float32)
