"""The command that makes intervals honest elsewhere: calibration on fresh trajectories, by group, or along a stream."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foreworld import cli_options as options
from foreworld.cli_options import option
from foreworld.cli_output import TABLES, check_output, emit, say, show_text, table, write_table
from foreworld.errors import QuestionError

if TYPE_CHECKING:
    from foreworld.model import WorldModel

_Table = Annotated[Path, typer.Argument(metavar="TABLE", help="Trajectories that the model was not trained on.")]
_By = Annotated[str | None, option("COLUMN", "Calibrate each group on its own: a static column, or one with labels.")]
_Stream = Annotated[bool, typer.Option("--stream", help="Forecast every row ahead, and adapt to what comes.")]
_Level = Annotated[float, option("SHARE", "Truths that adapting intervals shall hold.", min=0.01, max=0.99)]
_Horizon = Annotated[int | None, option("STEPS", "Steps ahead of a stream; all that are calibrated by default.", min=1)]
_Out = Annotated[
    Path | None, option("PATH", "Another folder for the model; of a stream, a .parquet or .csv file.", "--out")
]
_SHOWN = 6


def calibrate(
    model: options.Model,
    data: _Table,
    by: _By = None,
    stream: _Stream = False,
    level: _Level = 0.9,
    horizon: _Horizon = None,
    out: _Out = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Make the intervals of a model hold what they say on other trajectories.

    The model is saved with its new calibration, in its place or with --out
    elsewhere. With --by intervals hold in every group and not on average alone;
    a group of fewer than eight trajectories is calibrated with all.

    With --stream nothing is saved: every row is forecast from the rows before,
    and the intervals widen after a miss and narrow after a hit, so that they
    hold in the long run even where the world has changed.

    \b
    Examples:
      foreworld calibrate models/t1d clinic.csv --by sex
      foreworld calibrate models/t1d stream.csv --stream --out said.parquet
    """
    if stream and by is not None:
        raise QuestionError("--by: groups are calibrated once and for all, and a stream adapts on its own")
    if stream:
        check_output(out, "--out", TABLES, data)

    from foreworld.model import WorldModel

    if not stream and out is not None:
        from foreworld.artifacts import ensure_replaceable

        ensure_replaceable(out)
    known = WorldModel.load(model)
    if stream:
        _adapt(known, data, level, horizon, out, seed, json)
        return
    found = known.calibrate(data, by=by, seed=seed)
    found.model.save(out or model)
    summary = found.summary()
    if json:
        emit(summary | {"model": str(out or model)})
    else:
        show_text(_told(summary))
    for group in summary["groups"]:
        if not group["own"]:
            few = f"{group['trajectories']} trajectories are too few"
            say(f"group {group['group']}: {few}, so it has the calibration of all")
    if found.off[1] >= found.off[0]:
        say(
            "on these trajectories intervals held as well before: few of them calibrate worse than many at fit time did"
        )
    say(f"wrote {out or model}")


def _adapt(
    model: "WorldModel", data: Path, level: float, horizon: int | None, out: Path | None, seed: int, json: bool
) -> None:
    answer = model.adapt(data, level=level, horizon=horizon, seed=seed)
    summary = answer.summary()
    if out is not None:
        write_table(answer.to_frame(), out)
    if json:
        emit(summary)
    else:
        rows = [
            {"variable": name, "ahead": step + 1, **{key: values[step] for key, values in parts.items()}}
            for name, parts in summary["coverage"].items()
            for step in _some(len(parts["adapted"]))
        ]
        show_text(f"share of {summary['rows']} rows within {level:.0%} intervals\n{table(rows)}")
    if out is not None:
        say(f"wrote {out}")


def _told(summary: dict[str, Any]) -> str:
    """Coverage before and after, at a few steps, and by group."""
    rows = []
    for name, parts in summary["targets"].items():
        for step in _some(len(parts["width_90%_of_before"])):
            row = {"variable": name, "step": step + 1}
            for level, shares in parts["coverage"].items():
                row |= {f"{level} before": shares["before"][step], f"{level} after": shares["after"][step]}
            rows.append(row | {"width": parts["width_90%_of_before"][step]})
        band = parts["band_90%"]
        rows.append({"variable": name, "step": "band", "90% before": band["before"], "90% after": band["after"]})
    text = f"share of truths within intervals, on {summary['trajectories']} trajectories (after: cross-validated)\n"
    text += table(rows)
    return f"{text}\n\n{table(summary['groups'])}" if summary["groups"] else text


def _some(steps: int) -> list[int]:
    """A few steps, evenly spread, the first and the last among them."""
    count = min(steps, _SHOWN)
    return sorted({round(index * (steps - 1) / max(count - 1, 1)) for index in range(count)})
