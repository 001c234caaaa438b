"""The command that recalls: what would have happened in this very case, had something else been done."""

from pathlib import Path
from typing import Annotated

import typer

from foreworld import cli_options as options
from foreworld.cli_models import excerpt
from foreworld.cli_options import option
from foreworld.cli_output import TABLES, check_output, emit, heed, say, show_text, write_table

_History = Annotated[Path, option("TABLE", "What did happen, before and after the moment.")]
_At = Annotated[str, option("TIME", "The moment, as in the time column: every episode needs a row there.")]
_Do = Annotated[list[str] | None, option("NAME[@TIME]=VALUE", "What is done instead; TIME counts from the moment.")]
_Horizon = Annotated[int | None, option("STEPS", "Steps after the moment; all that happened by default.", min=1)]
_Samples = Annotated[int, option("N", "Counterfactuals to sample.", min=1)]
_File = Annotated[Path | None, option("FILE", "Write the answer as .parquet or .csv.", "--out")]
_Members = Annotated[Path | None, option("FILE", "Write every sampled counterfactual as .parquet or .csv.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def recall(
    model: options.Model,
    history: _History,
    at: _At,
    do: _Do = None,
    horizon: _Horizon = None,
    samples: _Samples = 200,
    seed: options.Seed = 0,
    out: _File = None,
    members: _Members = None,
    strict: options.Strict = False,
    json: _Json = False,
) -> None:
    """Say what would have happened in this very case, had these actions been taken.

    Unlike imagine, it uses what did happen after the moment: the same chance
    is at work, in the same case. Actions without --do stay as they were. The
    answer is that of imagine, with what did happen beside it. That chance is
    the same whatever is done cannot be checked on any data: see
    docs/questions.md.

    \b
    Example: two units of insulin at minute 480, the rest as it was
      foreworld recall models/t1d --history one.csv --at 480 \\
        --do "insulin@0=2" --out instead.parquet
    """
    from foreworld.model import WorldModel

    check_output(out, "--out", TABLES, history)
    check_output(members, "--members", TABLES, history, out)
    deeds = options.interventions(do)
    answer = WorldModel.load(model).recall(history, deeds, at=at, horizon=horizon, members=samples, seed=seed)
    heed(answer.verdict.complaint([episode.id for episode in answer.histories]), strict)
    frame = answer.to_frame()
    if members is not None:
        write_table(answer.members_frame(), members)
    if out is not None:
        write_table(frame, out)
    if json:
        emit(frame.to_pylist())
    else:
        show_text(excerpt(frame.to_pylist()))
    for path in (out, members):
        if path is not None:
            say(f"wrote {path}")
