"""A budget is a rate of false alarms, in rows or in time, and anything else is refused in words."""

import pytest

from foreworld.data.schema import Schema, Variable
from foreworld.errors import QuestionError
from foreworld.reasoning.surprise.budget import alarms_a_row

LEVEL = (Variable(name="level", role="observation", target=True),)
MINUTES = Schema(id="id", time="t", time_unit="min", variables=LEVEL)
DATES = Schema(id="id", time="t", time_kind="datetime", time_unit="s", variables=LEVEL)
OWN = Schema(id="id", time="t", time_unit="MTU", variables=LEVEL)
BARE = Schema(id="id", time="t", variables=LEVEL)


@pytest.mark.parametrize(
    ("budget", "schema", "step", "rate"),
    [
        (2, MINUTES, 5.0, 0.002),
        ("2", BARE, 1.0, 0.002),
        ("2/500rows", BARE, 1.0, 0.004),
        ("1/100 rows", MINUTES, 5.0, 0.01),
        ("1/day", MINUTES, 5.0, 5 / 1440),
        ("1/week", MINUTES, 5.0, 5 / 10080),
        ("3/24h", DATES, 300.0, 3 * 300 / 86400),
        ("2/hours", DATES, 60.0, 2 / 60),
        ("1/40MTU", OWN, 0.5, 0.5 / 40),
    ],
)
def test_a_rate_in_rows_or_in_time(budget: float | int | str, schema: Schema, step: float, rate: float) -> None:
    assert alarms_a_row(budget, schema, step) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("budget", "schema", "said"),
    [
        ("often", MINUTES, "such as 1 (in 1000 rows)"),
        ("1/", MINUTES, "such as"),
        ("1/fortnight", MINUTES, "fortnight"),
        ("1/week", OWN, "there are MTU or rows"),
        ("1/h", BARE, "there are rows"),
        (0, MINUTES, "more than 0"),
        ("-1", MINUTES, "more than 0"),
        (500, MINUTES, "at most 0.1"),
        ("nan", MINUTES, "budget"),
        ("1/0rows", MINUTES, "budget"),
    ],
)
def test_what_is_no_rate_is_refused(budget: float | int | str, schema: Schema, said: str) -> None:
    with pytest.raises(QuestionError) as refused:
        alarms_a_row(budget, schema, 5.0)
    assert said in str(refused.value)
