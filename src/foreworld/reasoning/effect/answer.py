"""The answer to *what does doing this instead of that change?*: effects with intervals, and what they rest on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.episodes import Episodes
from foreworld.data.frames import frame_from_columns, free
from foreworld.data.plan import Plan
from foreworld.reasoning.effect.overlap import Overlap

LEVELS = (0.025, 0.05, 0.95, 0.975)
MOSTLY = 0.95  # Share of supported histories from which on their average counts as supported.
EVERYONE = "all"  # The id of the average.


@dataclass(frozen=True)
class Effect:
    """Expected outcome under one plan less that under another, for each history and on average over them.

    Units are those of `Imagination.to_frame`: one a continuous target, one a category, whose effect is a difference of
    probabilities. Levels are those of LEVELS.

    Attributes:
        histories, do, versus: the question.
        names, units: of the last axis.
        effect, levels: by history.
        average, average_levels: over the histories.
        plug_in: the average that the model says uncorrected.
        debiased: steps, from the first, at which effects were corrected on recorded episodes; 0 for none.
        reason: in words, what was done and why.
        supported: whether history and both plans lie within what the model has seen.
        overlap: of each arm with the record; empty without a record.
        controls: negative controls: the same estimate for what came before the action, each with a p-value.
        sensitivity: by step and name, how strong something hidden has to be to explain the average away.
        benchmark: how far something hidden as strong as a known variable would shift the average; empty if not asked.
    """

    histories: Episodes
    do: Plan
    versus: Plan
    names: tuple[str, ...]
    units: tuple[str, ...]
    effect: Float[np.ndarray, "episode step name"]
    levels: Float[np.ndarray, "level episode step name"]
    average: Float[np.ndarray, "step name"]
    average_levels: Float[np.ndarray, "level step name"]
    plug_in: Float[np.ndarray, "step name"]
    debiased: int
    reason: str
    supported: Bool[np.ndarray, "episode step"]
    overlap: Mapping[str, Overlap]
    controls: tuple[dict[str, Any], ...]
    sensitivity: Mapping[str, Float[np.ndarray, "step name"]]
    benchmark: Mapping[str, Any]

    @property
    def horizon(self) -> int:
        """Steps after now."""
        return self.do.horizon

    @property
    def method(self) -> str:
        """`debiased` if any step was corrected on recorded episodes, or `plug-in`: the model's own answer."""
        return "debiased" if self.debiased else "plug-in"

    @property
    def found(self) -> Bool[np.ndarray, "step name"]:
        """Whether the 95% interval of the average excludes zero."""
        return (self.average_levels[0] > 0) | (self.average_levels[-1] < 0)

    def to_frame(self, backend: str | None = None) -> Any:
        """One row an (id or `all`, step, variable): effect, quantiles, unit and support, under the user's id column."""
        schema, count = self.histories.schema, len(self.histories) + 1
        steps, width = self.horizon, len(self.names)
        ids = np.array([EVERYONE, *(str(history.id) for history in self.histories)], dtype=object)
        columns: dict[str, Any] = {schema.id: np.repeat(ids, steps * width)}
        ours: dict[str, Any] = {
            "step": np.tile(np.repeat(np.arange(1, steps + 1), width), count),
            "variable": np.tile(np.array(self.names, dtype=object), count * steps),
            "effect": np.concatenate([self.average[None], self.effect]).reshape(-1),
        }
        levels = np.concatenate([self.average_levels[:, None], self.levels], axis=1)
        for level, values in zip(LEVELS, levels, strict=True):
            ours[f"q{round(level * 1000):03d}" if level * 100 % 1 else f"q{round(level * 100):02d}"] = values.reshape(
                -1
            )
        ours["unit"] = np.tile(np.array(self.units, dtype=object), count * steps)
        everyone = self.supported.mean(0) >= MOSTLY
        ours["supported"] = np.repeat(np.concatenate([everyone[None], self.supported]).reshape(-1), width)
        ours["debiased"] = np.tile(np.repeat(np.arange(steps) < self.debiased, width), count)
        columns |= {free(name, columns): values for name, values in ours.items()}
        return frame_from_columns(columns, backend or self.histories.backend)

    def summary(self) -> dict[str, Any]:
        """The average by step, and what speaks for and against it; JSON-able."""
        average = [
            {
                "step": step + 1,
                "variable": name,
                "effect": float(self.average[step, place]),
                "q05": float(self.average_levels[1, step, place]),
                "q95": float(self.average_levels[2, step, place]),
                "unit": self.units[place],
                "not_zero": bool(self.found[step, place]),
                "uncorrected": float(self.plug_in[step, place]),
                **{key: float(value[step, place]) for key, value in self.sensitivity.items()},
            }
            for step in range(self.horizon)
            for place, name in enumerate(self.names)
        ]
        return {
            "episodes": len(self.histories),
            "method": self.method,
            "debiased_steps": self.debiased,
            "reason": self.reason,
            "supported": float(self.supported.mean()),
            "average": average,
            "overlap": {
                arm: {
                    "recorded_rows": found.total,
                    "rows_near": int(found.rows[0]),
                    "effective_rows": float(found.effective[0]),
                    "rows_near_to_the_end": int(found.rows[-1]),
                    "effective_rows_to_the_end": float(found.effective[-1]),
                    "enough": found.enough,
                }
                for arm, found in self.overlap.items()
            },
            "negative_controls": list(self.controls),
            "negative_controls_pass": self.controls_pass,
            "confounder": dict(self.benchmark),
        }

    @property
    def controls_pass(self) -> bool | None:
        """Whether no negative control differs from zero at 5% over all of them (Bonferroni); None without any."""
        if not self.controls:
            return None
        return min(control["p"] for control in self.controls) * len(self.controls) > 0.05
