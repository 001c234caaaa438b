"""What was found about the support of some questions, and how to say it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

GROUNDS = ("history", "norm", "readings", "hindsight", "disagreement", "actions", "individual", "level", "load")
"""How near the belief is to those of training; how large it is; whether the latest rows hold together; how well these
rows were foretold; whether members agree; how near the actions, with those before them, are to training's; how little
is known of what is particular to this case; what readings were on average, and what is done on average."""


@dataclass(frozen=True)
class Reason:
    """Why an answer is not supported, from one step on.

    Attributes:
        ground: one of GROUNDS, `range` or `horizon`.
        step: the first step that it spoils, from 1.
        variable: the action, target or observation that stands out; empty where none does.
        times: how far beyond the border, in multiples of it; infinite beyond the horizon.
        text: a sentence for people.
        nearest: names of the training episodes that come nearest.
    """

    ground: str
    step: int
    variable: str
    times: float
    text: str
    nearest: tuple[str | int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; an infinite distance is null."""
        return vars(self) | {"times": self.times if np.isfinite(self.times) else None, "nearest": list(self.nearest)}


@dataclass(frozen=True)
class Verdict:
    """Support of questions, step by step.

    Attributes:
        support: share of held-out questions that were at least as strange up to this step; 0 outside a range or beyond
            the calibrated horizon. It never rises along the steps.
        supported: whether that share is above the level of alarm.
        times: evidence of each ground as a multiple of its border; above 1 is unsupported.
        growth: of the error beyond what the networks say, learnt from held-out questions; calibrated futures have it.
        usual_error: what forecasts of held-out questions let expect, native units; of categories, a chance.
        neighbours: names of the training episodes that come nearest to each history, the nearest first.
        reasons: why a question is not supported to the end; empty where it is.
    """

    support: Float[np.ndarray, "episode step"]
    supported: Bool[np.ndarray, "episode step"]
    times: Float[np.ndarray, "ground episode step"]
    growth: Float[np.ndarray, "episode step"]
    usual_error: Float[np.ndarray, "step target"]
    neighbours: tuple[tuple[str | int, ...], ...]
    reasons: tuple[tuple[Reason, ...], ...]

    def summary(self, episode: int) -> dict[str, Any]:
        """Of one question, JSON-able; the score of the answer is that of its last step, the smallest."""
        return {
            "support": float(self.support[episode].min()),
            "supported_steps": int(self.supported[episode].sum()),
            "neighbours": list(self.neighbours[episode]),
            "reasons": [reason.to_dict() for reason in self.reasons[episode]],
        }

    def complaint(self, names: Sequence[str | int]) -> str:
        """One line about the questions, given by their ids, that are not supported; empty if all are."""
        bad = np.flatnonzero(~self.supported.all(1)).tolist()
        if not bad:
            return ""
        # The one that counts: the farthest beyond its border, or else the least supported.
        worst = min(bad, key=lambda index: (self.support[index].min(), -self.times[:, index].max()))
        count = "" if len(names) == 1 else f"{len(bad)} of {len(names)} answers are "
        first = int(self.supported[worst].sum()) + 1
        why = self.reasons[worst][0].text if self.reasons[worst] else "everything is a little strange at once"
        more = f" (support {self.support[worst].min():.2g})"
        return f"{count}unsupported: {names[worst]} from step {first} on{more}: {why}"
