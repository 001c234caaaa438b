"""`foreworld calibrate`: a model with a new calibration, a stream with adapting intervals, one line for a mistake."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .conftest import tank_table
from .test_cli import done, refused

STREAM = ["run", "minute", "step", "ahead", "variable", "q05", "q95", "level", "stretch", "seen", "covered", "unit"]


@pytest.fixture
def model(tank_model: Path, tmp_path: Path) -> Path:
    """A copy that may be altered."""
    return Path(shutil.copytree(tank_model, tmp_path / "model"))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Twenty other runs: every other tank is small, and one has no size."""
    table = tank_table(20, 30, seed=5)
    size = [None if row < 30 else [1.2, 1.8][row // 30 % 2] for row in range(600)]
    pq.write_table(table.set_column(4, "size", pa.array(size)), tmp_path / "fresh.parquet")
    return tmp_path / "fresh.parquet"


def test_a_model_is_calibrated_anew_by_group_and_saved(model: Path, fresh: Path, tmp_path: Path) -> None:
    before = (model / "calibration.json").read_bytes()
    words = ["calibrate", model, fresh, "--by", "size", "--out", tmp_path / "other"]
    told = json.loads(done(*words, "--json").stdout)
    assert told["by"] == "size" and told["trajectories"] == 20
    assert [(group["group"], group["trajectories"], group["own"]) for group in told["groups"]] == [
        ("1.2", 9, True),
        ("1.8", 10, True),
    ]
    level = told["targets"]["level"]
    assert len(level["coverage"]["90%"]["after"]) == len(level["width_90%_of_before"]) == 6
    assert (model / "calibration.json").read_bytes() == before
    shown = json.loads(done("show", tmp_path / "other", "--json").stdout)
    assert shown["calibration"]["by"] == "size" and shown["calibration"]["groups"] == ["1.2", "1.8"]
    assert shown["about"]["recalibrated"]["episodes"] == 20


def test_without_a_folder_the_model_is_replaced_and_answers_with_a_band(
    model: Path, fresh: Path, new_tanks: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "foreworld", "calibrate", str(model), str(fresh)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "90% before" in told.stdout and "band" in told.stdout and f"wrote {model}" in told.stderr
    out = tmp_path / "future.parquet"
    done("imagine", model, "--history", new_tanks, "--band", "--out", out)
    frame = pq.read_table(out)
    assert frame.column_names[-4:] == ["band05", "band95", "unit", "supported"]
    rows = frame.to_pylist()
    assert all(0 <= row["band05"] <= row["q05"] <= row["q95"] <= row["band95"] for row in rows)


def test_small_groups_are_said_to_have_the_calibration_of_all(model: Path, tmp_path: Path) -> None:
    table = tank_table(12, 30, seed=6)
    size = pa.array([1.1 if row < 60 else 1.9 for row in range(360)])
    pq.write_table(table.set_column(4, "size", size), tmp_path / "few.parquet")
    told = done("calibrate", model, tmp_path / "few.parquet", "--by", "size")
    assert "group 1.1: 2 trajectories are too few, so it has the calibration of all" in told.stderr


def test_a_stream_is_forecast_ahead_with_adapting_intervals(tank_model: Path, new_tanks: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.parquet"
    words = ["calibrate", tank_model, new_tanks, "--stream", "--horizon", "3", "--out", out]
    told = json.loads(done(*words, "--json").stdout)
    assert (told["level"], told["streams"], told["rows"]) == (0.9, 2, 58)
    assert len(told["coverage"]["level"]["adapted"]) == 3
    frame = pq.read_table(out)
    assert frame.column_names == STREAM and frame.num_rows == 2 * (29 + 28 + 27)
    row = frame.to_pylist()[-1]
    assert (row["run"], row["step"], row["ahead"], row["unit"]) == ("tank 1", 29, 1, "cm")
    assert row["covered"] == (row["q05"] <= row["seen"] <= row["q95"])
    narrow = tmp_path / "narrow.csv"
    assert "50% intervals" in done(*words[:-2], "--level", "0.5", "--out", narrow).stdout
    assert '"q25","q75"' in narrow.read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "colour"], "column 'colour' is no column of this model; groups can be made by: size"),
        (["--by", "valve"], "groups can be made by: size"),
        (["--by", "size", "--stream"], "--by"),
        (["--stream", "--out", "said.txt"], ".parquet, .csv"),
    ],
)
def test_what_cannot_be_done_is_one_line(model: Path, fresh: Path, words: list[str], said: str) -> None:
    before = (model / "manifest.json").read_bytes()
    assert said in refused("calibrate", model, fresh, *words)
    assert (model / "manifest.json").read_bytes() == before


def test_trajectories_that_will_not_do_are_named(model: Path, tank_csv: Path, new_tanks: Path, tmp_path: Path) -> None:
    assert "the model was trained on 8 of these 8 trajectories ('tank 0'" in refused("calibrate", model, tank_csv)
    assert "at least 8 trajectories with 6 rows after the first, and 2 of 2" in refused("calibrate", model, new_tanks)
    pq.write_table(pq.read_table(new_tanks).drop_columns("size"), tmp_path / "other.parquet")
    said = refused("calibrate", model, tmp_path / "other.parquet")
    assert "other.parquet" in said and "size" in said
