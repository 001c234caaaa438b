"""Half a year of a real glucose sensor: one person, a reading every five minutes, nothing known of meals or insulin."""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
from jaxtyping import Float64

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.schema import Schema, Variable
from foreworld.domains.base import About, FitBaseline, Study
from foreworld.domains.recorded import columns, numbers, walk_forward

SHORTEST, LONGEST = 3.0, 10.0  # minutes between readings of one stretch
DAY = 24 * 60.0

SCHEMA = Schema(
    id="stretch",
    time="minute",
    time_unit="min",
    variables=(
        Variable(name="glucose", role="observation", unit="mg/dL", low=40, high=400, target=True),
        Variable(name="current", role="observation", unit="nA", low=0),
        Variable(name="day_cosine", role="known_future"),
        Variable(name="day_sine", role="known_future"),
    ),
)


class Cgm:
    """An episode is a stretch of readings without a gap of more than ten minutes; its time begins at the first reading.

    Where a second sensor reports between the readings of the first, those less than three minutes after the reading
    before are left out (212 of 52,281).
    """

    about = About(
        name="cgm",
        field="medicine",
        summary="51,000 sensor readings of one person's glucose in 2010",
        source="the glucose table of bokeh-sampledata, given by a personal acquaintance of a maintainer",
        licence="public domain",
        extra="data",
        distribution="bokeh-sampledata",
    )
    schema = SCHEMA
    baselines: Mapping[str, FitBaseline] = {}
    study = Study(steps=288, first=24, horizon=12)

    def __init__(self):
        table = columns("the CGM traces", "bokeh_sampledata", "_data", "CGM.csv.gz")
        stamps = [datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() for text in table["datetime"]]
        minute = np.array(stamps) / 60
        kept = _thinned(minute)
        current = ["" if text == "nil" else text for text in table["isig"]]
        readings = np.stack([numbers(table["glucose"]), numbers(current)], axis=1)[kept]
        minute = minute[kept]
        cuts = np.flatnonzero(np.diff(minute) > LONGEST) + 1
        bounds = zip([0, *cuts], [*cuts, len(minute)], strict=True)
        self._stretches = tuple(
            _stretch(f"{place:03d}", minute[start:stop], readings[start:stop])
            for place, (start, stop) in enumerate(bounds)
            if stop - start > 1
        )

    def split(self, seed: int) -> tuple[Episodes, Episodes]:
        """Walk forward: the test is part `seed` of five of the later half, what comes before it is to learn from."""
        before, after = walk_forward(len(self._stretches), seed)
        return Episodes(SCHEMA, self._stretches[before]), Episodes(SCHEMA, self._stretches[after])


def _thinned(minute: Float64[np.ndarray, " reading"]) -> list[int]:
    """Places of the readings that come late enough after the one kept before."""
    kept = [0]
    for place in range(1, len(minute)):
        if minute[place] - minute[kept[-1]] >= SHORTEST:
            kept.append(place)
    return kept


def _stretch(id: str, minute: Float64[np.ndarray, " row"], readings: Float64[np.ndarray, "row 2"]) -> Episode:
    angle = 2 * np.pi * minute / DAY
    return Episode(
        id=id,
        time=minute - minute[0],
        observations=readings,
        actions=np.empty((len(minute) - 1, 0)),
        static=np.empty(0),
        known_future=np.stack([np.cos(angle), np.sin(angle)], axis=1),
        pending=np.empty(0),
    )
