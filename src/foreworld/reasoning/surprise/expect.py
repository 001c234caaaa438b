"""What every observed channel was expected to be, and how surely: also those that nobody declared to be of interest.

The model reads its targets alone. For a fault in any other channel to be seen and named, a linear map reads every
channel from the predicted belief, from what is read of the targets, and from the present row; it is fitted after
training, and the beliefs never feel it. For the targets it takes out what the network leaves linear. A second one reads
the logarithm of the error, so that a channel is held to a forecast that is as sharp as it can be just then (log-linear
variance, Harvey, Econometrica 1976).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.data.scaling import Encoding
from foreworld.data.schema import Variable
from foreworld.data.tabulate import Table
from foreworld.reasoning.surprise.look import Looks, leaving

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # Of a ridge, in units of the variance of an input.
LIMIT = 8.0  # Deviations of an input; what was hardly ever there in training would count for too much else.
SURE = 0.005  # Least chance of a category: a linear map may say less than none.
LEAST = 1e-3  # Of the usual error of a channel: an error is no smaller in the logarithm.


def unit_columns(variables: Sequence[Variable]) -> list[slice]:
    """Which units belong to each channel: its scaled value, or one indicator a category."""
    ends = np.cumsum([variable.width for variable in variables]).tolist()
    return [slice(end - variable.width, end) for variable, end in zip(variables, ends, strict=True)]


def encode_units(values: Float[np.ndarray, "step observation"], encoding: Encoding) -> Float[np.ndarray, "step unit"]:
    """Observations as units: scaled values, 0 or 1 for a binary, indicators of categories; NaN where missing."""
    parts = []
    for index, variable in enumerate(encoding.schema.observations):
        column = values[:, index, None].astype(float)
        if variable.kind == "categorical":
            shown = (column == np.arange(variable.width)).astype(float)
            parts.append(np.where(np.isfinite(column), shown, np.nan))
        elif variable.kind == "continuous":
            scale = encoding.scaling.variables[variable.name]
            parts.append((column - scale.centre) / scale.scale)
        else:
            parts.append(column)
    return np.concatenate(parts, axis=1)


def inputs(looks: Looks, table: Table, steps: slice = slice(None)) -> Float[np.ndarray, "member step input"]:
    """What channels are read from: the present row and the move that leaves it, and what the network expects."""
    rows = leaving(table)[steps]
    present = np.concatenate([table.history[rows], table.moves[rows]], axis=1)
    ahead = [looks.mean[:, steps].numpy(), looks.read[:, steps].numpy(), np.log(looks.width[:, steps].numpy())]
    shared = np.broadcast_to(present, (len(ahead[0]), *present.shape))
    return np.concatenate([shared, *ahead], axis=2, dtype=np.float32)


@dataclass(frozen=True)
class Expectation:
    """Linear maps from inputs to the mean of every unit and to the logarithm of its deviation, by member.

    Attributes:
        centre, scale: of the inputs.
        weights: of the standardised inputs, the constant first; means, then logarithms of errors, the belief's last.
    """

    centre: Float[np.ndarray, "member input"]
    scale: Float[np.ndarray, "member input"]
    weights: Float[np.ndarray, "member entry output"]

    def __call__(self, inputs: Float[np.ndarray, "member step input"]) -> "Expected":
        """What is expected of the rows that some steps lead to."""
        read = _standard(inputs, self.centre[:, None], self.scale[:, None]) @ self.weights
        mean, width = np.split(read, [read.shape[2] // 2], axis=2)
        return Expected(mean, np.exp(np.clip(width, -30, 30)))


@dataclass(frozen=True)
class Expected:
    """Means and usual errors of the units of each row, by member; the last error is that of the belief."""

    mean: Float[np.ndarray, "member step unit"]
    width: Float[np.ndarray, "member step error"]

    def scores(
        self,
        units: Float[np.ndarray, "step unit"],
        distance: Float[np.ndarray, "member step"],
        variables: Sequence[Variable],
    ) -> Float[np.ndarray, "member step stream"]:
        """How far each row is from what was expected of it: the observed channels in their order, then the belief.

        Errors of numbers and of the belief are in units of the usual one; of binaries and categories it is -log of the
        chance that what was seen had.
        """
        out = []
        for variable, columns in zip(variables, unit_columns(variables), strict=True):
            seen = units[:, columns]
            if variable.kind == "continuous":
                score = (seen - self.mean[..., columns]) / self.width[..., columns]
            else:
                chance = self.chances(variable, columns)
                given = seen * chance + (1 - seen) * (1 - chance) if variable.kind == "binary" else seen * chance
                score = -np.log(given.sum(-1, keepdims=True))
            out.append(score[..., 0])
        out.append(distance / self.width[..., -1])
        return np.stack(out, axis=-1)

    def chances(self, variable: Variable, columns: slice) -> Float[np.ndarray, "member step label"]:
        """Of each category, or of a binary being 1."""
        chance = np.clip(self.mean[..., columns], SURE, 1 - SURE)
        return chance if variable.kind == "binary" else chance / chance.sum(-1, keepdims=True)


@dataclass(frozen=True)
class Rows:
    """What an expectation is fitted to; a unit is NaN where it is missing."""

    inputs: Float[np.ndarray, "step input"]
    units: Float[np.ndarray, "step unit"]
    distance: Float[np.ndarray, " step"]


def fit_expectation(learn: Rows, check: Rows) -> Expectation:
    """Ridge regressions for one member, on episodes it was trained on; those it left out choose the penalties."""
    inputs, units = learn.inputs, learn.units
    centre, scale = inputs.mean(0, dtype=np.float64), inputs.std(0, dtype=np.float64)
    scale[scale < 1e-6] = np.inf  # What never moved says nothing.
    entries, others = (_standard(part, centre, scale) for part in (inputs, check.inputs))
    mean = _ridges(entries, units, others, check.units)
    error = np.abs(np.column_stack([units - entries @ mean, learn.distance]))
    other = np.abs(np.column_stack([check.units - others @ mean, check.distance]))
    usual = np.sqrt(np.nanmean(np.square(error), axis=0, where=np.isfinite(error)))
    least = LEAST * np.where(np.isfinite(usual) & (usual > 0), usual, 1e-3)
    width = _ridges(entries, np.log(error + least), others, np.log(other + least))
    return Expectation(
        centre=centre[None].astype(np.float32),
        scale=scale[None].astype(np.float32),
        weights=np.concatenate([mean, width], axis=1)[None].astype(np.float32),
    )


def _standard(
    inputs: Float[np.ndarray, "*row input"], centre: Float[np.ndarray, "*#row input"], scale: np.ndarray
) -> Float[np.ndarray, "*row entry"]:
    scaled = np.clip((inputs - centre) / scale, -LIMIT, LIMIT)
    return np.concatenate([np.ones_like(scaled[..., :1]), scaled], axis=-1)


def _ridges(
    entries: Float[np.ndarray, "step entry"],
    units: Float[np.ndarray, "step unit"],
    others: Float[np.ndarray, "other entry"],
    truth: Float[np.ndarray, "other unit"],
) -> Float[np.ndarray, "entry unit"]:
    """For every unit the ridge whose penalty does best on the other rows. Units with equal gaps share their sums."""
    weights = np.zeros((entries.shape[1], units.shape[1]))
    _, pattern = np.unique(np.isfinite(units), axis=1, return_inverse=True)
    for one in np.unique(pattern):
        columns = np.flatnonzero(pattern == one)
        rows = np.isfinite(units[:, columns[0]])
        if not rows.any():
            continue
        x, y = entries[rows], units[np.ix_(rows, columns)]
        values, vectors = np.linalg.eigh(x.T @ x)
        along = vectors.T @ (x.T @ y)
        tried = np.stack([vectors @ (along / (np.maximum(values, 0) + p * rows.sum())[:, None]) for p in PENALTIES])
        miss = np.square(truth[:, columns] - others @ tried)
        lost = np.where(np.isfinite(miss), miss, 0).sum(1)
        best = lost.argmin(0)
        weights[:, columns] = tried[best, :, np.arange(len(columns))].T
    return weights
