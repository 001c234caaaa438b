"""From the words of a command line to the arguments of the Python interface."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from foreworld.errors import QuestionError

# As in `foreworld.data.schema`, which is too heavy to import before a command runs.
Kind = Literal["continuous", "binary", "categorical"]


def option(metavar: str, help: str, *names: str, **settings: Any) -> Any:
    """A Typer option that says in its help what kind of value it takes."""
    return typer.Option(*names, metavar=metavar, help=help, **settings)


# What several commands take.
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A folder that `foreworld fit` wrote.")]
History = Annotated[Path, option("TABLE", "What happened up to now, in one episode or in many.")]
Do = Annotated[list[str] | None, option("NAME[@TIME]=VALUE", "What is done: from now on, or at a time from now.")]
Horizon = Annotated[int | None, option("STEPS", "Steps to look ahead; all that are calibrated by default.", min=1)]
Future = Annotated[
    Path | None, option("TABLE", "Planned rows after now: columns known in advance, and actions without --do.")
]
Seed = Annotated[int, option("N", "The same seed gives the same answer, bit for bit.", min=0)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse, with exit code 2, what lies outside what the model has seen.")
]


def columns(option: str, given: Sequence[str] | None) -> list[str]:
    """Column names: separated by commas, or the option repeated; a name with a comma stands in double quotes.

    >>> columns("--act", ["insulin,carbs", '"rate, U/h"'])
    ['insulin', 'carbs', 'rate, U/h']
    """
    names: list[str] = []
    for text in given or ():
        try:
            (parts,) = csv.reader([text], skipinitialspace=True, strict=True)
        except (csv.Error, ValueError):
            parts = [""]
        names += [part.strip() for part in parts] or [""]
    if not all(names):
        raise QuestionError(f"{option}: give column names separated by commas, not '{','.join(given or ())}'")
    return names


def joined(names: Sequence[str]) -> str:
    """Column names as one word that `columns` takes apart again."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return text.getvalue()


def pairs(option: str, given: Sequence[str] | None, form: str) -> dict[str, str]:
    """What stands left and right of the first `=` of each; `form` is what an error says it should look like."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise QuestionError(f"{option}: '{text}' does not read {form}")
        if name in found:
            raise QuestionError(f"{option}: '{name}' is given twice, as '{found[name]}' and as '{value}'")
        found[name] = value
    return found


def units(given: Sequence[str] | None) -> dict[str, str]:
    """`glucose=mg/dL`."""
    return pairs("--unit", given, "NAME=UNIT")


def kinds(given: Sequence[str] | None) -> dict[str, Kind]:
    """`ward=categorical`."""
    allowed: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
    found = pairs("--kind", given, "NAME=KIND")
    for name, kind in found.items():
        if kind not in allowed:
            raise QuestionError(f"--kind: '{name}' is one of {', '.join(allowed)}, not '{kind}'")
    return {name: allowed[kind] for name, kind in found.items()}


def bounds(given: Sequence[str] | None) -> dict[str, tuple[float | None, float | None]]:
    """`glucose=39:600`; either side may be left open, as in `dose=0:`."""
    form = "NAME=LOW:HIGH (either number may be left out)"
    found = {}
    for name, text in pairs("--bounds", given, form).items():
        low, colon, high = text.partition(":")
        try:
            found[name] = _number(low), _number(high)
        except ValueError:
            colon = ""
        if not colon or found[name] == (None, None):
            raise QuestionError(f"--bounds: '{name}={text}' does not read {form}")
    return found


def interventions(given: Sequence[str] | None, option: str = "--do") -> dict[str, float | str]:
    """`insulin=0`, `carbs@30=45`, `insulin=hold`, `mode=night`: what is done, for `WorldModel.imagine`."""
    found: dict[str, float | str] = {}
    for name, text in pairs(option, given, "NAME=VALUE or NAME@TIME=VALUE").items():
        try:
            found[name] = float(text)
        except ValueError:
            found[name] = text
    return found


def _number(text: str) -> float | None:
    number = float(text) if text.strip() else None
    if number is not None and not abs(number) < float("inf"):
        raise ValueError(text)
    return number
