"""What one column says: numbers, labels, ids or times, read without loss or refused with the rows that prevent it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Bool, Float64, Int64

from foreworld.data.frames import RawTable
from foreworld.data.schema import Kind
from foreworld.errors import DataError

# Its functions are made at import time, where type checkers do not see them.
pc: Any = pyarrow.compute

LARGEST = 1e30
MAX_CATEGORIES = 1000
EXACT = 2**53
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
NUMBER_LIKE = r"^[+-]?[\d.,]*\d[\d.,]*([eE][+-]?\d+)?$|^\d{4}-\d\d-\d\d"
_INEXACT = "a float no longer holds every integer"
TRUE, FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")


@dataclass(frozen=True)
class Column:
    """One column in the user's row order.

    Attributes:
        text: it comes from a text file, so that its cells may be read as numbers or times.
    """

    name: str
    values: pa.ChunkedArray
    source: str
    text: bool = False

    @classmethod
    def of(cls, table: RawTable, name: str) -> "Column":
        values = table.columns[name]
        if is_text(values.type) and not table.text:
            values = _without_empty(values)
        elif pa.types.is_dictionary(values.type) and is_text(values.type.value_type):
            values = _without_empty(values.cast(values.type.value_type)).dictionary_encode()
        return cls(name, values, table.source, table.text)

    @property
    def empty(self) -> bool:
        """Whether no row has a value."""
        return bool(pc.all(pc.is_null(self.values, nan_is_null=True)).as_py())

    def error(self, problem: str, rows: Any = ()) -> DataError:
        """The error to raise about this column; `rows` is a mask over the rows."""
        numbers = (np.flatnonzero(np.asarray(rows)) + 1).tolist() if len(rows) else ()
        return DataError(problem, source=self.source, column=self.name, rows=numbers)

    def first(self, mask: Bool[np.ndarray, " row"]) -> str:
        """The first value under a mask, fit for one line of an error."""
        text = repr(str(self.values[int(np.argmax(mask))].as_py()))[1:-1]
        return text if len(text) <= 60 else text[:59] + "…"

    def matches(self, pattern: str) -> Bool[np.ndarray, " row"]:
        """Which rows of a text column match a regular expression; a missing value does not."""
        return _mask(pc.match_substring_regex(self.values, pattern))

    @property
    def missing(self) -> Bool[np.ndarray, " row"]:
        return _mask(pc.is_null(self.values, nan_is_null=True))


def kind_of(column: Column) -> Kind:
    """The kind that a column's type declares; text that could be a mistaken number is not guessed at.

    Raises:
        DataError: text of which some looks like a number or a date, dates and times, nested values.
    """
    kind = column.values.type
    if pa.types.is_boolean(kind):
        return "binary"
    if is_number(kind) or pa.types.is_null(kind):
        return "continuous"
    if pa.types.is_dictionary(kind):
        return "categorical"
    if not is_text(kind):
        raise column.error(f"values of type {kind} cannot be a variable; give numbers, true/false or text")
    if column.text and parse(column) is not None:
        return "continuous"
    if column.text and _truths(column).all():
        return "binary"
    like = column.matches(NUMBER_LIKE)
    if not like.any():
        return "categorical"
    raise _suspicious(column, like)


def numbers(column: Column) -> Float64[np.ndarray, " row"]:
    """Values of a continuous column; missing is NaN.

    Raises:
        DataError: text, true/false, infinite values, magnitudes beyond 1e30, integers beyond 2^53.
    """
    kind = column.values.type
    if is_text(kind):
        values = parse(column) if column.text else None
        if values is None:
            raise _not_numbers(column)
    elif is_number(kind) or pa.types.is_null(kind):
        _refuse_inexact(column)
        values = _array(column.values.cast(pa.float64(), safe=False))
    else:
        raise column.error(f"numbers are needed here, not values of type {kind}")
    infinite = np.isinf(values)
    if infinite.any():
        raise column.error("infinite values; leave the cell empty if the value is not known", infinite)
    large = np.abs(values) > LARGEST
    if large.any():
        raise column.error(f"{values[large][0]:g} is beyond 1e30 in magnitude; use a larger unit", large)
    vast = np.abs(values) >= EXACT
    if is_text(kind) and vast.any():
        inexact = vast & column.matches(r"^[+-]?\d+$")
        if inexact.any():
            raise column.error(f"{column.first(inexact)} is beyond 2^53, where {_INEXACT}", inexact)
    return values


def binaries(column: Column) -> Float64[np.ndarray, " row"]:
    """Values of a binary column: 0, 1, or NaN where missing.

    Raises:
        DataError: anything but true/false, 0 and 1.
    """
    if pa.types.is_boolean(column.values.type):
        return _array(column.values.cast(pa.float64()))
    if column.text and _truths(column).all():
        true = _mask(pc.is_in(column.values, pa.array(TRUE, column.values.type)))
        return np.where(column.missing, np.nan, true.astype(np.float64))
    if is_text(column.values.type) and not (column.text and parse(column) is not None):
        words = ~_truths(column)
        wrong = words if words.any() else ~column.missing
        raise column.error(f"'{column.first(wrong)}' in a binary column, which holds true/false, 0/1 or nothing", wrong)
    values = numbers(column)
    wrong = (values != 0) & (values != 1) & ~np.isnan(values)
    if wrong.any():
        raise column.error(f"{values[wrong][0]:g} in a binary column, which holds true/false, 0/1 or nothing", wrong)
    return values


def labels(column: Column) -> tuple[Int64[np.ndarray, " row"], list[str]]:
    """Codes of a categorical column (-1 where missing) and the labels that they stand for.

    Whole numbers become their digits. The labels are those that occur, in order of appearance.

    Raises:
        DataError: fractional numbers, dates and times, nested values, more than 1,000 labels.
    """
    codes, distinct = encode(column)
    if len(distinct) > MAX_CATEGORIES:
        problem = f"{len(distinct)} different labels, more than {MAX_CATEGORIES}; is this free text or an id?"
        raise column.error(problem)
    if any(not isinstance(value, str | bool) and value != int(value) for value in distinct):
        fractional = np.array([value != int(value) for value in distinct])[codes] & (codes >= 0)
        raise column.error(f"{column.first(fractional)} cannot be the label of a category", fractional)
    return codes, [_label(value) for value in distinct]


def encode(column: Column) -> tuple[Int64[np.ndarray, " row"], list[Any]]:
    """Codes of a column of text or numbers (-1 where missing) and its distinct values in order of appearance."""
    values = column.values
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if not (is_text(values.type) or is_number(values.type) or pa.types.is_boolean(values.type)):
        raise column.error(f"text or whole numbers are needed here, not values of type {values.type}")
    if pa.types.is_floating(values.type):
        infinite = _mask(pc.is_inf(values))
        if infinite.any():
            raise column.error("infinite values", infinite)
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    if is_text(values.type):
        values = values.cast(pa.large_string())
    coded = values.combine_chunks().dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, coded.dictionary.to_pylist()


def parse(column: Column) -> Float64[np.ndarray, " row"] | None:
    """The numbers written in a text column, or None if one cell is not a number."""
    try:
        return _array(column.values.cast(pa.float64()))
    except pa.ArrowInvalid:
        return None


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _without_empty(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)


def _mask(values: pa.ChunkedArray) -> Bool[np.ndarray, " row"]:
    return np.asarray(values.fill_null(False).to_numpy(), dtype=bool)


def _array(values: pa.ChunkedArray) -> Float64[np.ndarray, " row"]:
    return np.asarray(values.to_numpy(), dtype=np.float64)


def _label(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(int(value))


def _truths(column: Column) -> Bool[np.ndarray, " row"]:
    return _mask(pc.is_in(column.values, pa.array(TRUE + FALSE, column.values.type))) | column.missing


def _refuse_inexact(column: Column) -> None:
    if not pa.types.is_integer(column.values.type):
        return
    whole = np.asarray(column.values.fill_null(0).to_numpy())
    wrong = (whole >= EXACT) | (whole <= -EXACT)
    if wrong.any():
        raise column.error(f"{column.first(wrong)} is beyond 2^53, where {_INEXACT}", wrong)


def _suspicious(column: Column, like: Bool[np.ndarray, " row"]) -> DataError:
    """Text of which some looks like numbers or dates: name the rows in the minority."""
    declare = f"or declare kinds={{'{column.name}': 'categorical'}}"
    if like.sum() * 2 > (~column.missing).sum():
        return _not_numbers(column, f"; correct it, {declare}")
    return column.error(f"'{column.first(like)}' in a column of text; correct it, {declare}", like)


def _not_numbers(column: Column, advice: str = "") -> DataError:
    wrong = ~column.matches(NUMBER) & ~column.missing
    if not wrong.any():
        return column.error(
            f"numbers stored as text, such as '{column.first(~column.missing)}'{advice}", ~column.missing
        )
    first = column.first(wrong)
    point = "; decimals are written with a point" if "," in first else ""
    return column.error(f"'{first}' is not a number{point}{advice}", wrong)
