"""The demo goes the whole way for any domain, from what the domain says about itself."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from foreworld.cli import app
from foreworld.data.plan import Cases, Plan
from foreworld.demo import measuring, run, telling
from foreworld.domains import registry
from foreworld.domains.base import split
from foreworld.domains.collect import collect
from foreworld.evidence.baselines import Persistence
from foreworld.evidence.evaluation import Evaluation

from .documented import tank_class

pytestmark = pytest.mark.usefixtures("small_defaults")
Tank = tank_class()


class Recording:
    """The tank's episodes as if nobody could simulate them."""

    about, schema, study = Tank.about, Tank.schema, Tank.study

    def __init__(self) -> None:
        self.baselines = {"last value": Persistence.fit}

    def split(self, seed: int) -> Any:
        train, test = split(Tank.instances, seed)
        return tuple(collect(Tank(), instances=names, steps=60, seed=seed) for names in (train, test))


@pytest.fixture
def few_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tank, "study", replace(Tank.study, steps=60))
    monkeypatch.setattr(measuring, "CASES", 16)
    made = {"tank": Tank, "recording": Recording}
    monkeypatch.setattr(registry, "create", lambda name: made[name]())


@pytest.mark.usefixtures("few_cases")
def test_a_simulated_domain_answers_what_if(tmp_path: Path) -> None:
    result = run(tmp_path / "demo", domain="tank", seed=3, progress=False)
    assert result["unseen tanks"] == split(Tank.instances, 3)[1]
    for table in ("CRPS, what was done", "CRPS, another plan"):
        rows = result[table]
        assert [row["forecaster"] for row in rows] == ["foreworld", "persistence", "ridge-ARX"]
        assert list(rows[0]) == ["forecaster", "target", "unit", "3 min", "6 min", "9 min", "12 min", "all steps"]
    assert [row["what if"] for row in result["what if"]] == ["the valve closed", "half as much"]
    assert all(row["truth"].startswith("-") and " cm" in row["truth"] for row in result["what if"])

    page = (tmp_path / "demo" / "report.html").read_text()
    for words in (
        "Level of 20 leaking tanks",
        "the valve closed against as planned",
        "On 4 tanks that",
    ):
        assert words in page
    assert page.count("<img") == 5 and "foreworld demo tank --seed 3" in page
    assert result["found"] in page.replace("&#x27;", "'")

    command = shlex.split(result["try next"])
    assert command[0] == "foreworld" and command[command.index("--do") + 1] == "valve=0"
    answer = CliRunner().invoke(app, command[1:])
    assert answer.exit_code == 0, answer.stderr
    assert (tmp_path / "demo" / "future.png").exists()


@pytest.mark.usefixtures("few_cases")
def test_a_recorded_domain_has_forecasts_and_the_baselines_of_its_field(tmp_path: Path) -> None:
    result = run(tmp_path / "demo", domain="recording", progress=False)
    rows = result["CRPS, what was done"]
    assert [row["forecaster"] for row in rows] == ["foreworld", "persistence", "ridge-ARX", "last value"]
    assert "what if" not in result and "CRPS, another plan" not in result
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "Nobody can branch the real world" in page and "What comes next" in page and "What if" not in page
    command = shlex.split(result["try next"])
    assert "--do" not in command
    assert CliRunner().invoke(app, command[1:]).exit_code == 0


def evaluation(crps: dict[str, list[float]], wobble: tuple[float, ...] = (0.01, -0.01, 0, 0, 0)) -> Evaluation:
    """Two targets in five tanks: the mean CRPS of each forecaster, and by how much ours differs from tank to tank."""
    variables = Tank.schema.variables
    level = variables[0]
    schema = Tank.schema.model_copy(update={"variables": (level, level.model_copy(update={"name": "flow"}))})
    values = np.tile(np.array(list(crps.values()))[:, None, None, :], (1, 5, 2, 1))
    values[0] *= 1 + np.array(wobble)[:, None, None]
    levels = np.zeros((3, *values.shape))
    return Evaluation(
        tuple(crps), schema, "pyarrow", np.array([1.0, 2.0]), tuple("abcde"), values, values, values, levels, levels
    )


def test_the_verdict_is_against_the_best_baseline_of_each_quantity() -> None:
    found = evaluation(
        {"foreworld": [1.0, 2.0], "persistence": [4.0, 1.0], "ridge-ARX": [2.0, 3.0], "field": [3.0, 1.99]}
    )
    assert telling._verdict(found, 0) == (
        "better than those of the best baseline, ridge-ARX: CRPS over 2 min is 50% lower, "
        "and 75% lower than that of persistence"
    )
    assert telling._verdict(found, 1) == (
        "no better than those of the best baseline, persistence: CRPS over 2 min is 100% higher"
    )
    close = evaluation({"foreworld": [1.0, 1.0], "persistence": [1.0, 1.0]}, wobble=(-0.3, 0.2, -0.3, 0.2, 0.1))
    assert "not clearly better than" in telling._verdict(close, 0)


def test_a_deed_is_the_first_change_of_a_plan() -> None:
    data = collect(Tank(), instances=["small#000"], steps=20, seed=0)

    def cases(plan: list[float]) -> Cases:
        time = 20.0 + np.arange(1, 4)[None]
        return Cases(
            data, Plan(time, np.array(plan, float)[None, :, None], np.empty((1, 3, 0))), np.zeros((1, 3, 1)), ("a",)
        )

    assert telling.deed(cases([0, 0, 0]), cases([0, 1, 1]), 0) == "valve=0"
    assert telling.deed(cases([0, 0.5, 1]), cases([0, 1, 1]), 0) == "valve@1=0.5"


@pytest.mark.parametrize(
    ("noun", "several"),
    [("patient", "patients"), ("city", "cities"), ("day", "days"), ("box", "boxes"), ("years", "years")],
)
def test_nouns_have_a_plural(noun: str, several: str) -> None:
    assert telling.plural(noun) == several
