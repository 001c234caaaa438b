"""Intervals that learn from their own misses, for streams whose world does not stay as it was in calibration.

Adaptive conformal inference (Gibbs and Candes, NeurIPS 2021) widens an interval after a miss and narrows it after a
hit, which holds its coverage in the long run whatever comes. The variant here acts on the stretch of a calibrated
interval rather than on its level: a level beyond 1 is an infinite interval, and a sensor that errs three times as much
needs it (quantile tracking: the P of conformal PID, Angelopoulos, Candes and Tibshirani, NeurIPS 2023). The stretch
moves in its logarithm, so that a step has no unit:

    theta <- theta + rate (missed - (1 - level)),    interval: median -+ exp(theta) reach

Which rate is right depends on how fast the world changes. So several run side by side, and are averaged with weights by
their pinball losses and a share for every one, as in DtACI (Gibbs and Candes, JMLR 2024). An average of trackers need
not hold what each of them does, so a last and slow one is put on top that learns from the misses of the intervals that
were given: their share of misses differs from 1 - level by exactly its offset / (SLOW rows), which vanishes in time.

What is said of h steps ahead is answered h rows later: a miss then changes what is said from then on.
"""

import math

import numpy as np
from jaxtyping import Float

from foreworld.reasoning.conformal import misses, stretched

RATES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16)
SLOW = 0.02  # Rate of the last tracker; chosen, as the others were, on simulated noise.
WINDOW = 200  # Rows over which the best rate is looked for.
FARTHEST = 12.0  # Of the logarithm of a stretch.
Ends = Float[np.ndarray, "stream step target"]


class AdaptiveIntervals:
    """Adapts central intervals of many streams, steps ahead and targets at once, each on its own.

    Give each row's forecast to `issue`, and the row that comes next to `observe`:

        for row in range(rows):
            low, high = adaptive.issue(low[row], median[row], high[row])   # of the steps after this row
            adaptive.observe(seen[row + 1])

    Attributes:
        level: share of truths that an interval shall hold.
        theta: logarithm of the stretch, by rate.
        weight: trust in each rate, summing to one.
        offset: of the last tracker, on top of their average.
    """

    def __init__(self, streams: int, horizon: int, targets: int, *, level: float = 0.9):
        if not 0 < level < 1:
            raise ValueError(f"a level lies between 0 and 1, not {level:g}")
        self.level, self.horizon = level, horizon
        self.rates = np.array(RATES)
        shape = (streams, horizon, targets, len(RATES))
        self.theta = np.zeros(shape)
        self.weight = np.full(shape, 1 / len(RATES))
        self.offset = np.zeros(shape[:-1])
        # What was issued in the last `horizon` rows, by row modulo the horizon.
        self._given = np.full((horizon, 3, streams, horizon, targets), np.nan)
        self._thetas = np.zeros((horizon, *shape))
        self._stretches = np.ones((horizon, *shape[:-1]))
        self._row = 0
        tail, count = 1 - level, len(RATES)
        variance = (1 - tail) ** 2 * tail**3 + tail**2 * (1 - tail) ** 3
        self._eagerness = math.sqrt(3 / WINDOW) * math.sqrt((math.log(count * WINDOW) + 2) / variance)
        self._share = 1 / (2 * WINDOW)

    @property
    def stretch(self) -> Ends:
        """How much wider than calibrated the intervals are that are issued now."""
        return np.exp((self.weight * self.theta).sum(-1) + self.offset)

    def issue(self, low: Ends, median: Ends, high: Ends) -> tuple[Ends, Ends]:
        """The intervals of the steps after the present row, adapted; NaN is no forecast."""
        place = self._row % self.horizon
        self._given[place], self._thetas[place] = np.stack([low, median, high]), self.theta
        self._stretches[place] = stretch = self.stretch
        self._row += 1
        return stretched(low, median, high, stretch)

    def observe(self, seen: Float[np.ndarray, "stream target"]) -> None:
        """The row that came after the last one issued; NaN was not observed. One row is learnt from once."""
        ahead = np.arange(self.horizon)
        # The forecast of h steps was issued h rows ago: the last row issued is one row ago.
        place = (self._row - 1 - ahead) % self.horizon
        low, median, high = np.moveaxis(self._given[place, :, :, ahead], 0, 2)
        then = np.moveaxis(self._thetas[place, :, ahead], 0, 1)
        came = np.broadcast_to(seen[:, None].astype(float), low.shape)
        score = np.log(np.maximum(misses(low, median, high, came), math.exp(-FARTHEST)))
        score = np.where((self._row - 1 - ahead >= 0)[:, None], score, np.nan)[..., None]
        known, score = np.isfinite(score), np.nan_to_num(score)
        missed, tail = score > then, 1 - self.level
        loss = np.where(missed, self.level, -tail) * (score - then)
        trusted = self.weight * np.exp(-self._eagerness * (loss - loss.min(-1, keepdims=True)))
        trusted /= trusted.sum(-1, keepdims=True)
        trusted = (1 - self._share) * trusted + self._share / len(self.rates)
        moved = np.clip(self.theta + self.rates * (missed - tail), -FARTHEST, FARTHEST)
        self.weight, self.theta = np.where(known, trusted, self.weight), np.where(known, moved, self.theta)
        issued = np.log(np.moveaxis(self._stretches[place, :, ahead], 0, 1))
        short = np.clip(self.offset + SLOW * ((score[..., 0] > issued) - tail), -FARTHEST, FARTHEST)
        self.offset = np.where(known[..., 0], short, self.offset)
