"""The command that runs comparisons: `foreworld bench bet`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from foreworld import cli_options as options
from foreworld.cli_options import option
from foreworld.cli_output import emit, outline, say, show_text
from foreworld.errors import MissingExtraError, QuestionError

KINDS = ("world", "map", "mixing", "cheaper")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Which comparison: bet.")]
_Out = Annotated[Path, option("DIR", "Where results and the report go; a run that was stopped goes on.", "--out")]
_Seeds = Annotated[int, option("N", "Seeds, from 0; more can be added later.", min=1)]
_Quick = Annotated[bool, typer.Option("--quick", help="The same report, small: two domains, one seed, short training.")]
_Engine = Annotated[str, option("NAME", "Where cells run: serial, process or ray; results are the same.")]
_Workers = Annotated[int | None, option("N", "Workers of the engine; as many as there are cores by default.", min=1)]
_Only = Annotated[list[str] | None, option("KIND", f"Run these cells alone: {', '.join(KINDS)}.")]
_Domain = Annotated[list[str] | None, option("NAME", "Run the cells of this domain alone; may be given again.")]


def bench(
    name: _Name,
    out: _Out = Path("bet"),
    seeds: _Seeds = 1,
    quick: _Quick = False,
    engine: _Engine = "process",
    workers: _Workers = None,
    only: _Only = None,
    domain: _Domain = None,
    json: options.Json = False,
) -> None:
    """Compare predicting beliefs with predicting observations and tokens: equal size, data and tuning, true answers.

    The report tells of all cells that there are, whichever were run by this call.

    \b
    Examples:
      foreworld bench bet --quick --out bet
      foreworld bench bet --seeds 5 --engine process --out bet
    """
    from importlib.util import find_spec

    from foreworld.evidence.bet.scale import FULL, QUICK

    if name != "bet":
        raise QuestionError(f"there is no comparison '{name}'; there is bet")
    unknown = sorted(set(only or ()) - set(KINDS))
    if unknown:
        raise QuestionError(f"--only: there is no '{unknown[0]}'; there are {', '.join(KINDS)}")
    scale = QUICK if quick else FULL
    strange = sorted(set(domain or ()) - set(scale.domains))
    if strange:
        raise QuestionError(f"--domain: '{strange[0]}' takes no part; there are {', '.join(scale.domains)}")
    for package, extra in (("pandas", "bench"), ("matplotlib", "bench"), ("lightgbm", "bench")):
        if find_spec(package) is None:
            raise MissingExtraError("foreworld bench", extra)

    from foreworld.evidence.bet.bars import bars
    from foreworld.evidence.bet.page import page
    from foreworld.evidence.bet.run import run
    from foreworld.evidence.bet.scoreboard import board

    chosen = range(1 if quick else seeds)
    kinds, domains = only or (), domain or ()
    results = run(out, scale, chosen, engine=engine, workers=workers, kinds=kinds, domains=domains).to_pandas()
    words = ["foreworld", "bench", name, *(["--quick"] if quick else ["--seeds", str(seeds)]), "--out", str(out)]
    report = page(results, scale, chosen, {"command": shlex.join(words)})
    report.write(out / "report.html")
    scored = results[results.question != "failed"]
    found = {
        "report": str(out / "report.html"),
        "results": str(out / "results.parquet"),
        "cells": int(results["hash"].nunique()),
        "bars": [{"bar": bar.words, "met": bar.reached, "figures": bar.figures} for bar in bars(scored, board(scored))],
    }
    if json:
        emit(found)
    else:
        show_text(outline(found))
    say(report.summary)
