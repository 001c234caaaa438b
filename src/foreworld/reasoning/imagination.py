"""The answer to *what happens if*: many futures, in native units, with intervals and an in-support flag."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.episodes import Episodes
from foreworld.data.frames import frame_from_columns, free
from foreworld.data.plan import Plan
from foreworld.data.schema import Variable
from foreworld.data.summary import clock
from foreworld.errors import MissingExtraError
from foreworld.reasoning.band import Band
from foreworld.reasoning.calibrate import quantiles
from foreworld.reasoning.support.verdict import Verdict

if TYPE_CHECKING:
    import xarray

LEVELS = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)


@dataclass(frozen=True)
class Imagination:
    """Sampled futures of the targets after each history, under a plan.

    Answers keep the user's names of the id and time columns. A column or dimension of ours that has the same name, such
    as `step`, gets an underscore: `step_`.

    Attributes:
        samples: calibrated futures in native units; one member is one coherent future. Categories are indices.
        verdict: how far history, actions and horizon lie within what training and calibration saw.
        histories, plan: the question.
        band: where whole futures lie, if that was asked for.
    """

    samples: Float[np.ndarray, "member episode step target"]
    verdict: Verdict
    histories: Episodes
    plan: Plan
    band: Band | None = field(default=None, kw_only=True)

    @property
    def targets(self) -> tuple[Variable, ...]:
        """The variables on the last axis of `samples`."""
        return self.histories.schema.targets

    @property
    def supported(self) -> Bool[np.ndarray, "episode step"]:
        """Whether the support of each step suffices; after the first at which it does not, it never does."""
        return self.verdict.supported

    def expected_error(self) -> Float[np.ndarray, "episode step target"]:
        """Expected absolute error of the median, native units; of a category, the chance that the likeliest is wrong.

        It is that of the calibrated futures themselves, which are wider where a question is strange. Beyond the border
        of what held-out questions were like, nobody has measured how the error grows: there it is at least as usual,
        however narrow a forecast that presses against a bound may be, and grows with the root of how far beyond the
        question lies (docs/decisions/calibration.md).
        """
        times = self.verdict.times.max(0)[..., None]
        usual = np.where(times > 1, self.verdict.usual_error, 0.0)
        most = [np.inf if target.kind == "continuous" else 1.0 for target in self.targets]
        own = own_error(self.samples, self.targets)
        return np.minimum(np.maximum(own, usual) * np.sqrt(np.maximum(times, 1.0)), most)

    def summary(self) -> list[dict[str, Any]]:
        """How far each answer can be trusted and why not further, one entry a history; JSON-able.

        `expected_error` is that of `expected_error()`, mean over the steps.
        """
        names, error = [target.name for target in self.targets], self.expected_error()
        return [
            {
                "id": history.id,
                "horizon": self.plan.horizon,
                **self.verdict.summary(index),
                "expected_error": dict(zip(names, error[index].mean(0).tolist(), strict=True)),
            }
            for index, history in enumerate(self.histories)
        ]

    def quantiles(self, levels: Sequence[float]) -> Float[np.ndarray, "level episode step target"]:
        """Quantiles over members, in native units."""
        return quantiles(self.samples, levels)

    def to_frame(self, backend: str | None = None) -> Any:
        """One row an (id, step, variable): mean, quantiles, unit and support, under the user's own column names.

        A binary or categorical target has one row a category, named `variable=label`: mean is its probability, and the
        quantiles are those of its indicator. A band adds the columns of its ends, `band05` and `band95`. The frame is
        of the kind that the history came in, unless `backend` says `pyarrow`, `pandas` or `polars`.
        """
        names, units, values = self._long()
        summary = {"mean": values.mean(0)}
        for level, quantile in zip(LEVELS, quantiles(values, LEVELS), strict=True):
            summary[f"q{round(level * 100):02d}"] = quantile
        columns = self._labels(names)
        columns |= {name: value.reshape(-1) for name, value in (summary | self._beside(names)).items()}
        columns["unit"] = np.tile(np.array(units, dtype=object), values.shape[1] * values.shape[2])
        columns["supported"] = np.repeat(self.supported.reshape(-1), len(names))
        return self._frame(columns, len(names), backend)

    def members_frame(self, backend: str | None = None) -> Any:
        """Every sampled future: one row an (id, step, variable, member), with its value."""
        names, _, values = self._long()
        members = values.shape[0]
        columns = {name: np.repeat(label, members) for name, label in self._labels(names).items()}
        columns["member"] = np.tile(np.arange(members), values[0].size)
        columns["value"] = np.moveaxis(values, 0, -1).reshape(-1)
        return self._frame(columns, len(names) * members, backend)

    def to_xarray(self) -> "xarray.Dataset":
        """A dataset with dimensions member, episode and step, one variable a target, units as attributes.

        Datetimes are in UTC, as xarray has no time zones.
        """
        try:
            import xarray
        except ImportError as error:
            raise MissingExtraError("to_xarray", "xarray") from error
        schema = self.histories.schema
        taken = {schema.time, *(target.name for target in self.targets)} | ({schema.id} - {"episode"})
        ours = ("member", "episode", "step", "support", "supported")
        member, episode, step, support, supported = (free(name, taken) for name in ours)
        dims = (member, episode, step)
        variables = {
            target.name: (dims, self.samples[..., index], {"units": target.unit})
            for index, target in enumerate(self.targets)
        }
        time = self.plan.time
        if schema.time_kind == "datetime":
            time = (time * 1e6).round().astype("datetime64[us]").astype("datetime64[ns]")
        coordinates = {
            schema.id: (episode, np.array([history.id for history in self.histories])),
            schema.time: ((episode, step), time),
            step: np.arange(1, self.plan.horizon + 1),
            support: ((episode, step), self.verdict.support),
            supported: ((episode, step), self.supported),
        }
        return xarray.Dataset(variables, coords=coordinates)

    def plot(self, path: str | Path | None = None, episode: int = 0) -> Any:
        """Fan chart of one episode: history, median and bands, the plan below. Returns the matplotlib figure."""
        from foreworld.evidence.plots import fan_chart

        figure = fan_chart(self, episode=episode)
        if path is not None:
            figure.savefig(path)
        return figure

    def _beside(self, names: Sequence[str]) -> dict[str, Float[np.ndarray, "episode step name"]]:
        """Further columns of the answer, for answers that have more to say."""
        if self.band is None:
            return {}
        place = {target.name: index for index, target in enumerate(self.targets) if target.kind == "continuous"}
        nothing = np.full(self.supported.shape, np.nan)
        found = {}
        for name, ends in self.band.columns().items():
            found[name] = np.stack([ends[..., place[one]] if one in place else nothing for one in names], axis=-1)
        return found

    def _labels(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        episodes, steps = self.plan.time.shape
        return {
            "step": np.tile(np.repeat(np.arange(1, steps + 1), len(names)), episodes),
            "variable": np.tile(np.array(names, dtype=object), episodes * steps),
        }

    def _frame(self, columns: dict[str, np.ndarray], rows: int, backend: str | None) -> Any:
        """A frame with id and time before our own columns, of which each (id, step) has this many rows."""
        schema = self.histories.schema
        ids = np.array([history.id for history in self.histories])
        keys = {
            schema.id: np.repeat(ids, self.plan.horizon * rows),
            schema.time: clock(np.repeat(self.plan.time.reshape(-1), rows), schema),
        }
        ours = {free(name, keys): column for name, column in columns.items()}
        return frame_from_columns(keys | ours, backend or self.histories.backend)

    def _long(self) -> tuple[list[str], list[str], Float[np.ndarray, "member episode step name"]]:
        return spread(self.samples, self.targets)


def spread(
    samples: Float[np.ndarray, "*sample target"], targets: Sequence[Variable]
) -> tuple[list[str], list[str], Float[np.ndarray, "*sample name"]]:
    """Row names and units, and the values: as they are, or an indicator for each category."""
    names, units, values = [], [], []
    for index, target in enumerate(targets):
        value = samples[..., index]
        if target.kind == "continuous":
            names.append(target.name)
            units.append(target.unit)
            values.append(value)
        labels = {"continuous": (), "binary": ("1",), "categorical": target.categories}[target.kind]
        for code, label in enumerate(labels):
            names.append(f"{target.name}={label}")
            units.append("probability")
            indicator = value == (1 if target.kind == "binary" else code)
            values.append(np.where(np.isfinite(value), indicator, np.nan))
    return names, units, np.stack([np.asarray(value, np.float32) for value in values], axis=-1)


def own_error(
    samples: Float[np.ndarray, "member episode step target"], targets: Sequence[Variable]
) -> Float[np.ndarray, "episode step target"]:
    """What futures themselves let expect: absolute error of their median; the chance that the likeliest is wrong."""
    errors = []
    for index, target in enumerate(targets):
        values = samples[..., index]
        if target.kind == "continuous":
            errors.append(np.abs(values - np.median(values, axis=0)).mean(0))
        else:
            shares = [(values == code).mean(0) for code in range(max(target.width, 2))]
            errors.append(1 - np.max(shares, axis=0))
    return np.stack(errors, axis=-1)
