"""Tables at the border: any frame or file comes in as a `RawTable`, and answers go out as the user's kind of frame."""

import difflib
import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from foreworld.data.files import FileTable, open_file, save_file
from foreworld.errors import DataError

BACKENDS = ("pyarrow", "pandas", "polars")


@dataclass(frozen=True)
class RawTable:
    """The columns asked for, in the user's row order.

    Attributes:
        columns: name to values.
        source: the file, or what the caller calls the frame; every error starts with it.
        backend: the kind of frame that came in; `pyarrow` for files.
        text: the columns come from a text file and are not converted yet.
    """

    columns: dict[str, pa.ChunkedArray]
    source: str
    backend: str = "pyarrow"
    text: bool = False

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values())))


def open_table(source: Any, names: Sequence[str], *, optional: Sequence[str] = (), label: str = "frame") -> RawTable:
    """Take the named columns out of a file or a frame, which is left as it was.

    Args:
        source: the path of a CSV or Parquet file; or a pandas, polars (also lazy) or pyarrow table.
        names: the columns to take.
        optional: columns to take if they are there.
        label: what errors call a frame.

    Raises:
        DataError: no such file or column, a column name that occurs twice, an unreadable file, no rows.
    """
    if isinstance(source, str | os.PathLike):
        table = _from_file(open_file(Path(source), names), names, optional)
    else:
        table = _from_frame(source, names, optional, label)
    if table.rows == 0:
        raise DataError("the table has no rows", source=table.source)
    return table


def frame_from_columns(columns: Mapping[str, Any], backend: str = "pyarrow") -> Any:
    """Build a table in the user's kind of frame.

    Args:
        columns: name to values, all of one length: a numpy array, a list or an Arrow array. NaN in a float column is a
            missing value: null in pyarrow and polars, NaN in pandas.
        backend: `pyarrow`, `pandas` or `polars`.
    """
    table = pa.table({name: _to_arrow(values) for name, values in columns.items()})
    if backend == "pyarrow":
        return table
    if backend == "pandas":
        return nw.from_native(table, eager_only=True).to_pandas()
    if backend == "polars":
        return nw.from_native(table, eager_only=True).to_polars()
    raise ValueError(f"'{backend}' is none of {', '.join(BACKENDS)}")


def write_frame(frame: Any, path: str | os.PathLike[str]) -> None:
    """Write a pandas, polars or pyarrow table to a `.parquet` or `.csv` file, whole or not at all.

    Raises:
        DataError: another suffix, or a column that the format cannot hold.
        ArtifactError: a place that cannot be written to.
    """
    arrow = nw.from_native(frame).lazy().collect(backend="pyarrow").to_native()
    save_file(arrow, Path(path))


def _to_arrow(values: Any) -> Any:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    return pa.array(values, from_pandas=True)


def _from_file(file: FileTable, names: Sequence[str], optional: Sequence[str]) -> RawTable:
    wanted = _choose(file.names, names, optional, file.source)
    return RawTable(file.read(wanted), file.source, text=file.text)


def _from_frame(frame: Any, names: Sequence[str], optional: Sequence[str], label: str) -> RawTable:
    try:
        native = nw.from_native(frame)
    except TypeError:
        problem = f"a pandas, polars or pyarrow table is needed, not {type(frame).__name__}"
        raise DataError(problem, source=label) from None
    except nw.exceptions.DuplicateError:
        _refuse_repeated(list(getattr(frame, "column_names", None) or frame.columns), label)
        raise
    data = native.lazy().collect(backend="pyarrow") if isinstance(native, nw.LazyFrame) else native
    backend = native.implementation.value
    wanted = _choose(data.columns, names, optional, label)
    return RawTable(_columns(data.select(wanted), label), label, backend if backend in BACKENDS else "pyarrow")


def _choose(available: Sequence[Any], names: Sequence[str], optional: Sequence[str], source: str) -> list[str]:
    """The columns to take: all of `names`, and what there is of `optional`."""
    _refuse_repeated(available, source)
    there = set(available)
    missing = [name for name in names if name not in there]
    if not missing:
        return [*names, *(name for name in optional if name in there)]
    texts = [str(name) for name in available]
    shown = ", ".join(f"'{name}'" for name in texts[:20]) + (f" and {len(texts) - 20} more" if len(texts) > 20 else "")
    near = {name: difflib.get_close_matches(name, texts, n=1) for name in missing[:5]}
    hints = "; ".join(f"did you mean '{match[0]}' for '{name}'?" for name, match in near.items() if match)
    lacking = ", ".join(f"'{name}'" for name in missing)
    problem = f"no column {lacking}. The table has {shown or 'no columns'}" + (f"; {hints}" if hints else "")
    raise DataError(problem, source=source, column=missing[0] if len(missing) == 1 else None)


def _refuse_repeated(names: Sequence[Any], source: str) -> None:
    # Spreadsheets write trailing commas, so columns without a name may repeat: nobody can ask for them.
    seen: set[Any] = set()
    for name in names:
        if name in seen and name != "":
            raise DataError("more than one column has this name", source=source, column=str(name))
        seen.add(name)


def _columns(frame: Any, source: str) -> dict[str, pa.ChunkedArray]:
    """All columns as Arrow: in one go, or where there are Python objects among them, one by one."""
    if nw.Object not in frame.schema.values():
        try:
            table = frame.to_arrow()
            return {name: table[name] for name in frame.columns}
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            pass
    return {name: _column_of(frame[name], name, source) for name in frame.columns}


def _column_of(series: Any, name: str, source: str) -> pa.ChunkedArray:
    """One column as Arrow; a column that mixes types is refused with the rows of the less frequent ones."""
    try:
        array = series.to_arrow()
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        _refuse_mixture(series.to_list(), name, source)
        raise DataError(f"values that cannot be read: {error}", source=source, column=name) from None
    if series.dtype == nw.Object:
        # Arrow settles on one type here without a word: true becomes 1.0, and all datetimes get the first one's zone.
        _refuse_mixture(series.to_list(), name, source)
        if pa.types.is_timestamp(array.type) and array.type.tz:
            array = array.cast(pa.timestamp("us", "UTC"))
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _refuse_mixture(values: list[Any], name: str, source: str) -> None:
    families = np.array([_family(value) for value in values])
    known = families != "missing"
    huge = families == "an integer beyond 2^53"
    present, counts = np.unique(families[known & ~huge], return_counts=True)
    odd = known & (families != present[np.argmax(counts)]) if len(present) else huge
    if odd.any():
        first = int(np.argmax(odd))
        usual = f" in a column of {present[np.argmax(counts)]}" if len(present) else ""
        problem = f"{values[first]!r} is {families[first]}{usual}"
        raise DataError(problem, source=source, column=name, rows=(np.flatnonzero(odd) + 1).tolist())


def _family(value: Any) -> str:
    """What a cell of a column of Python objects is; pandas has its own missing values, known by the type's name."""
    kind = type(value).__name__
    if value is None or kind in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return "missing"
    if isinstance(value, bool | np.bool_):
        return "true/false"
    if isinstance(value, int) and abs(value) >= 2**53:
        return "an integer beyond 2^53"
    if isinstance(value, int | float | np.number) or kind == "Decimal":
        return "number"
    if isinstance(value, datetime):
        return "datetime with time zone" if value.tzinfo else "datetime without time zone"
    return "text" if isinstance(value, str) else kind


def free(name: str, taken: Container[str]) -> str:
    """Our name for something, if the user has not given it to something else."""
    return f"{name}_" if name in taken else name
