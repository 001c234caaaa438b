"""What the model's error of an effect may depend on: facts of the moment.

If an action works more strongly the worse a patient is, what the model gets wrong about it may, too. So the correction
has a part that is proportional to each of a few facts. How these go on under a plan is told by one linear step, applied
again and again: the correction of a correction.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from foreworld.reasoning.effect.record import Record

MOST = 6
ROWS_EACH = 150  # Recorded rows that each modified action needs, at least.
FAR = 4.0  # Deviations beyond which a fact counts as no further.


@dataclass(frozen=True)
class Modifiers:
    """Facts at mean zero and deviation one in the record, and how they go on from row to row.

    Attributes:
        kept: their places among the facts.
        mean, scale: of these.
        step: z' = [1, z, action less rest] step.
    """

    kept: Int[np.ndarray, " modifier"]
    mean: Float[np.ndarray, " modifier"]
    scale: Float[np.ndarray, " modifier"]
    step: Float[np.ndarray, "input modifier"]

    @classmethod
    def fit(cls, record: Record) -> "Modifiers":
        """The first few facts that vary: observed ones come before those that are constant in an episode."""
        there = record.facts[record.acted]
        deviation = there.std(0)
        room = len(there) // (ROWS_EACH * record.columns.shape[2])
        kept = np.flatnonzero(deviation > 1e-9 * (1 + np.abs(there).max(0)))[: max(0, min(MOST, room))]
        found = cls(kept, there[:, kept].mean(0), deviation[kept], np.zeros((0, len(kept))))
        z, moved = found.of(record.facts), record.columns - record.rest
        both = record.acted[:, 1:] & record.acted[:, :-1]
        x = np.concatenate([np.ones((*z.shape[:2], 1)), z, moved], axis=2)[:, :-1][both]
        step = np.linalg.lstsq(x, z[:, 1:][both], rcond=1e-6)[0]
        return cls(kept, found.mean, found.scale, step)

    def of(self, facts: Float[np.ndarray, "*row fact"]) -> Float[np.ndarray, "*row modifier"]:
        """The modifiers of these facts."""
        return ((facts[..., self.kept] - self.mean) / self.scale).clip(-FAR, FAR)

    def along(
        self, facts: Float[np.ndarray, "episode fact"], moved: Float[np.ndarray, "episode step column"]
    ) -> Float[np.ndarray, "episode step term"]:
        """What a correction is multiplied with at each step of a plan."""
        z, path = self.of(facts), []
        for action in moved.swapaxes(0, 1):
            path.append(z)
            z = (np.concatenate([np.ones((len(z), 1)), z, action], axis=1) @ self.step).clip(-FAR, FAR)
        return with_products(moved, np.stack(path, axis=1))


def with_products(
    columns: Float[np.ndarray, "*row column"], z: Float[np.ndarray, "*row modifier"]
) -> Float[np.ndarray, "*row term"]:
    """Columns alone, then the products of each with each modifier."""
    products = columns[..., :, None] * z[..., None, :]
    return np.concatenate([columns, products.reshape(*columns.shape[:-1], -1)], axis=-1)
