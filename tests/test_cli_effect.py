"""`foreworld effect` and `foreworld rank`: frames under the user's names, a summary, one line for what cannot be."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from .test_cli import done, refused


def test_an_effect_is_a_frame_and_a_summary(tank_model: Path, new_tanks: Path, tmp_path: Path) -> None:
    out = tmp_path / "effect.parquet"
    words = ["effect", tank_model, "--history", new_tanks, "--do", "valve=0.9", "--versus", "valve=0.1", "--out", out]
    summary = json.loads(done(*words, "--json").stdout)
    assert summary["method"] == "plug-in" and "2 recorded episodes" in summary["reason"]
    frame = pq.read_table(out)
    assert frame.column_names[:4] == ["run", "step", "variable", "effect"]
    assert set(frame["run"].to_pylist()) == {"all", "tank 0", "tank 1"}
    rows = frame.to_pylist()
    assert {row["unit"] for row in rows} == {"cm"} and len(rows) == 3 * 6
    shown = {row["step"]: row for row in summary["average"]}
    for row in rows:
        if row["run"] == "all":
            assert shown[row["step"]]["effect"] == pytest.approx(row["effect"])
            assert row["q05"] <= row["effect"] <= row["q95"]
    said = done(*words).stdout
    assert "average over 2 histories" in said and "level" in said


def test_what_matters_is_ranked(tank_model: Path, new_tanks: Path, tank_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "rank.csv"
    words = ["rank", tank_model, "--history", new_tanks, "--outcome", "level", "--data", tank_csv, "--out", out]
    summary = json.loads(done(*words, "--json").stdout)
    assert summary["unit"] == "cm" and summary["step"] == 6
    swings = [abs(row["swing"]) for row in summary["ranking"]]
    assert swings == sorted(swings, reverse=True) and len(swings) == 6
    assert all(0 <= row["low"] < 0.2 and 0.8 < row["high"] <= 1 for row in summary["ranking"])
    assert out.read_text().startswith('"run","action","first_step"')
    assert "change of level in cm at step 6" in done(*words).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["effect", "--do", "vlve=1"], "did you mean 'valve'"),
        (["effect"], "say what is done"),
        (["effect", "--do", "valve=1", "--versus", "valve=1"], "both plans do the same"),
        (["effect", "--do", "valve=1", "--versus", "valve"], "--versus: 'valve' does not read NAME=VALUE"),
        (["effect", "--do", "valve=1", "--confounder", "size"], "confounder: 'size' cannot be measured"),
        (["rank", "--outcome", "levle"], "outcome: there is no 'levle'"),
        (["rank", "--outcome", "level", "--at", "9"], "step 9 is not among the 6"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    tank_model: Path, new_tanks: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    out = tmp_path / "answer.csv"
    assert said in refused(words[0], tank_model, "--history", new_tanks, *words[1:], "--out", out)
    assert not out.exists()


def test_the_command_itself(tank_model: Path, new_tanks: Path) -> None:
    words = [sys.executable, "-m", "foreworld", "effect", tank_model, "--history", new_tanks]
    ran = subprocess.run([*words, "--do", "valve=1", "--json"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["episodes"] == 2
    ran = subprocess.run([*words, "--do", "valv=1"], capture_output=True, text=True)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1 and ran.stdout == ""
