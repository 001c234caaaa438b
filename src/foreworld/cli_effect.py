"""The commands that compare: the effect of one plan against another, and what an outcome hangs on."""

from pathlib import Path
from typing import Annotated, Any

import typer

from foreworld import cli_options as options
from foreworld.cli_options import option
from foreworld.cli_output import TABLES, check_output, emit, say, show_text, table, write_table

_Versus = Annotated[list[str] | None, option("NAME[@TIME]=VALUE", "What it is compared with; by default no change.")]
_Data = Annotated[Path | None, option("TABLE", "Recorded episodes to correct the model on; the histories by default.")]
_Record = Annotated[Path | None, option("TABLE", "Recorded episodes that low and high are taken from.")]
_Confounder = Annotated[str | None, option("COLUMN", "Say what something hidden and as strong as this would change.")]
_Outcome = Annotated[str, option("COLUMN", "The target to look at; of a category, COLUMN=LABEL.")]
_At = Annotated[int | None, option("STEP", "The step at which it is looked at; the last one by default.", min=1)]
_File = Annotated[Path | None, option("FILE", "Write the answer as .parquet or .csv.", "--out")]
_Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
_STEPS = 6
_ROWS = 20


def effect(
    model: options.Model,
    history: options.History,
    do: options.Do = None,
    versus: _Versus = None,
    data: _Data = None,
    horizon: options.Horizon = None,
    future: options.Future = None,
    confounder: _Confounder = None,
    seed: options.Seed = 0,
    out: _File = None,
    json: _Json = False,
) -> None:
    """Say what doing this instead of that changes, on average and for each history.

    With recorded episodes enough, and both plans tried in them, the model's
    answer is corrected on them; the answer says so. It also says how often each
    plan was tried, whether what came before the action is free of it, and how
    strong something hidden would have to be to explain the effect away.

    \b
    Example:
      foreworld effect models/t1d --history now.csv --data patients.csv \\
        --do insulin=2 --versus insulin=0 --horizon 24 --out effect.parquet
    """
    deeds, others = options.interventions(do), options.interventions(versus, "--versus")
    check_output(out, "--out", TABLES, history, data, future)

    from foreworld.model import WorldModel

    answer = WorldModel.load(model).effect(
        history,
        deeds,
        others,
        data=data,
        horizon=horizon,
        future=future,
        confounder=confounder,
        seed=seed,
    )
    summary = answer.summary()
    if out is not None:
        write_table(answer.to_frame(), out)
    if json:
        emit(summary)
    else:
        show_text(_told(summary))
    if not answer.supported.all():
        say("some steps lie outside what the model has seen: see the column supported")
    if out is not None:
        say(f"wrote {out}")


def rank(
    model: options.Model,
    history: options.History,
    outcome: _Outcome,
    at: _At = None,
    do: options.Do = None,
    data: _Record = None,
    horizon: options.Horizon = None,
    future: options.Future = None,
    seed: options.Seed = 0,
    out: _File = None,
    json: _Json = False,
) -> None:
    """Say which action, and when, an outcome hangs on most.

    Each action is set low and high (the 5% and 95% quantile of what was done)
    in each stretch of steps, and left as planned otherwise. The wider the
    swing of the outcome, the more it matters.

    \b
    Example:
      foreworld rank models/t1d --history now.csv --outcome glucose --at 12
    """
    deeds = options.interventions(do)
    check_output(out, "--out", TABLES, history, data, future)

    from foreworld.model import WorldModel

    answer = WorldModel.load(model).rank(
        history, outcome, at=at, do=deeds, data=data, horizon=horizon, future=future, seed=seed
    )
    summary = answer.summary()
    if out is not None:
        write_table(answer.to_frame(), out)
    if json:
        emit(summary)
    else:
        rows, unit = summary["ranking"], f" {summary['unit']}".rstrip()
        head = f"change of {summary['outcome']}{unit and ' in' + unit} at step {summary['step']}, against the plan"
        more = f"\n... and {len(rows) - _ROWS} more rows" if len(rows) > _ROWS else ""
        id, nearest = next(iter(summary["nearest"].items()))
        near = f"\nnearest recorded episodes to what is imagined of {id}: {', '.join(map(str, nearest))}"
        show_text(f"{head}\n{table(rows[:_ROWS])}{more}{near}")
    if not answer.supported.all():
        say("some steps lie outside what the model has seen: see the column supported")
    if out is not None:
        say(f"wrote {out}")


def _told(summary: dict[str, Any]) -> str:
    """A few steps of the average, and what it rests on."""
    last = max(row["step"] for row in summary["average"])
    steps = {max(1, round(last * (place + 1) / _STEPS)) for place in range(_STEPS)}
    shown = ("step", "variable", "effect", "q05", "q95", "unit", "not_zero", "robustness_value", "e_value")
    rows = [{name: row[name] for name in shown if name in row} for row in summary["average"] if row["step"] in steps]
    lines = [f"average over {summary['episodes']} histories; {summary['reason']}", table(rows)]
    for arm, found in summary["overlap"].items():
        lines.append(
            f"{arm}: {found['rows_near']} of {found['recorded_rows']} recorded rows are near, worth "
            f"{found['effective_rows']:.0f}; to the last step {found['rows_near_to_the_end']}, worth "
            f"{found['effective_rows_to_the_end']:.0f}"
        )
    if summary["negative_controls"]:
        worst = min(summary["negative_controls"], key=lambda control: control["p"])
        verdict = (
            "no effect on what came before" if summary["negative_controls_pass"] else "an effect on what came before"
        )
        lines.append(
            f"negative controls: {verdict} (smallest of {len(summary['negative_controls'])}: p = {worst['p']:.2g})"
        )
    if summary["confounder"]:
        name, shifts = summary["confounder"]["as_strong_as"], summary["confounder"]["shifts_by"]
        lines.append(f"something hidden as strong as {name} shifts the average by at most")
        lines.append(table([row for row in shifts if row["step"] in steps]))
    return "\n".join(lines)
