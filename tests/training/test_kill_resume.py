"""The benchmark of killed and resumed training, with two kills: one while a checkpoint is being written."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_resume.py"


def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    command = [sys.executable, str(SCRIPT), "--kills", "2", "--steps", "40", "--out", str(out)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.stdout.splitlines()[-1:] == ["2 of 2 identical"], run.stderr
    result = json.loads(out.read_text())
    assert [trial["different"] for trial in result["trials"]] == [[], []]
    assert result["trials"][0]["while_writing"] and 0 < result["trials"][0]["saved_step"] + 20 <= 40
    assert set(result["sha256"]) == {"weights", "averaged weights", "optimiser", "random numbers", "metrics"}
