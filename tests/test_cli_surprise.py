"""`foreworld surprise`: a table under the user's names, alarms as JSON, and one line for what cannot be read."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .conftest import tank_table
from .test_cli import done, refused

COLUMNS = ["run", "minute", "step", "variable", "p", "expected", "low", "high", "seen", "unit", "alarm", "supported"]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Two runs; in the second one the level jumps by 30 cm at row 20."""
    table = tank_table(2, 40, seed=1)
    level = table["level"].to_numpy().copy()
    level[60:] += 30.0
    pq.write_table(table.set_column(2, "level", pa.array(level)), tmp_path / "broken.parquet")
    return tmp_path / "broken.parquet"


def test_a_jump_is_found_and_told(tank_model: Path, broken: Path, tmp_path: Path) -> None:
    out, picture = tmp_path / "p.parquet", tmp_path / "p.png"
    words = ["surprise", tank_model, broken, "--budget", "1/100rows", "--out", out, "--plot", picture, "--json"]
    told = json.loads(done(*words).stdout)
    assert told["budget"]["per_1000_rows"] == 10 and told["rows"] == 78
    jump = next(alarm for alarm in told["alarms"] if alarm["id"] == "tank 1" and alarm["time"] == 100.0)
    assert jump["variable"] == "level" and jump["unit"] == "cm" and jump["kind"] == "sudden"
    assert jump["seen"] > jump["high"] > jump["expected"] > jump["low"]
    assert [episode["rows"] for episode in told["episodes"]] == [39, 39]
    frame = pq.read_table(out)
    assert frame.column_names == COLUMNS and frame.num_rows == 78 * 3
    rows = frame.to_pylist()
    marked = [row for row in rows if row["alarm"] and row["run"] == "tank 1"]
    assert {"level"} == {row["variable"] for row in marked if row["minute"] == 100.0}
    assert {row["variable"] for row in rows} == {"level", "belief", "all"}
    assert all(row["expected"] is None for row in rows if row["variable"] != "level")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_terminal_shows_alarms_and_the_promise(tank_model: Path, broken: Path) -> None:
    command = [sys.executable, "-m", "foreworld", "surprise", str(tank_model), str(broken), "--budget", "20"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "tank 1" in told.stdout and "level" in told.stdout
    assert "are expected at 20 in 1000 rows" in told.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget", "never"], "such as 1 (in 1000 rows)"),
        (["--budget", "1/week"], "the unit 'week' is not known here"),
        (["--budget", "1/100000000rows"], "held-out rows"),
        (["--plot", "p.txt"], ".png"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tank_model: Path, broken: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    out = tmp_path / "p.csv"
    assert said in refused("surprise", tank_model, broken, *words, "--out", out)
    assert not out.exists()


def test_a_table_that_lacks_a_column_is_named(tank_model: Path, broken: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(broken).drop_columns("valve"), tmp_path / "other.parquet")
    said = refused("surprise", tank_model, tmp_path / "other.parquet")
    assert "other.parquet" in said and "valve" in said
