"""What was found about the support of some questions, and how to say it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

GROUNDS = ("history", "norm", "hindsight", "disagreement", "actions")
"""Where the belief lies; how large it is; how well the history was foretold; whether members agree; actions together."""


@dataclass(frozen=True)
class Reason:
    """Why an answer is not supported, from one step on.

    Attributes:
        ground: one of GROUNDS, `range` or `horizon`.
        step: the first step that it spoils, from 1.
        variable: the action, target or observation that stands out; empty where none does.
        times: how far beyond the border, in multiples of it; infinite beyond a range or a horizon.
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
        facts = {name: getattr(self, name) for name in ("ground", "step", "variable", "text")}
        return facts | {"times": self.times if np.isfinite(self.times) else None, "nearest": list(self.nearest)}


@dataclass(frozen=True)
class Verdict:
    """Support of questions, step by step.

    Attributes:
        support: share of held-out questions that were at least as strange up to this step; 0 outside a range or beyond
            the calibrated horizon. It never rises along the steps.
        supported: whether that share is above the alarm level.
        times: evidence of each ground as a multiple of its border; above 1 is unsupported.
        error: expected absolute error of the median in native units; of a category, of its probability.
        nearest: names of the training episodes that come nearest to each history.
        reasons: why a question is not supported, the farthest beyond its border first; empty where it is.
    """

    support: Float[np.ndarray, "episode step"]
    supported: Bool[np.ndarray, "episode step"]
    times: Float[np.ndarray, "ground episode step"]
    error: Float[np.ndarray, "episode step target"]
    nearest: tuple[tuple[str | int, ...], ...]
    reasons: tuple[tuple[Reason, ...], ...]
