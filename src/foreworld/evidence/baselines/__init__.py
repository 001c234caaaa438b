"""What a forecast must beat: the last value seen, and a linear model tuned as well as one can be."""

from foreworld.evidence.baselines.arx import RidgeARX
from foreworld.evidence.baselines.persistence import Persistence

__all__ = ["Persistence", "RidgeARX"]
