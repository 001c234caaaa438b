"""Calibrating a fitted model anew on trajectories that it never saw: as a whole, or in each group on its own.

What is calibrated is what is delivered: the average of the members' quantiles. Calibration moves every quantile
linearly in the quantile and the median: applied to each member before averaging, as forecasts do, it is the same.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Cases, cut
from foreworld.data.schema import Variable
from foreworld.errors import QuestionError
from foreworld.reasoning.calibrate import FEWEST, Calibration, fit_band, fit_calibration, quantiles, widened
from foreworld.reasoning.conformal import misses
from foreworld.reasoning.groups import Groups
from foreworld.reasoning.held_out import BATCH, batch_seed, spread_origins
from foreworld.reasoning.pool import bounded

if TYPE_CHECKING:
    from foreworld.model import WorldModel

COVERED = (0.5, 0.8, 0.9)
FOLDS = 5
ROWS = 8  # By the first of them a trajectory is known again.
Samples = Float[np.ndarray, "draw case step target"]


@dataclass(frozen=True)
class Recalibrated:
    """A model with another calibration, and what became of its intervals.

    Attributes:
        model: as it was, but for the calibration.
        before, after: share of truths in each interval of COVERED. `after` is measured by cross-validation over the
            trajectories: none was in the calibration that it is measured with.
        band_before, band_after: share of futures that lie in the 90% band at every step; NaN if there was none.
        wider: width of the 90% interval, as a share of that before.
        groups: one entry a group: label, trajectories, whether it is calibrated on its own, coverage of 90% intervals.
    """

    model: "WorldModel"
    before: Float[np.ndarray, "level step target"]
    after: Float[np.ndarray, "level step target"]
    band_before: Float[np.ndarray, " target"]
    band_after: Float[np.ndarray, " target"]
    wider: Float[np.ndarray, "step target"]
    groups: tuple[Mapping[str, Any], ...]

    @property
    def off(self) -> tuple[float, float]:
        """Mean distance of coverage from what it should be, before and after, over levels, steps and targets."""
        should = np.array(COVERED)[:, None, None]
        numbers = [variable.kind == "continuous" for variable in self.model.schema.targets]
        before, after = (np.abs(part - should)[..., numbers] for part in (self.before, self.after))
        return float(np.nanmean(before)), float(np.nanmean(after))

    def summary(self) -> dict[str, Any]:
        """What was measured, by target and step; JSON-able."""
        targets = [variable.name for variable in self.model.schema.targets if variable.kind == "continuous"]
        index = [place for place, one in enumerate(self.model.schema.targets) if one.kind == "continuous"]
        known = self.model.calibration
        return {
            "trajectories": known.episodes,
            "cases": known.cases,
            "off": {"before": self.off[0], "after": self.off[1]},
            "by": None if known.groups is None else known.groups.column,
            "groups": [dict(group) for group in self.groups],
            "targets": {
                name: {
                    "coverage": {
                        f"{level:.0%}": {
                            "before": self.before[row, :, place].tolist(),
                            "after": self.after[row, :, place].tolist(),
                        }
                        for row, level in enumerate(COVERED)
                    },
                    "band_90%": {"before": float(self.band_before[place]), "after": float(self.band_after[place])},
                    "width_90%_of_before": self.wider[:, place].tolist(),
                }
                for name, place in zip(targets, index, strict=True)
            },
        }


def recalibrate(model: "WorldModel", data: Episodes, by: str | None, *, seed: int) -> Recalibrated:
    """Calibrate on fresh trajectories; those of a group that has FEWEST of them at least, by that group alone.

    Raises:
        QuestionError: too few trajectories, some that the model was trained on, or a column that makes no groups.
    """
    horizon = model.config.horizon
    groups = None if by is None else Groups.fit(by, data)
    _refuse_known(model, data)
    long = np.array([index for index, episode in enumerate(data) if episode.steps >= horizon], int)
    if len(long) < FEWEST:
        raise QuestionError(
            f"calibration needs at least {FEWEST} trajectories with {horizon} rows after the first, and "
            f"{len(long)} of {len(data)} are"
        )
    targets = model.schema.targets
    if not any(variable.kind == "continuous" for variable in targets):
        raise QuestionError("no target is a number, and only intervals of numbers are calibrated")
    origins = spread_origins(data, long, horizon=horizon, limit=model.config.cases)
    cases, owner = cut(data, origins, horizon), np.array([index for index, _ in origins])
    raw, before = _forecast(model, cases, seed)
    group = np.full(len(owner), -1) if groups is None else groups.of(cases.histories)
    own, lasting = _own(groups, group, owner), model.calibration.persistence
    table = _Table(raw, cases.truth, owner, group, targets, groups, own, lasting)
    calibration = table.fit(np.arange(len(owner)))
    after, band = table.validated(seed)
    about = {"data": data.fingerprint, "episodes": len(data), "by": by}
    now = table.apply(calibration, np.arange(len(owner)))
    covered = [_inside(before, cases.truth, level) for level in COVERED]
    return Recalibrated(
        model=replace(model, calibration=calibration, about=model.about | {"recalibrated": about}),
        before=np.nanmean(covered, axis=1),
        after=np.nanmean(after, axis=1),
        band_before=table.held(before, cases.histories, model.calibration),
        band_after=np.nanmean(band, axis=0),
        wider=_width(now) / np.maximum(_width(before), 1e-30),
        groups=tuple(_told(table, covered[-1], after[-1])),
    )


@dataclass(frozen=True)
class _Table:
    """Forecasts of the ensemble before calibration, with the truth, the trajectory and the group of each case."""

    raw: Samples
    truth: Float[np.ndarray, "case step target"]
    owner: Int[np.ndarray, " case"]
    group: Int[np.ndarray, " case"]
    targets: tuple[Variable, ...]
    groups: Groups | None
    own: tuple[str, ...]
    persistence: list[float]

    def fit(self, cases: Int[np.ndarray, " _"]) -> Calibration:
        """On some of the cases: of all groups together, and of each that has enough of its own."""
        whole = self._fit(cases)
        if self.groups is None:
            return whole
        parts = {label: self._fit(cases[self.group[cases] == self.groups.labels.index(label)]) for label in self.own}
        return whole.model_copy(update={"groups": self.groups, "parts": parts})

    def _fit(self, cases: Int[np.ndarray, " _"]) -> Calibration:
        continuous = [variable.kind == "continuous" for variable in self.targets]
        found = fit_calibration(self.raw[:, cases], self.truth[cases], continuous, self.owner[cases])
        moved = bounded(found.apply(self.raw[:, cases]), self.targets)
        band = fit_band(moved, self.truth[cases], continuous)
        return found.model_copy(update={"band": band, "persistence": self.persistence})

    def apply(self, calibration: Calibration, cases: Int[np.ndarray, " _"]) -> Samples:
        """Forecasts of some cases after calibration."""
        out = np.empty_like(self.raw[:, cases])
        for part, places in self._split(calibration, cases):
            out[:, places] = part.apply(self.raw[:, cases[places]])
        return bounded(out, self.targets)

    def _split(self, calibration: Calibration, cases: Int[np.ndarray, " _"]) -> list[tuple[Calibration, np.ndarray]]:
        labels = () if self.groups is None else self.groups.labels
        place = {index: calibration.parts[label] for index, label in enumerate(labels) if label in calibration.parts}
        found = [(part, np.flatnonzero(self.group[cases] == index)) for index, part in place.items()]
        return [*found, (calibration, np.flatnonzero(~np.isin(self.group[cases], list(place))))]

    def validated(
        self, seed: int
    ) -> tuple[Float[np.ndarray, "level case step target"], Float[np.ndarray, "case target"]]:
        """Which truths intervals hold, and which futures the 90% band, if calibrated on other trajectories."""
        names = np.random.default_rng([seed, 6]).permutation(np.unique(self.owner))
        covered = np.full((len(COVERED), *self.truth.shape), np.nan)
        band = np.full((len(self.truth), len(self.targets)), np.nan)
        for part in np.array_split(names, min(FOLDS, len(names))):
            away = np.isin(self.owner, part)
            calibration, cases = self.fit(np.flatnonzero(~away)), np.flatnonzero(away)
            moved = self.apply(calibration, cases)
            covered[:, cases] = [_inside(moved, self.truth[cases], level) for level in COVERED]
            for one, places in self._split(calibration, cases):
                band[cases[places]] = _held(moved[:, places], self.truth[cases[places]], one)
        return covered, band

    def held(self, samples: Samples, histories: Episodes, calibration: Calibration) -> Float[np.ndarray, " target"]:
        """Share of futures within the band that a calibration had."""
        if not calibration.band:
            return np.full(len(self.targets), np.nan)
        found = [_held(samples[:, places], self.truth[places], part) for part, places in calibration.split(histories)]
        return np.nanmean(np.concatenate(found), axis=0)


def _forecast(model: "WorldModel", cases: Cases, seed: int) -> tuple[Samples, Samples]:
    """The ensemble's quantiles before calibration, and its forecasts as they have been, with new noise each BATCH."""
    centre, scale = model.encoding.scaling.of(model.schema.targets)
    raw, before = [], []
    for start in range(0, len(cases.truth), BATCH):
        histories = cases.histories.take(range(start, min(start + BATCH, len(cases.truth))))
        plan = cases.plan.take(slice(start, start + BATCH))
        drawn = model.draw(histories, plan, draws=model.config.draws, seed=batch_seed(seed, start))
        growth = model.judge(histories, plan).growth
        wide = [widened(futures * scale + centre, growth, model.schema.targets) for futures in drawn]
        raw.append(np.sort(wide, axis=1).mean(0))
        before.append(model.calibrated(drawn, drawn.shape[1], histories, growth))
    return np.concatenate(raw, 1), bounded(np.concatenate(before, 1), model.schema.targets)


def ends(samples: Samples, level: float) -> Float[np.ndarray, "3 case step target"]:
    """Lower end, median and upper end of the central interval."""
    return quantiles(samples, [(1 - level) / 2, 0.5, (1 + level) / 2]).astype(np.float64)


def _width(samples: Samples) -> Float[np.ndarray, "step target"]:
    """Mean width of the 90% interval."""
    low, _, high = ends(samples, 0.9)
    return (high - low).mean(0)


def _inside(
    samples: Samples, truth: Float[np.ndarray, "case step target"], level: float
) -> Float[np.ndarray, "case step target"]:
    """1 where the interval holds the truth, 0 where not, NaN where there is none."""
    low, _, high = ends(samples, level)
    return np.where(np.isfinite(truth), (truth >= low) & (truth <= high), np.nan)


def _held(
    samples: Samples, truth: Float[np.ndarray, "case step target"], part: Calibration
) -> Float[np.ndarray, "case target"]:
    """1 where the 90% band holds every step of a future."""
    low, middle, high = ends(samples, 0.9)
    worst = np.fmax.reduce(misses(low, middle, high, truth.astype(np.float64)), axis=1)
    return np.where(np.isfinite(worst), worst <= part.band_stretch(truth.shape[1], 0.9), np.nan)


def _own(groups: Groups | None, group: Int[np.ndarray, " case"], owner: Int[np.ndarray, " case"]) -> tuple[str, ...]:
    """The groups that have trajectories enough."""
    labels = () if groups is None else groups.labels
    return tuple(label for index, label in enumerate(labels) if len(np.unique(owner[group == index])) >= FEWEST)


def _told(table: _Table, before: np.ndarray, after: np.ndarray) -> list[dict[str, Any]]:
    """One entry a group."""
    continuous = [variable.kind == "continuous" for variable in table.targets]
    found = []
    for index, label in enumerate(() if table.groups is None else table.groups.labels):
        cases = np.flatnonzero(table.group == index)
        some = len(cases) > 0
        found.append(
            {
                "group": label,
                "trajectories": len(np.unique(table.owner[cases])),
                "own": label in table.own,
                "covered_90%_before": float(np.nanmean(before[cases][..., continuous])) if some else None,
                "covered_90%_after": float(np.nanmean(after[cases][..., continuous])) if some else None,
            }
        )
    return found


def recognise(data: Episodes) -> tuple[str, ...]:
    """What each trajectory is known by again, whatever its id and whatever rows it gains: a hash of its beginning."""
    return tuple(_mark(episode) for episode in data)


def _mark(episode: Episode) -> str:
    rows = slice(0, ROWS)
    parts = (episode.time[rows], episode.observations[rows], episode.actions[: ROWS - 1], episode.static)
    digest = hashlib.sha256()
    for values in parts:
        digest.update((np.where(np.isnan(values), np.nan, values).astype("<f8") + 0.0).tobytes())
    return digest.hexdigest()[:16]


def _refuse_known(model: "WorldModel", data: Episodes) -> None:
    known = set(model.trained_on)
    seen = [episode.id for episode, mark in zip(data, recognise(data), strict=True) if mark in known]
    if seen:
        named = ", ".join(f"'{name}'" for name in seen[:5]) + (f" and {len(seen) - 5} more" if len(seen) > 5 else "")
        raise QuestionError(
            f"the model was trained on {len(seen)} of these {len(data)} trajectories ({named}): calibration needs "
            "others, as intervals that are measured on training data come out too narrow"
        )
