"""The commands about a model: fit it to a table, evaluate it, ask it, look at it."""

import io
from importlib.util import find_spec
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foreworld import cli_options as options
from foreworld.cli_options import option
from foreworld.cli_output import PICTURES, TABLES, check_output, emit, heed, outline, say, show_text, table, write_table
from foreworld.errors import MissingExtraError

if TYPE_CHECKING:
    from foreworld.reasoning.imagination import Imagination

_Table = Annotated[
    Path, typer.Argument(metavar="TABLE", help="CSV or Parquet; a row for each episode and time, in any order.")
]
_Id = Annotated[str, option("COLUMN", "Column that tells episodes apart: patients, assets, runs.")]
_Time = Annotated[str, option("COLUMN", "Column that orders the rows of an episode: numbers or dates.")]
_Observe = Annotated[list[str], option("COLUMNS", "Columns that are seen, separated by commas.")]
_Act = Annotated[list[str] | None, option("COLUMNS", "Columns that are chosen: doses, orders, valves.")]
_Static = Annotated[list[str] | None, option("COLUMNS", "Columns that are constant in an episode.")]
_Known = Annotated[list[str] | None, option("COLUMNS", "Columns known in advance but not chosen: a calendar.")]
_Target = Annotated[list[str] | None, option("COLUMNS", "Observed columns to forecast; all by default.")]
_Unit = Annotated[list[str] | None, option("NAME=UNIT", "Unit of a column.")]
_Bounds = Annotated[list[str] | None, option("NAME=LOW:HIGH", "What is possible; nothing is imagined beyond.")]
_Kind = Annotated[list[str] | None, option("NAME=KIND", "continuous, binary or categorical, if not as it looks.")]
_TimeUnit = Annotated[str, option("UNIT", "Unit of a time column of numbers, such as min.")]
_FitHorizon = Annotated[int | None, option("STEPS", "Steps to look ahead; by default 36, or half an episode.", min=1)]
_Samples = Annotated[int, option("N", "Possible futures to draw.", min=2)]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Discard an interrupted run instead of resuming it.")]
_Folder = Annotated[Path, option("FOLDER", "Where to write the model.", "--out")]
_File = Annotated[Path | None, option("FILE", "Write the result as .parquet or .csv.", "--out")]
_Members = Annotated[Path | None, option("FILE", "Write every possible future as .parquet or .csv.")]
_Plot = Annotated[Path | None, option("FILE", "Draw the first episode as .png, .svg or .pdf.")]
_Band = Annotated[
    bool, typer.Option("--band", help="Add a band that holds nine in ten futures at every step: band05, band95.")
]
_EXCERPT_ROWS = 40


def fit(
    data: _Table,
    id: _Id,
    time: _Time,
    observe: _Observe,
    out: _Folder,
    act: _Act = None,
    static: _Static = None,
    known: _Known = None,
    target: _Target = None,
    unit: _Unit = None,
    bounds: _Bounds = None,
    kind: _Kind = None,
    time_unit: _TimeUnit = "",
    horizon: _FitHorizon = None,
    seed: options.Seed = 0,
    fresh: _Fresh = False,
    json: options.Json = False,
) -> None:
    """Learn a world model from a table, and save it.

    Roles are declared, never guessed. Rows may come at irregular times and
    with gaps; nothing is filled or dropped. Repeat --unit, --bounds and --kind
    for several columns. A run that was interrupted goes on where it was when
    the same command is given again.

    \b
    Example:
      foreworld fit patients.csv --id patient --time minute \\
        --observe glucose --act insulin,carbs --static weight \\
        --unit glucose=mg/dL --bounds glucose=39:600 --out models/t1d
    """
    roles: dict[str, Any] = {
        "observations": options.columns("--observe", observe),
        "actions": options.columns("--act", act),
        "static": options.columns("--static", static),
        "known_future": options.columns("--known", known),
        "targets": options.columns("--target", target) or None,
    }
    facts = {"units": options.units(unit), "bounds": options.bounds(bounds), "kinds": options.kinds(kind)}

    from foreworld.artifacts import ensure_replaceable, remove_artifact
    from foreworld.data.episodes import Episodes

    unfinished = out.with_name(f"{out.name}.unfinished")
    ensure_replaceable(out)
    if fresh:
        remove_artifact(unfinished)
    episodes = Episodes.from_file(data, id=id, time=time, time_unit=time_unit, **roles, **facts)

    # After the table: what is wrong with it is said before PyTorch is imported, which takes seconds.
    from foreworld.model import WorldModel

    model = WorldModel.fit(episodes, seed=seed, horizon=horizon, checkpoint=unfinished)
    model.save(out)
    remove_artifact(unfinished)
    if json:
        emit({"model": str(out), "card": model.card()})
    else:
        show_text(outline(model.card()))
    change = f" --do {model.schema.actions[0].name}=hold" if model.schema.actions else ""
    say(f"wrote {out}; ask it: foreworld imagine {out} --history TABLE{change} --plot future.png")


def evaluate(
    model: options.Model,
    data: _Table,
    horizon: options.Horizon = None,
    samples: _Samples = 200,
    seed: options.Seed = 0,
    out: _File = None,
    json: options.Json = False,
) -> None:
    """Compare forecasts with what really happened, in episodes that the model has not seen.

    The table has the columns that the model was fitted with. CRPS is in the
    unit of the variable, like a mean absolute error: lower is better. Coverage
    says how often the truth lay within the interval.

    \b
    Example:
      foreworld evaluate models/t1d holdout.parquet --out scores.parquet
    """
    from foreworld.model import WorldModel

    check_output(out, "--out", TABLES, data)
    evaluation = WorldModel.load(model).evaluate(data, horizon=horizon, members=samples, seed=seed)
    if out is not None:
        write_table(evaluation.to_frame(), out)
    if json:
        emit(loads(evaluation.to_json()))
    else:
        show_text(f"CRPS, with a 90% interval\n{table(evaluation.table())}\n")
        show_text(f"share of truths within the 90% interval\n{table(evaluation.table(metric='coverage_90'))}")
        if evaluation.supported is not None:
            share = evaluation.supported.all(1).mean()
            show_text(f"\n{100 * share:.0f}% of the questions lie wholly within what the model has seen")
    if out is not None:
        say(f"wrote {out}")


def imagine(
    model: options.Model,
    history: options.History,
    do: options.Do = None,
    horizon: options.Horizon = None,
    future: options.Future = None,
    samples: _Samples = 200,
    seed: options.Seed = 0,
    band: _Band = False,
    out: _File = None,
    members: _Members = None,
    plot: _Plot = None,
    strict: options.Strict = False,
    json: options.Json = False,
) -> None:
    """Say what happens next if these actions are taken, and how sure that is.

    An action without --do goes on as it was, or stops if it is something that
    is rarely given, such as a meal. The answer has mean, quantiles and unit
    for each step, and says where the question leaves what the model has seen.

    \b
    Examples:
      no insulin, and a meal of 45 g half an hour from now:
        foreworld imagine models/t1d --history one.csv \\
          --do insulin=0 --do "carbs@30=45" --horizon 36 \\
          --out future.parquet --plot future.png
      dates in the time column: --do "valve@2h=0.3" (s, min, h, d)
      keep the last value:      --do insulin=hold
    """
    from foreworld.model import WorldModel

    deeds = options.interventions(do)
    check_output(out, "--out", TABLES, history, future)
    check_output(members, "--members", TABLES, history, future, out)
    check_output(plot, "--plot", PICTURES)
    if plot is not None and find_spec("matplotlib") is None:
        raise MissingExtraError("--plot", "plot")
    share = 0.9 if band else None
    answer = WorldModel.load(model).imagine(
        history, deeds, horizon=horizon, future=future, members=samples, seed=seed, band=share
    )
    heed(answer.verdict.complaint([episode.id for episode in answer.histories]), strict)
    frame = answer.to_frame()
    if plot is not None:
        _draw(answer, plot)
    if members is not None:
        write_table(answer.members_frame(), members)
    if out is not None:
        write_table(frame, out)
    if json:
        emit(frame.to_pylist())
    else:
        show_text(excerpt(frame.to_pylist()))
    for path in (out, members, plot):
        if path is not None:
            say(f"wrote {path}")


def show(model: options.Model, json: options.Json = False) -> None:
    """Say what a model is: columns, units, training data, calibration and diagnostics.

    \b
    Example:
      foreworld show models/t1d
    """
    from foreworld.model import WorldModel

    card = WorldModel.load(model).card()
    if json:
        emit(card)
    else:
        show_text(outline(card))


def _draw(answer: "Imagination", path: Path) -> None:
    from foreworld.artifacts import write_bytes

    picture = io.BytesIO()
    answer.plot().savefig(picture, format=path.suffix[1:].lower())
    write_bytes(path, picture.getvalue())


def excerpt(rows: list[dict[str, Any]]) -> str:
    """A few steps of the answer, as many as fit on a screen."""
    last = max(row["step"] for row in rows)
    steps = {max(1, round(last * share)) for share in (1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1)}
    chosen = [
        {name: value for name, value in row.items() if name not in ("q10", "q25", "q75", "q90")}
        for row in rows
        if row["step"] in steps
    ]
    more = f"\n... and {len(chosen) - _EXCERPT_ROWS} more rows" if len(chosen) > _EXCERPT_ROWS else ""
    return table(chosen[:_EXCERPT_ROWS]) + more
