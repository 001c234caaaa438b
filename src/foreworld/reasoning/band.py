"""Where a whole future lies: a band that holds every step at once, for as many futures as it says.

Nine in ten truths lie within a 90% interval at each step, and far fewer trajectories within all of them. The band is
the 90% interval of each step stretched by one factor, so large that the worst step of nine in ten held-out trajectories
is inside (`calibrate.fit_band`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.errors import QuestionError
from foreworld.reasoning.calibrate import BANDS, Calibration, quantiles
from foreworld.reasoning.conformal import stretched
from foreworld.reasoning.pool import bounded


@dataclass(frozen=True)
class Band:
    """Both ends of a band in native units, and the share of futures that it holds. Of numbers alone: else NaN."""

    low: Float[np.ndarray, "episode step target"]
    high: Float[np.ndarray, "episode step target"]
    level: float

    @classmethod
    def of(
        cls,
        samples: Float[np.ndarray, "member episode step target"],
        calibration: Calibration,
        histories: Episodes,
        level: float,
    ) -> "Band":
        """The band about calibrated futures.

        Raises:
            QuestionError: a share that was not measured, or a calibration without any.
        """
        if level not in BANDS:
            raise QuestionError(f"bands hold a share of {', '.join(map(str, BANDS))} of all futures, not {level:g}")
        if not calibration.band:
            raise QuestionError("this model has no band: calibrate it anew, or fit it again")
        targets = histories.schema.targets
        factor = np.ones(samples.shape[1:])
        for part, places in calibration.split(histories):
            factor[places] = part.band_stretch(samples.shape[2], level)
        low, middle, high = quantiles(samples, [0.05, 0.5, 0.95]).astype(np.float64)
        ends = bounded(np.stack(stretched(low, middle, high, factor)), targets)
        ends[..., [variable.kind != "continuous" for variable in targets]] = np.nan
        return cls(ends[0], ends[1], level)

    def columns(self) -> dict[str, Float[np.ndarray, "episode step target"]]:
        """The ends under the names that they have in a frame."""
        tail = round((1 - self.level) * 50)
        return {f"band{tail:02d}": self.low, f"band{100 - tail:02d}": self.high}
