"""The economy of the United States by quarter, 1959 to 2009, with the short interest rate as what is done to it."""

from collections.abc import Mapping

import numpy as np

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.schema import Schema, Variable
from foreworld.domains.base import About, FitBaseline, Study
from foreworld.domains.recorded import columns, numbers, walk_forward

QUARTERS = 20  # of an episode
# Growth of these columns is observed, in percent a year: 400 times the change of the logarithm over a quarter.
GROWTH = {"realgdp": "growth", "realcons": "consumption", "realinv": "investment", "m1": "money"}

SCHEMA = Schema(
    id="years",
    time="year",
    time_unit="years",
    variables=(
        Variable(name="inflation", role="observation", unit="%/year", target=True),
        Variable(name="unemployment", role="observation", unit="%", low=0, high=100, target=True),
        *(Variable(name=name, role="observation", unit="%/year", target=name == "growth") for name in GROWTH.values()),
        Variable(name="interest", role="action", unit="%"),
    ),
)


class Macro:
    """Episodes of five years. The action of a quarter is its mean three-month Treasury-bill rate.

    The central bank looks at the economy when it sets rates: effects estimated here are confounded, and what the model
    says about another rate is no evidence by itself.
    """

    about = About(
        name="macro",
        field="finance",
        summary="growth, inflation and unemployment of the United States under the short interest rate, 202 quarters",
        source="FRED, Federal Reserve Bank of St. Louis, as in the macrodata of statsmodels",
        licence="public domain",
        extra="data",
        distribution="statsmodels",
    )
    schema = SCHEMA
    baselines: Mapping[str, FitBaseline] = {}
    study = Study(steps=QUARTERS - 1, first=8, horizon=8)

    def __init__(self):
        table = columns("the macroeconomic data", "statsmodels", "datasets", "macrodata", "macrodata.csv")
        values = {name: numbers(column) for name, column in table.items()}
        growth = [400 * np.diff(np.log(values[name])) for name in GROWTH]
        rows = np.stack([values["infl"][1:], values["unemp"][1:], *growth], axis=1)
        year = (values["year"] + (values["quarter"] - 1) / 4)[1:]
        rate = values["tbilrate"][1:, None]
        self._episodes = tuple(
            Episode(
                id=f"{year[start]:.2f}",
                time=year[start : start + QUARTERS],
                observations=rows[start : start + QUARTERS],
                actions=rate[start : start + QUARTERS - 1],
                static=np.empty(0),
                known_future=np.empty((QUARTERS, 0)),
                pending=rate[start + QUARTERS - 1],
            )
            for start in range(len(rows) % QUARTERS, len(rows), QUARTERS)
        )

    def split(self, seed: int) -> tuple[Episodes, Episodes]:
        """Walk forward: the test is part `seed` of five of the later half, what comes before it is to learn from."""
        before, after = walk_forward(len(self._episodes), seed)
        return Episodes(SCHEMA, self._episodes[before]), Episodes(SCHEMA, self._episodes[after])
