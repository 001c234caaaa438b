"""What commands print: results and JSON on stdout, everything said along the way on stderr."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import typer

from foreworld.errors import QuestionError

TABLES = (".parquet", ".csv")
PICTURES = (".png", ".svg", ".pdf")


def check_output(path: Path | None, option: str, forms: tuple[str, ...], *others: Path | None) -> None:
    """Refuse a type of file, or one that the command reads or writes besides, before any work is done for it."""
    if path is None:
        return
    if path.suffix.lower() not in forms:
        raise QuestionError(f"{option}: '{path}' is not one of {', '.join(forms)}")
    if any(other is not None and path.resolve() == other.resolve() for other in others):
        raise QuestionError(f"{option}: '{path}' is read or written by the same command; give another file")


def write_table(frame: Any, path: Path) -> None:
    """Write a frame, and the folder that it is to be in."""
    from foreworld.data.frames import write_frame

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QuestionError(f"{path.parent}: cannot be made: {error.strerror}") from error
    write_frame(frame, path)


def heed(complaint: str, strict: bool) -> None:
    """Pass on that answers are unsupported, if they are; under --strict they are refused before anything is written."""
    if complaint and strict:
        raise QuestionError(f"--strict: {complaint}")
    if complaint:
        say(complaint)


def say(text: str) -> None:
    """A remark to the person at the terminal."""
    typer.echo(_printable_lines(text), err=True)


def emit(result: Any) -> None:
    """A result as one JSON document: dates as ISO text, null for a number that is not finite, which JSON has not."""
    typer.echo(json.dumps(_standard(result), ensure_ascii=False, allow_nan=False, indent=2))


def show_text(text: str) -> None:
    """A result for the eye."""
    typer.echo(_printable_lines(text))


def printable(text: str) -> str:
    """One line, without the control characters that a column name or a label may hold."""
    return "".join(character if character.isprintable() else " " for character in text)


def _printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as an aligned text table, numbers to the right.

    >>> print(table([{"step": 6, "crps": 4.25}, {"step": 12, "crps": 10.5}]))
    step   crps
       6   4.25
      12  10.50
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    aligned = []
    for name, values in columns.items():
        cells = [name, *_cells(values)]
        width = max(map(len, cells))
        numeric = all(value is None or isinstance(value, int | float) for value in values)
        aligned.append([cell.rjust(width) if numeric else cell.ljust(width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*aligned, strict=True))


def outline(document: Mapping[str, Any], indent: str = "") -> str:
    """A nested document as indented text; lists of rows, and groups of alike entries, as tables."""
    lines = []
    for key, value in document.items():
        rows = _rows(value)
        if rows:
            lines += [f"{indent}{key}", *(f"{indent}  {line}" for line in table(rows).split("\n"))]
        elif isinstance(value, Mapping) and value:
            lines += [f"{indent}{key}", outline(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {_text(value)}")
    return "\n".join(lines)


def _rows(value: Any) -> list[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        value = [{"": key, **row} if isinstance(row, Mapping) else None for key, row in value.items()]
    alike = isinstance(value, list | tuple) and value and all(isinstance(row, Mapping) for row in value)
    return list(value) if alike else []


def _cells(values: Sequence[Any]) -> list[str]:
    """Floats of one column share their decimals, so that the points align."""
    floats = [abs(value) for value in values if isinstance(value, float)]
    if not floats:
        return [_text(value) for value in values]
    largest = max(floats)
    decimals = 0 if largest >= 1000 else 1 if largest >= 100 else 2 if largest >= 1 else 4
    return [f"{value:.{decimals}f}" if isinstance(value, float) else _text(value) for value in values]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return "-" if value is None or value == "" else str(value)


def _standard(value: Any) -> Any:
    """A document in the types that JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _standard(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_standard(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else value
