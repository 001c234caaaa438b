"""`foreworld plan`: a table under the user's names, promises as JSON, and one line for what cannot be read."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from .test_cli import done, refused

GOAL = ["--goal", "abs(level - 3)", "--bounds", "valve=0:1", "--horizon", "4"]


def test_a_plan_is_a_table_within_its_bounds(tank_model: Path, new_tanks: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.parquet"
    asked = ["plan", tank_model, "--history", new_tanks, *GOAL, "--limit", "P(level < 0) <= 0.1", "--out", out]
    promises = json.loads(done(*asked, "--json").stdout)
    frame = pq.read_table(out)
    assert {"run", "minute", "valve", "step", "supported"} <= set(frame.column_names)
    assert frame.num_rows == 4 * len(promises)
    valve = np.array(frame["valve"])
    assert (valve >= 0).all() and (valve <= 1).all()
    assert all(promise["horizon"] == 4 and len(promise["limits"]) == 1 for promise in promises)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--goal", "levl > 2"], "did you mean 'level'"),
        (["--goal", "level +"], "level +"),
        (["--goal", "__import__('os')"], "__import__"),
        (["--goal", "level", "--rate", "valve=fast"], "NAME=CHANGE"),
        (["--goal", "level", "--bounds", "vlve=0:1"], "vlve"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tank_model: Path, new_tanks: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    out = tmp_path / "plan.csv"
    assert said in refused("plan", tank_model, "--history", new_tanks, *words, "--out", out)
    assert not out.exists()
