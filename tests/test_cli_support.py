"""What the model has not seen: said on stderr, and refused under --strict, by every verb that answers."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from .test_cli import done, refused

# The first action of a plan is that of the last row, where it has one: it is taken already.
FIRST = {"imagine": 1, "plan": 2, "recall": 1}
VERBS = {
    "imagine": ["--do", "valve=3", "--horizon", "3"],
    "plan": ["--goal", "abs(valve - 3)", "--bounds", "valve=0:3", "--horizon", "3"],
    "recall": ["--at", "60", "--do", "valve=3", "--horizon", "3"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_lies_outside_is_named_or_refused(verb: str, tank_model: Path, new_tanks: Path, tmp_path: Path) -> None:
    out = tmp_path / "answer.parquet"
    words = [verb, tank_model, "--history", new_tanks, *VERBS[verb], "--out", out]
    line = refused(*words, "--strict")
    assert line.startswith("--strict: 2 of 2 answers are unsupported: tank ")
    assert f"from step {FIRST[verb]} on (support 0): valve = " in line and " beyond the range of training, 0." in line
    assert not out.exists()
    told = done(*words).stderr
    assert "2 of 2 answers are unsupported: tank " in told
    assert not any(row["supported"] for row in pq.read_table(out).to_pylist() if row["step"] >= FIRST[verb])


def test_an_answer_that_is_supported_is_not_refused(tank_model: Path, tank_csv: Path) -> None:
    words = ["imagine", tank_model, "--history", tank_csv, "--do", "valve=0.5", "--horizon", "2", "--strict", "--json"]
    rows = json.loads(done(*words).stdout)
    assert all(row["supported"] for row in rows)


def test_a_promise_has_score_reasons_and_neighbours(tank_model: Path, new_tanks: Path) -> None:
    words = ["plan", tank_model, "--history", new_tanks, *VERBS["plan"], "--json"]
    for promise in json.loads(done(*words).stdout):
        assert promise["support"] == 0 and promise["supported_steps"] <= 1 and promise["neighbours"]
        first = promise["reasons"][0]
        assert (first["ground"], first["variable"], first["step"]) == ("range", "valve", 2)
        assert 2.5 < first["times"] < 4 and first["text"].startswith("valve = ")


def test_evaluation_says_how_much_is_supported(tank_model: Path, new_tanks: Path) -> None:
    words = ["evaluate", tank_model, new_tanks, "--horizon", "3", "--samples", "20"]
    assert "% of the questions lie wholly within what the model has seen" in done(*words).stdout
    assert 0.5 < json.loads(done(*words, "--json").stdout)["supported"] <= 1


def test_in_a_process_of_its_own_it_is_exit_code_2_and_one_line(tank_model: Path, new_tanks: Path) -> None:
    words = ["imagine", tank_model, "--history", new_tanks, "--do", "valve=3", "--strict"]
    run = subprocess.run([sys.executable, "-m", "foreworld", *map(str, words)], capture_output=True, text=True)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.count("\n") == 1 and run.stderr.startswith("error: --strict: 2 of 2 answers are unsupported")
