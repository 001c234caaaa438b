import json
from datetime import datetime
from pathlib import Path

import pytest

from foreworld import cli_output
from foreworld.errors import QuestionError


def test_points_align_and_missing_cells_are_marked() -> None:
    rows = [{"step": 6, "crps": 4.25, "unit": "mg/dL"}, {"step": 12, "crps": 10.5}]
    assert cli_output.table(rows).split("\n") == [
        "step   crps  unit",
        "   6   4.25  mg/dL",
        "  12  10.50  -",
    ]


def test_an_outline_shows_groups_as_tables() -> None:
    document = {"episodes": 2, "columns": {"level": {"unit": "cm"}, "valve": {"unit": ""}}, "about": {"seed": 0}}
    assert cli_output.outline(document).split("\n") == [
        "episodes: 2",
        "columns",
        "         unit",
        "  level  cm",
        "  valve  -",
        "about",
        "  seed: 0",
    ]


def test_json_is_what_every_reader_takes(capsys: pytest.CaptureFixture[str]) -> None:
    cli_output.emit({"at": datetime(2026, 1, 2), "r2": float("nan"), "range": (0.5, float("inf")), "unit": "µg"})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "at": "2026-01-02T00:00:00",
        "r2": None,
        "range": [0.5, None],
        "unit": "µg",
    }


def test_what_a_table_holds_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    cli_output.show_text("one\x1b[2J\x07\ntwo")
    cli_output.say("three\r\u202e")
    captured = capsys.readouterr()
    assert captured.out == "one [2J \ntwo\n"
    assert captured.err == "three  \n"


def test_what_is_read_or_written_already_is_not_written_over(tmp_path: Path) -> None:
    history, link = tmp_path / "history.csv", tmp_path / "link.csv"
    history.touch()
    link.symlink_to(history)
    cli_output.check_output(tmp_path / "out.csv", "--out", cli_output.TABLES, history, None)
    cli_output.check_output(None, "--out", cli_output.TABLES, history)
    for path in (history, tmp_path / "." / "history.csv", link):
        with pytest.raises(QuestionError, match="--out: '.*' is read or written by the same command"):
            cli_output.check_output(path, "--out", cli_output.TABLES, None, history)
