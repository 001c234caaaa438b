"""The command that watches: what in a stream of rows is not as it was to be expected."""

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foreworld import cli_options as options
from foreworld.cli_options import option
from foreworld.cli_output import PICTURES, TABLES, check_output, emit, say, show_text, table, write_table
from foreworld.errors import MissingExtraError

if TYPE_CHECKING:
    from foreworld.reasoning.surprise.answer import Surprise

_Stream = Annotated[Path, typer.Argument(metavar="TABLE", help="What happened, in one episode or in many.")]
_Budget = Annotated[str, option("RATE", "False alarms allowed: 1 (in 1000 rows), 2/500rows, 1/week or 3/24h.")]
_File = Annotated[Path | None, option("FILE", "Write p-values, expected and seen as .parquet or .csv.", "--out")]
_Plot = Annotated[Path | None, option("FILE", "Draw the first episode with an alarm as .png, .svg or .pdf.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the alarms as JSON.")]
_EXCERPT_ROWS = 40
_SHOWN = ("id", "time", "variable", "kind", "since", "p", "expected", "low", "high", "seen", "unit")


def surprise(
    model: options.Model,
    stream: _Stream,
    budget: _Budget = "1",
    out: _File = None,
    plot: _Plot = None,
    json: _Json = False,
) -> None:
    """Say which rows are not what the rows before let expect, and of which variable.

    Every row is held against its forecast from the rows before it. An alarm is
    raised by a single row that is far off, or by many that are a little off:
    a sensor that jumps, sticks or drifts, or a process that has changed. How
    often one is raised for nothing is for you to choose; the threshold is set
    on episodes that the model was not trained on.

    \b
    Example:
      foreworld surprise models/t1d stream.csv --budget 1/week --out p.parquet
    """
    check_output(out, "--out", TABLES, stream)
    check_output(plot, "--plot", PICTURES)
    if plot is not None and find_spec("matplotlib") is None:
        raise MissingExtraError("--plot", "plot")

    from foreworld.model import WorldModel

    answer = WorldModel.load(model).surprise(stream, budget=budget)
    frame, summary = answer.to_frame(), answer.summary()
    if plot is not None:
        _draw(answer, plot)
    if out is not None:
        write_table(frame, out)
    if json:
        emit(summary)
    else:
        show_text(_told(summary))
    if not answer.supported.all():
        say("some rows lie outside what the model has seen: see the column supported")
    for path in (out, plot):
        if path is not None:
            say(f"wrote {path}")


def _told(summary: dict[str, Any]) -> str:
    """The alarms as a table, and what was promised about them."""
    budget, alarms = summary["budget"], summary["alarms"]
    promise = (
        f"{len(alarms)} alarms in {summary['rows']} rows; with nothing amiss, {summary['expected_false_alarms']:.2g} "
        f"are expected at {budget['per_1000_rows']:.3g} in 1000 rows"
    )
    if not alarms:
        return promise
    rows = [{name: alarm.get(name) for name in _SHOWN} for alarm in alarms[:_EXCERPT_ROWS]]
    more = f"\n... and {len(alarms) - _EXCERPT_ROWS} more" if len(alarms) > _EXCERPT_ROWS else ""
    return f"{table(rows)}{more}\n\n{promise}"


def _draw(answer: "Surprise", path: Path) -> None:
    from foreworld.artifacts import write_bytes

    picture = io.BytesIO()
    answer.plot(episode=answer.first_alarmed()).savefig(picture, format=path.suffix[1:].lower())
    write_bytes(path, picture.getvalue())
