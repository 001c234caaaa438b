"""How many false alarms are allowed: so many in so many rows, or in so much time."""

import re

from foreworld.data.schema import Schema
from foreworld.errors import QuestionError
from foreworld.reasoning.question import SECONDS

ROWS = 1000.0  # That a number alone is meant for.
MOST = 0.1  # Alarms a row.
WORDS = {"second": "s", "minute": "min", "hour": "h", "day": "d"}
PERIODS = SECONDS | {"week": 604800.0}
_FORM = re.compile(r"\s*([0-9.eE+-]+)\s*(?:/\s*([0-9.]*)\s*(.*?)\s*)?")


def alarms_a_row(budget: float | int | str, schema: Schema, step: float) -> float:
    """The rate that a budget stands for.

    Args:
        budget: a number is false alarms in 1000 rows; text is `2/1000rows`, `1/week` or `3/24h`: a number, and the rows
            or the time that it is for, in s, min, h, d or week, or in the unit of the time column.
        schema: whose time column it is about.
        step: median time between rows, in the unit of the time column.

    Raises:
        QuestionError: a budget that cannot be read, or is not between none and one in ten rows.
    """
    match = _FORM.fullmatch(str(budget))
    try:
        if match is None:
            raise ValueError
        count, amount = float(match[1]), float(match[2] or 1.0)
        if not amount > 0 or match[3] == "":
            raise ValueError
    except ValueError:
        raise QuestionError(
            f"budget: '{budget}' does not read as a rate of false alarms, such as 1 (in 1000 rows), 2/500rows or 1/week"
        ) from None
    rate = count / ROWS if match[3] is None else count / (amount * _rows(match[3], budget, schema, step))
    if not 0 < rate <= MOST:
        raise QuestionError(
            f"budget: '{budget}' is {rate:g} false alarms a row; more than 0 and at most {MOST:g} can be"
        )
    return rate


def _rows(unit: str, budget: float | int | str, schema: Schema, step: float) -> float:
    """Rows in one unit of a period."""
    if unit in ("row", "rows"):
        return 1.0
    word = unit.removesuffix("s") or unit
    word = WORDS.get(word, word)
    if schema.time_kind == "number" and unit == schema.time_unit:
        return 1.0 / step
    own = 1.0 if schema.time_kind == "datetime" else PERIODS.get(WORDS.get(schema.time_unit, schema.time_unit))
    if word in PERIODS and own is not None:
        return PERIODS[word] / own / step
    known = ", ".join([*PERIODS, "rows"]) if own is not None else " or ".join(filter(None, [schema.time_unit, "rows"]))
    raise QuestionError(f"budget: '{budget}': the unit '{unit}' is not known here; there are {known}")
