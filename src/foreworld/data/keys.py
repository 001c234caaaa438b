"""The two columns that make a table a set of trajectories: whose row it is, and when it was."""

from contextlib import suppress
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from foreworld.data.columns import EXACT, Column, encode, is_number, is_text, numbers, parse, pc

NAIVE, AWARE = pa.timestamp("us"), pa.timestamp("us", "UTC")
ZONE = r"[T ]\d\d.*(Z|[+-]\d\d(:?\d\d)?)$"


def ids(column: Column) -> tuple[Int64[np.ndarray, " row"], list[str] | list[int]]:
    """The episode of each row, as a position in the sorted ids, and those ids.

    Whole numbers stay numbers. Text stays text, but in a text file ids that are all written as plain integers (`7`, not
    `007`) are integers.

    Raises:
        DataError: missing ids, fractions, dates, true/false.
    """
    if column.missing.any():
        raise column.error("the id is missing", column.missing)
    codes, distinct = encode(column)
    if pa.types.is_boolean(column.values.type):
        raise column.error("an id is text or a whole number, not true/false")
    if column.text and all(_is_plain_integer(value) for value in distinct):
        distinct = [int(value) for value in distinct]
    if not isinstance(distinct[0], str):
        limit = 2**63 if pa.types.is_integer(column.values.type) or column.text else EXACT
        wrong = np.array([value != int(value) or abs(value) >= limit for value in distinct])[codes]
        if wrong.any():
            raise column.error(f"{column.first(wrong)} is no id: those are text, or whole numbers of 64 bits", wrong)
        distinct = [int(value) for value in distinct]
    ranked = sorted(range(len(distinct)), key=distinct.__getitem__)
    rank = np.empty(len(distinct), np.int64)
    rank[ranked] = np.arange(len(distinct))
    return rank[codes], [distinct[index] for index in ranked]


def times(column: Column) -> tuple[Float64[np.ndarray, " row"], Literal["number", "datetime"], str]:
    """Time of each row, whether it is a number or a datetime, and the time zone of the column.

    Datetimes become seconds since 1970-01-01 UTC, exact to the microsecond; finer digits are cut off. A datetime
    without zone is taken as UTC. The zone is empty for datetimes without one, and for numbers.

    Raises:
        DataError: missing or infinite times, text that is not ISO 8601, a zone in some rows only.
    """
    if column.missing.any():
        raise column.error("the time is missing", column.missing)
    if pa.types.is_dictionary(column.values.type):
        column = Column(column.name, column.values.cast(column.values.type.value_type), column.source, column.text)
    if column.text and parse(column) is not None:
        return numbers(column), "number", ""
    stamps = _moments(column) if is_text(column.values.type) else column.values
    if pa.types.is_date(stamps.type):
        stamps = stamps.cast(pa.timestamp("ms"))
    if not pa.types.is_timestamp(stamps.type):
        if not is_number(stamps.type):
            raise column.error(f"a time is a number or a datetime, not of type {stamps.type}")
        return numbers(column), "number", ""
    zone = stamps.type.tz or ""
    seconds = _microseconds(column, stamps) / 1e6
    return seconds, "datetime", "UTC" if zone[:1] in ("+", "-") else zone


def _is_plain_integer(value: str) -> bool:
    return value.isascii() and value.lstrip("-").isdigit() and len(value) < 19 and str(int(value)) == value


def _moments(column: Column) -> pa.ChunkedArray:
    """ISO 8601 text as timestamps; with a zone in every row, or in none."""
    text = column.values
    stamps = _stamps(text)
    if stamps is None:
        text = pc.replace_substring_regex(text, r"(\.\d{6})\d+", r"\1")
        stamps = _stamps(text)
    if stamps is not None:
        return stamps
    zoned = column.matches(ZONE)
    if zoned.any() and not zoned.all():
        raise column.error(f"'{column.first(~zoned)}' has no time zone and other rows have one", ~zoned)
    wrong = np.array([not _casts(value, AWARE if zoned.all() else NAIVE) for value in text])
    problem = f"'{column.first(wrong)}' is neither a number nor an ISO 8601 time such as 2026-01-31T12:00:00Z"
    raise column.error(problem, wrong)


def _stamps(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    for kind in (NAIVE, AWARE):
        with suppress(pa.ArrowInvalid):
            return text.cast(kind)
    return None


def _casts(value: pa.Scalar, kind: pa.DataType) -> bool:
    try:
        value.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _microseconds(column: Column, stamps: pa.ChunkedArray) -> Int64[np.ndarray, " row"]:
    ticks = np.asarray(stamps.cast(pa.int64()).to_numpy())
    scale = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 1}[stamps.type.unit]
    if stamps.type.unit == "ns":
        return ticks // 1000
    far = np.abs(ticks) > (2**63 - 1) // scale
    if far.any():
        raise column.error("a time beyond the year 292,000", far)
    return ticks * scale
