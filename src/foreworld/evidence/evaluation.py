"""What an evaluation found: scores by target and step, with intervals that respect dependence within episodes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema
from foreworld.evidence.metrics import Interval, bootstrap_mean

LEVELS = (0.5, 0.8, 0.9)
METRICS = (
    "crps",
    "rmse",
    "bias",
    *(f"coverage_{level * 100:.0f}" for level in LEVELS),
    *(f"width_{level * 100:.0f}" for level in LEVELS),
)
CONFIDENCE = 0.9

Scores = Float[np.ndarray, "forecaster case step target"]


@dataclass(frozen=True)
class Evaluation:
    """Scores of every case; the methods summarise them. NaN where the truth was not observed.

    Attributes:
        forecasters: names.
        schema: of the data.
        backend: the kind of frame that `to_frame` makes.
        lead: median time from the origin to each step, in units of the time column.
        group: the episode of each case, for intervals.
        crps: fair continuous ranked probability score.
        error: mean of the samples less the truth.
        pit: where the truth falls among the samples, 0 to 1.
        covered: 1 where the central interval of each of LEVELS holds the truth, else 0.
        width: of these intervals.
        supported: whether the model vouches for its answer; None where nobody was asked.
    """

    forecasters: tuple[str, ...]
    schema: Schema
    backend: str
    lead: Float[np.ndarray, " step"]
    group: tuple[str | int, ...]
    crps: Scores
    error: Scores
    pit: Scores
    covered: Float[np.ndarray, "level forecaster case step target"]
    width: Float[np.ndarray, "level forecaster case step target"]
    supported: Bool[np.ndarray, "case step"] | None = None

    @property
    def steps(self) -> int:
        """H, the number of steps ahead."""
        return len(self.lead)

    @property
    def time_unit(self) -> str:
        return "s" if self.schema.time_kind == "datetime" else self.schema.time_unit

    def by_step(self, metric: str, *, draws: int = 1000, seed: int = 0) -> Interval:
        """A metric by step ahead, with a 90% interval: arrays [forecaster, step, target].

        Args:
            metric: one of METRICS.
            draws, seed: of the bootstrap over episodes.
        """
        values = np.moveaxis(self._values(metric), 1, 0)
        return _root(metric, bootstrap_mean(values, self.group, level=CONFIDENCE, draws=draws, seed=seed))

    def overall(self, metric: str, *, draws: int = 1000, seed: int = 0) -> Interval:
        """The same over all steps together: arrays [forecaster, target]."""
        return _root(metric, self._pooled(self._values(metric), draws, seed))

    def difference(
        self, name: str, reference: str, metric: str = "crps", *, draws: int = 1000, seed: int = 0
    ) -> Interval:
        """Mean difference of two forecasters on the same cases, over all steps: arrays [target].

        Its interval decides whether one is better than the other; whether their own intervals overlap does not.

        Args:
            name, reference: forecasters; the difference is `name` less `reference`.
            metric: one of METRICS but `rmse`, which is no mean over cases.
            draws, seed: of the bootstrap over episodes.
        """
        if metric == "rmse":
            raise ValueError("a root of a mean has no paired difference; compare the CRPS")
        values = self._values(metric)
        first, second = self.forecasters.index(name), self.forecasters.index(reference)
        paired = self._pooled((values[first] - values[second])[None], draws, seed)
        return Interval(*(part[0] for part in paired))

    def to_frame(self) -> Any:
        """A long frame: forecaster, target, step, lead, metric, unit, value, low, high, cases.

        `lead` is in units of the time column, `low` and `high` bound a 90% interval, `cases` counts those observed.
        """
        from foreworld.data.frames import frame_from_columns

        targets, names = self.schema.targets, np.array(self.forecasters)
        shape = (len(METRICS), len(names), self.steps, len(targets))
        metric, forecaster, step, target = (part.reshape(-1) for part in np.indices(shape))
        scores = [self.by_step(name) for name in METRICS]
        value, low, high = (np.stack([score[part] for score in scores]).reshape(-1) for part in range(3))
        cases = np.broadcast_to(np.isfinite(self.crps).sum(axis=1), shape).reshape(-1)
        units = [[_unit(name, variable.unit) for variable in targets] for name in METRICS]
        columns = {
            "forecaster": names[forecaster],
            "target": np.array([variable.name for variable in targets])[target],
            "step": step + 1,
            "lead": self.lead[step],
            "metric": np.array(METRICS)[metric],
            "unit": np.array(units)[metric, target],
            "value": value,
            "low": low,
            "high": high,
            "cases": cases,
        }
        return frame_from_columns(columns, self.backend)

    def table(self, steps: Sequence[int] | None = None, metric: str = "crps") -> list[dict[str, str]]:
        """Rows for printing, one a forecaster and target: the mean and a 90% interval at some steps and over all.

        Args:
            steps: steps ahead, from 1; by default four, evenly spread.
            metric: one of METRICS.
        """
        chosen = list(steps or np.unique(np.linspace(0, self.steps, 5)[1:].round().astype(int)).tolist())
        if min(chosen) < 1 or max(chosen) > self.steps:
            raise ValueError(f"steps lie between 1 and {self.steps}")
        each, overall = self.by_step(metric), self.overall(metric)
        rows = []
        for target, variable in enumerate(self.schema.targets):
            for index, name in enumerate(self.forecasters):
                row = {"forecaster": name, "target": variable.name, "unit": _unit(metric, variable.unit)}
                for step in chosen:
                    row[self.label(step)] = _show(*(part[index, step - 1, target] for part in each))
                row["all steps"] = _show(*(part[index, target] for part in overall))
                rows.append(row)
        return rows

    def label(self, step: int) -> str:
        """How far ahead a step is, in words."""
        return f"{self.lead[step - 1]:g} {self.time_unit}" if self.time_unit else f"step {step}"

    def to_json(self) -> str:
        """All metrics by forecaster, target and step, as [mean, low, high]; null where nothing was observed."""
        scores: dict[str, Any] = {name: {} for name in self.forecasters}
        for metric in METRICS:
            each, overall = self.by_step(metric), self.overall(metric)
            for index, name in enumerate(self.forecasters):
                for target, variable in enumerate(self.schema.targets):
                    scores[name].setdefault(variable.name, {})[metric] = {
                        "steps": np.stack(each, axis=-1)[index, :, target].tolist(),
                        "overall": np.stack(overall, axis=-1)[index, target].tolist(),
                    }
        about = {
            "cases": len(self.group),
            "episodes": len(set(self.group)),
            "supported": None if self.supported is None else float(self.supported.all(1).mean()),
            "confidence": CONFIDENCE,
            "lead": self.lead.tolist(),
            "time_unit": self.time_unit,
            "units": {variable.name: variable.unit for variable in self.schema.targets},
        }
        return json.dumps(_nullify(about | {"scores": scores}), allow_nan=False)

    def _values(self, metric: str) -> Scores:
        """What a metric is the mean, or for `rmse` the root of the mean, of."""
        kind, _, percent = metric.partition("_")
        if metric not in METRICS:
            raise ValueError(f"no metric '{metric}'; there are {', '.join(METRICS)}")
        if kind in ("coverage", "width"):
            level = [f"{level * 100:.0f}" for level in LEVELS].index(percent)
            return (self.covered if kind == "coverage" else self.width)[level]
        return {"crps": self.crps, "rmse": self.error**2, "bias": self.error}[kind]

    def _pooled(self, values: Scores, draws: int, seed: int) -> Interval:
        """The mean over cases and steps."""
        cases = np.moveaxis(values, 0, 2).reshape(-1, values.shape[0], values.shape[3])
        group = np.repeat(np.array([str(name) for name in self.group]), self.steps).tolist()
        return bootstrap_mean(cases, group, level=CONFIDENCE, draws=draws, seed=seed)


def _root(metric: str, interval: Interval) -> Interval:
    return Interval(*(np.sqrt(part) for part in interval)) if metric == "rmse" else interval


def _unit(metric: str, unit: str) -> str:
    return "fraction" if metric.startswith("coverage") else unit


def _show(mean: float, low: float, high: float) -> str:
    if np.isnan(mean):
        return "not observed"
    return _short(mean) if np.isnan(low) else f"{_short(mean)} [{_short(low)}, {_short(high)}]"


def _short(value: float) -> str:
    """Three significant digits, without an exponent where that is readable."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def _nullify(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nullify(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nullify(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
