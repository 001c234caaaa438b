"""`foreworld recall`: the frame of imagine with what did happen, and one line for what cannot be asked."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from .test_cli import done, refused


def test_the_answer_stands_beside_what_happened(tank_model: Path, new_tanks: Path, tmp_path: Path) -> None:
    out, members = tmp_path / "instead.parquet", tmp_path / "members.csv"
    asked = ["recall", tank_model, "--history", new_tanks, "--at", "60", "--do", "valve@10=1", "--samples", "20"]
    shown = json.loads(done(*asked, "--out", out, "--members", members, "--json").stdout)
    frame = pq.read_table(out)
    assert frame.to_pylist() == shown and members.exists()
    assert frame.column_names[:4] == ["run", "minute", "step", "variable"] and "happened" in frame.column_names
    assert frame["minute"][0].as_py() == 65
    happened = {(row["run"], row["minute"]): row["level"] for row in pq.read_table(new_tanks).to_pylist()}
    for row in shown:
        assert row["happened"] == pytest.approx(happened[row["run"], row["minute"]], rel=1e-5)
        if row["step"] <= 2:  # Until the valve is turned, what happened is what would have happened.
            assert row["q05"] == pytest.approx(row["happened"], rel=1e-4)
            assert row["q95"] == pytest.approx(row["happened"], rel=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--at", "61", "--do", "valve=1"], "no row at 61; the nearest are at 60 and 65"),
        (["--at", "60"], "say what is done otherwise"),
        (["--at", "60", "--do", "vlve=1"], "did you mean 'valve'"),
        (["--at", "60", "--do", "valve=1", "--horizon", "50"], "50 steps are asked for"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    tank_model: Path, new_tanks: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    out = tmp_path / "instead.csv"
    assert said in refused("recall", tank_model, "--history", new_tanks, *words, "--out", out)
    assert not out.exists()
