"""Forecasts along streams: every row ahead of time, with intervals that adapt to how the stream turns out."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.frames import frame_from_columns, free
from foreworld.data.plan import cut, lengthened
from foreworld.data.summary import clock
from foreworld.errors import QuestionError
from foreworld.reasoning.adaptive import AdaptiveIntervals
from foreworld.reasoning.calibrate import quantiles
from foreworld.reasoning.held_out import batch_seed
from foreworld.reasoning.pool import bounded

if TYPE_CHECKING:
    from foreworld.model import WorldModel

CHUNK = 100  # Forecasts that share their noise, and the memory that they take.
Values = Float[np.ndarray, "stream row step target"]


@dataclass(frozen=True)
class AdaptedStream:
    """What was said of every row, before it came; NaN where a stream has no such row.

    Attributes:
        data: the streams.
        level: share of truths that the intervals shall hold.
        low, high: adapted intervals of the steps after each row.
        stretch: how much wider they are than calibrated ones.
        fixed: coverage by the calibrated intervals, 1 or 0.
        seen: what came; NaN where it was not observed.
    """

    data: Episodes
    level: float
    low: Values
    high: Values
    stretch: Values
    fixed: Values
    seen: Values

    @property
    def covered(self) -> Values:
        """1 where an adapted interval holds what came, 0 where not; NaN where nothing is known."""
        return np.where(np.isfinite(self.seen), (self.seen >= self.low) & (self.seen <= self.high), np.nan)

    def to_frame(self, backend: str | None = None) -> Any:
        """One row an (id, step, ahead, variable): what was said of a row `ahead` rows before.

        A step is a row of the stream, from 1; the first, 0, has nothing before it. `covered` is empty where the row was
        not observed. The quantile columns are those of the level, `q05` and `q95` for 0.9.
        """
        schema = self.data.schema
        index = [place for place, target in enumerate(schema.targets) if target.kind == "continuous"]
        stream, row, ahead = (part.ravel() for part in np.indices(self.low.shape[:3]))
        length = np.array([episode.steps for episode in self.data])
        exists = row + ahead + 1 <= length[stream]
        # By the row that is spoken of, and what was said of it first comes first.
        order = np.lexsort((-ahead, row + ahead, stream))
        picked = order[exists[order]]
        stream, row, ahead = stream[picked], row[picked], ahead[picked]
        step, width = row + ahead + 1, len(index)
        ids, tail = np.array([episode.id for episode in self.data]), round((1 - self.level) * 50)
        time = np.array([self.data[int(s)].time[t] for s, t in zip(stream, step, strict=True)])

        def flat(values: Values) -> np.ndarray:
            return values[stream, row, ahead][:, index].reshape(-1)

        columns = {schema.id: np.repeat(ids[stream], width), schema.time: clock(np.repeat(time, width), schema)}
        ours = {
            "step": np.repeat(step, width),
            "ahead": np.repeat(ahead + 1, width),
            "variable": np.tile(np.array([schema.targets[one].name for one in index], dtype=object), len(step)),
            f"q{tail:02d}": flat(self.low),
            f"q{100 - tail:02d}": flat(self.high),
            "level": np.full(len(step) * width, self.level),
            "stretch": flat(self.stretch),
            "seen": flat(self.seen),
            "covered": flat(self.covered),
            "unit": np.tile(np.array([schema.targets[one].unit for one in index], dtype=object), len(step)),
        }
        columns |= {free(name, columns): column for name, column in ours.items()}
        return frame_from_columns(columns, backend or self.data.backend)

    def summary(self) -> dict[str, Any]:
        """Coverage by target and steps ahead, adapted and as calibrated, and the stretch at the end; JSON-able."""
        found = {}
        for place, target in enumerate(self.data.schema.targets):
            if target.kind != "continuous":
                continue
            adapted, fixed = self.covered[..., place], self.fixed[..., place]
            found[target.name] = {
                "adapted": _mean(adapted).tolist(),
                "calibrated": _mean(fixed).tolist(),
                "stretch": _mean(np.where(np.isfinite(adapted), self.stretch[..., place], np.nan)).tolist(),
            }
        rows = int(sum(episode.steps for episode in self.data))
        return {"level": self.level, "streams": len(self.data), "rows": rows, "coverage": found}


def adapt(
    model: "WorldModel", data: Episodes, *, level: float, horizon: int | None, members: int, seed: int
) -> AdaptedStream:
    """Forecast from every row, and adapt as the rows come."""
    ahead, targets = model.config.horizon if horizon is None else horizon, model.schema.targets
    if not 0 < level < 1:
        raise QuestionError(f"a level lies between 0 and 1, not {level:g}")
    if ahead < 1 or members < 2:
        raise QuestionError(f"a horizon of {ahead} steps and {members} samples: one and two are needed at least")
    if not any(target.kind == "continuous" for target in targets):
        raise QuestionError("no target is a number, and only intervals of numbers adapt")
    moving = tuple(episode for episode in data if episode.steps)
    if not moving:
        raise QuestionError("no row has another before it, so there is nothing to forecast")
    data = replace(data, episodes=moving)
    ends, seen = _ends(model, data, ahead, level, members, seed)
    low, middle, high = ends
    adaptive = AdaptiveIntervals(len(data), ahead, len(targets), level=level)
    out = np.full((3, *seen.shape), np.nan)
    for row in range(seen.shape[1]):
        out[2, :, row] = adaptive.stretch
        out[:2, :, row] = adaptive.issue(low[:, row], middle[:, row], high[:, row])
        adaptive.observe(seen[:, row, 0])
    fixed = np.where(np.isfinite(seen), (seen >= low) & (seen <= high), np.nan)
    inside = bounded(out[:2], targets)
    return AdaptedStream(data, level, inside[0], inside[1], out[2], fixed, seen)


def _ends(
    model: "WorldModel", data: Episodes, ahead: int, level: float, members: int, seed: int
) -> tuple[Float[np.ndarray, "end stream row step target"], Values]:
    """Lower end, median and upper end of the calibrated forecast from every row, and what came."""
    longer = replace(data, episodes=tuple(lengthened(episode, ahead, model.encoding.scaling.step) for episode in data))
    origins = [(index, row) for index, episode in enumerate(data) for row in range(episode.steps)]
    shape = (len(data), max(episode.steps for episode in data), ahead, len(model.schema.targets))
    ends, seen = np.full((3, *shape), np.nan), np.full(shape, np.nan)
    for start in range(0, len(origins), CHUNK):
        some = origins[start : start + CHUNK]
        cases = cut(longer, some, ahead)
        samples = model.forecast(cases.histories, cases.plan, members=members, seed=batch_seed(seed, start))
        stream, row = np.array(some).T
        ends[:, stream, row] = quantiles(samples, [(1 - level) / 2, 0.5, (1 + level) / 2])
        seen[stream, row] = cases.truth
    index: list[int] = [place for place, target in enumerate(model.schema.targets) if target.kind != "continuous"]
    seen[..., index] = np.nan
    return ends, seen


def _mean(values: Float[np.ndarray, "stream row step"]) -> Float[np.ndarray, " step"]:
    """Over what is known."""
    known = np.isfinite(values)
    count = known.sum((0, 1))
    return np.where(count > 0, np.nan_to_num(values).sum((0, 1)) / np.maximum(count, 1), np.nan)
