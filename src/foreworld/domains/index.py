"""The S&P 500 by day, 1990 to 2022: how far it may fall in the next twenty days, against GARCH, HAR and EWMA."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Float64

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.schema import Schema, Variable
from foreworld.domains.base import About, FitBaseline, Study
from foreworld.domains.index_baselines import Garch, Har
from foreworld.domains.recorded import columns, numbers
from foreworld.errors import MissingExtraError

SPANS = (5, 10, 20)  # days, beside one, over which returns are cumulated
HALF_LIVES = (3, 10, 30, 120)  # days over which the memory of losses fades
WARM_UP = 250  # days that start these memories
BLOCK = 500  # rows of an episode to learn from, some two years
FIRST_TEST_YEAR, LAST_TEST_YEAR = 2015, 2022
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

SCHEMA = Schema(
    id="years",
    time="day",
    time_unit="days",
    variables=(
        Variable(name="return", role="observation", unit="%", target=True),
        *(Variable(name=f"return_{span}", role="observation", unit="%", target=True) for span in SPANS),
        *(Variable(name=f"downside_{days}", role="observation", unit="ln %") for days in HALF_LIVES),
        Variable(name="weekday", role="known_future", kind="categorical", categories=WEEKDAYS),
        Variable(name="gap", role="known_future", unit="days"),
    ),
)


class Index:
    """Logarithmic returns (%) of the day and of the last 5, 10 and 20 days; nobody acts.

    The return of the last h days, asked for h days ahead, is the whole way from now on: so the distributions of daily
    and of cumulated returns are both forecast, and calibrated, directly.

    Beside returns there is the volatility of the past as GARCH models see it, in which only losses count here:
    the logarithm of the root mean square of past losses, exponentially weighted with half-lives of 3 to 120 days. Known
    ahead are the weekday and the days since the trading day before. Time counts days since 1970.

    Episodes to learn from are blocks of two years up to 2014. Those of the test are the years from 2015 to 2022, each
    with a year of history before it and a month after it, so that every day of the year can be asked about.
    """

    about = About(
        name="index",
        field="finance",
        summary="daily returns of the S&P 500 from 1991 to 2022",
        source="daily closes of the S&P 500 as shipped with skfolio",
        licence="BSD-3-Clause",
        extra="index",
        distribution="skfolio",
    )
    schema = SCHEMA
    baselines: Mapping[str, FitBaseline] = {"GJR-GARCH-t": Garch.fit, "HAR": Har.fit, "EWMA": Garch.fit_ewma}
    study = Study(steps=BLOCK - 1, first=250, horizon=max(SPANS))

    def __init__(self):
        if find_spec("skfolio") is None:
            raise MissingExtraError("the index domain", "index")
        table = columns("the S&P 500", "skfolio", "datasets", "data", "sp500_index.csv.gz")
        dates = [date.fromisoformat(text) for text in table["Date"]][1:]
        returns = 100 * np.diff(np.log(numbers(table["SP500"])))
        longer = [_trailing(returns, span) for span in SPANS]
        downside = [_faded(np.minimum(returns, 0) ** 2, days) for days in HALF_LIVES]
        self._rows = np.stack([returns, *longer, *(np.log(part) / 2 for part in downside)], axis=1)
        self._years = np.array([day.year for day in dates])
        self._day = np.array([datetime(*day.timetuple()[:3], tzinfo=UTC).timestamp() / 86400 for day in dates])
        gap = np.diff(self._day, prepend=self._day[0] - 1)
        self._calendar = np.stack([[day.weekday() for day in dates], gap], axis=1).astype(np.float64)

    def split(self, seed: int) -> tuple[Episodes, Episodes]:
        """Up to 2014, and from 2015 to 2022; the same for every seed."""
        begin = WARM_UP
        end = int(np.searchsorted(self._years, FIRST_TEST_YEAR))
        # The first block takes what does not fill one, so that the others are of one length.
        starts = [begin, *range(end - BLOCK * ((end - begin) // BLOCK - 1), end, BLOCK)]
        train = [self._episode(start, stop) for start, stop in zip(starts, [*starts[1:], end], strict=True)]
        test = []
        for year in range(FIRST_TEST_YEAR, LAST_TEST_YEAR + 1):
            first, last = np.searchsorted(self._years, [year, year + 1])
            test.append(self._episode(int(first) - self.study.first, int(last) + self.study.horizon - 1, str(year)))
        return Episodes(SCHEMA, tuple(train)), Episodes(SCHEMA, tuple(test))

    def _episode(self, start: int, stop: int, name: str = "") -> Episode:
        rows = slice(start, stop)
        length = len(self._day[rows])
        last = self._years[rows][-1]
        return Episode(
            id=name or f"{self._years[start]}-{last}",
            time=self._day[rows],
            observations=self._rows[rows],
            actions=np.empty((length - 1, 0)),
            static=np.empty(0),
            known_future=self._calendar[rows],
            pending=np.empty(0),
        )


def _trailing(values: Float[np.ndarray, " row"], span: int) -> Float64[np.ndarray, " row"]:
    """Sums over the last `span` rows; NaN where there are not so many."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    sums = np.full(len(values), np.nan)
    sums[span - 1 :] = total[span:] - total[:-span]
    return sums


def _faded(values: Float[np.ndarray, " row"], half_life: int) -> Float64[np.ndarray, " row"]:
    """Exponentially weighted means up to each row, begun with the mean of the first WARM_UP rows."""
    keep, mean = 0.5 ** (1 / half_life), values[:WARM_UP].mean()
    means = np.empty(len(values))
    for row, value in enumerate(values):
        means[row] = mean = keep * mean + (1 - keep) * value
    return means
