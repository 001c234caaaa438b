"""The command that plans: what should be done, to reach what, within which limits."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from foreworld import cli_options as options
from foreworld.cli_options import option
from foreworld.cli_output import TABLES, check_output, emit, heed, outline, say, show_text, table, write_table
from foreworld.errors import QuestionError

_Goal = Annotated[str, option("EXPRESSION", "A condition to come near to, or a number to make small.")]
_Limit = Annotated[list[str] | None, option("LIMIT", "What must not go wrong; repeat for several.")]
_Bounds = Annotated[list[str] | None, option("NAME=LOW:HIGH", "An action to choose, and between which values.")]
_Rate = Annotated[list[str] | None, option("NAME=CHANGE", "Largest change of an action in a step.")]
_Integer = Annotated[list[str] | None, option("COLUMNS", "Actions that are whole numbers, separated by commas.")]
_Every = Annotated[int, option("STEPS", "Choose an action every so many steps.", min=1)]
_Horizon = Annotated[int | None, option("STEPS", "Steps to plan; all that are calibrated by default.", min=1)]
_Do = Annotated[list[str] | None, option("NAME[@TIME]=VALUE", "What is decided already.")]
_Future = Annotated[Path | None, option("TABLE", "Rows after now: columns known in advance, and decided actions.")]
_Planner = Annotated[Literal["icem", "cem", "mppi", "gradient"], option("NAME", "How to search.")]
_Seed = Annotated[int, option("N", "The same seed gives the same plan, bit for bit.", min=0)]
_File = Annotated[Path | None, option("FILE", "Write the plan as .parquet or .csv.", "--out")]
_Json = Annotated[bool, typer.Option("--json", help="Print what the plan promises as JSON.")]
_EXCERPT_ROWS = 24


def plan(
    model: options.Model,
    history: options.History,
    goal: _Goal,
    limit: _Limit = None,
    bounds: _Bounds = None,
    rate: _Rate = None,
    integer: _Integer = None,
    every: _Every = 1,
    horizon: _Horizon = None,
    do: _Do = None,
    future: _Future = None,
    planner: _Planner = "icem",
    seed: _Seed = 0,
    out: _File = None,
    strict: options.Strict = False,
    json: _Json = False,
) -> None:
    """Choose actions that reach a goal within limits, and say how likely each limit is broken.

    Goals and limits name targets and actions, in their units; names that are
    no plain words stand in backquotes. A limit is P(condition) <= chance (at
    any step of the horizon), CVaR(number, level) <= value, mean(number) <=
    value, or a condition that must hold in nearly all futures. Actions with
    --bounds are chosen; without any, all that nothing else decides, within
    what the model has seen.

    \b
    Example:
      foreworld plan models/t1d --history h.csv --horizon 24 \\
        --goal "70 <= glucose <= 180" --limit "P(glucose < 54) <= 0.01" \\
        --bounds insulin=0:5 --out plan.parquet
    """
    from foreworld.model import WorldModel

    check_output(out, "--out", TABLES, history, future)
    answer = WorldModel.load(model).plan(
        history,
        goal,
        limits=limit or (),
        bounds=options.bounds(bounds),
        rates=_rates(rate),
        integers=options.columns("--integer", integer),
        every=every,
        horizon=horizon,
        do=options.interventions(do),
        future=future,
        planner=planner,
        seed=seed,
    )
    heed(answer.verdict.complaint([episode.id for episode in answer.histories]), strict)
    frame, promises = answer.to_frame(), answer.summary()
    if out is not None:
        write_table(frame, out)
    if json:
        emit(promises)
    else:
        rows = frame.to_pylist()
        more = f"\n... and {len(rows) - _EXCERPT_ROWS} more rows" if len(rows) > _EXCERPT_ROWS else ""
        show_text(table(rows[:_EXCERPT_ROWS]) + more)
        show_text("\n" + "\n\n".join(outline(promise) for promise in promises[:3]))
    if out is not None:
        say(f"wrote {out}")


def _rates(given: list[str] | None) -> dict[str, float]:
    """`basal=0.5`: the largest change a step."""
    rates = {}
    for name, text in options.pairs("--rate", given, "NAME=CHANGE").items():
        try:
            rates[name] = float(text)
        except ValueError:
            raise QuestionError(f"--rate: '{name}={text}' does not read NAME=CHANGE") from None
    return rates
