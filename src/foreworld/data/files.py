"""CSV and Parquet files, in and out. CSV cells come in as text; what they mean is decided a column at a time, later."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from foreworld.durable import write_bytes
from foreworld.errors import DataError

# Its functions are made at import time, where type checkers do not see them.
pc: Any = pyarrow.compute

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
DELIMITERS = (",", ";", "\t")
# "None" is left out on purpose: it is a common label ("no treatment"), and writers of tables do not use it for a gap.
MISSING_WORDS = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL")


@dataclass(frozen=True)
class FileTable:
    """A file whose header has been read.

    Attributes:
        source: the path as given.
        names: the columns in file order.
        text: the values will come as text.
        read: takes column names and returns their values.
    """

    source: str
    names: list[str]
    text: bool
    read: Callable[[Sequence[str]], dict[str, pa.ChunkedArray]]


def open_file(path: Path, expected: Sequence[str]) -> FileTable:
    """Read the header of a CSV or Parquet file.

    Args:
        path: `.csv`, `.tsv`, `.txt` (comma, semicolon or tab; UTF-8, with or without BOM) or `.parquet`, `.pq`.
        expected: column names that the caller will ask for; they settle which delimiter a CSV file uses.

    Raises:
        DataError: no file there, another suffix, an empty file, or contents that are not what the suffix says.
    """
    source, suffix = str(path), path.suffix.lower()
    if path.is_dir():
        raise DataError("this is a directory; give one .csv or .parquet file", source=source)
    if not path.is_file():
        raise DataError("there is no such file", source=source)
    if suffix not in TEXT_SUFFIXES + PARQUET_SUFFIXES:
        known = ", ".join(TEXT_SUFFIXES + PARQUET_SUFFIXES)
        raise DataError(f"files of type '{suffix}' cannot be read; use one of {known}", source=source)
    if path.stat().st_size == 0:
        raise DataError("the file is empty", source=source)
    try:
        return _open_text(path, expected) if suffix in TEXT_SUFFIXES else _open_parquet(path)
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror or error}", source=source) from None


def save_file(table: pa.Table, path: Path) -> None:
    """Write a `.parquet` or `.csv` file, whole or not at all.

    Raises:
        DataError: another suffix, or a column that CSV has no form for.
        ArtifactError: a place that cannot be written to.
    """
    suffix, buffer = path.suffix.lower(), pa.BufferOutputStream()
    if suffix == ".parquet":
        pq.write_table(table, buffer)
    elif suffix == ".csv":
        try:
            pa_csv.write_csv(_plain(table), buffer)
        except pa.ArrowException as error:
            raise DataError(f"the table cannot be written as CSV: {error}", source=str(path)) from None
    else:
        raise DataError(f"files of type '{suffix}' cannot be written; use .parquet or .csv", source=str(path))
    write_bytes(path, buffer.getvalue().to_pybytes())


def _plain(table: pa.Table) -> pa.Table:
    """Labels instead of dictionary codes, which the CSV writer does not know."""
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(index, field.name, table[index].cast(field.type.value_type))
    return table


def _open_parquet(path: Path) -> FileTable:
    source = str(path)
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"this is not a Parquet file: {error}", source=source) from None

    def read(columns: Sequence[str]) -> dict[str, pa.ChunkedArray]:
        try:
            with pq.ParquetFile(path) as file:
                table = file.read(columns=list(columns))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"the Parquet file is damaged: {error}", source=source) from None
        return {name: table[name] for name in columns}

    return FileTable(source, names, False, read)


def _open_text(path: Path, expected: Sequence[str]) -> FileTable:
    source = str(path)
    headers = {mark: _header(path, mark) for mark in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda mark: (len({*headers[mark]} & {*expected}), len(headers[mark])))
    return FileTable(source, headers[delimiter], True, partial(_read_text, path, delimiter, pa.large_string()))


def _header(path: Path, delimiter: str) -> list[str]:
    # Cells further down may be no UTF-8 either; those are named by row when they are read.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        try:
            header = next((row for row in csv.reader(lines, delimiter=delimiter) if row), [])
            "".join(header).encode()
        except (UnicodeEncodeError, csv.Error):
            raise DataError("this is not a UTF-8 text file; save it as UTF-8", source=str(path)) from None
    return header


def _read_text(path: Path, delimiter: str, cell: pa.DataType, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    """The named columns as text without surrounding blanks; missing words are null."""
    try:
        table = pa_csv.read_csv(path, **_options(delimiter, cell, names))
    except pa.ArrowInvalid as error:
        _explain(path, delimiter, names)
        raise DataError(f"the text cannot be read as a table: {error}", source=str(path)) from None
    return {name: _trim(table[name]) for name in names}


def _trim(text: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(text)
    if pc.sum(pc.binary_length(trimmed)) == pc.sum(pc.binary_length(text)):
        return text
    missing = pc.is_in(trimmed, pa.array(MISSING_WORDS, text.type))
    return pc.if_else(missing, pa.scalar(None, text.type), trimmed)


def _options(delimiter: str, cell: pa.DataType, names: Sequence[str], **parsing: Any) -> dict[str, Any]:
    types = dict.fromkeys(names, cell)
    convert = pa_csv.ConvertOptions(
        include_columns=list(names), column_types=types, null_values=MISSING_WORDS, strings_can_be_null=True
    )
    return {
        "read_options": pa_csv.ReadOptions(use_threads=not parsing),
        "parse_options": pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, **parsing),
        "convert_options": convert,
    }


def _explain(path: Path, delimiter: str, names: Sequence[str]) -> None:
    """Read again, slowly, to name the rows that are too long or too short, or are not UTF-8."""
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    options = _options(delimiter, pa.large_binary(), names, invalid_row_handler=note)
    try:
        table = pa_csv.read_csv(path, **options)
    except pa.ArrowInvalid:
        return
    if ragged:
        first = ragged[0]
        problem = f"{first.actual_columns} cells where the header has {first.expected_columns} columns"
        raise DataError(problem, source=str(path), rows=[row.number - 1 for row in ragged])
    for name in names:
        rows = [number for number, value in enumerate(table[name].to_pylist(), 1) if not _is_utf8(value or b"")]
        if rows:
            raise DataError("the text is not UTF-8; save the file as UTF-8", source=str(path), column=name, rows=rows)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
