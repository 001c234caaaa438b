import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from foreworld import cli_models
from foreworld.cli import app
from foreworld.data.frames import open_table

FIT = ["--id", "run", "--time", "minute", "--observe", "level", "--act", "valve", "--static", "size"]
QUANTILES = ["q05", "q10", "q25", "q50", "q75", "q90", "q95"]


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def done(*words: str | Path) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.stderr
    return result


def refused(*words: str | Path) -> str:
    """The one line that a command is refused with."""
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith("\n") and result.stderr[:-1].isprintable()
    return result.stderr[7:-1]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("small_defaults")
def test_the_two_commands_of_a_newcomer(tank_csv: Path, new_tanks: Path, workplace: Path) -> None:
    fitted = done("fit", tank_csv, *FIT, "--unit", "level=cm", "--bounds", "level=0:", "--out", "models/tank", "--json")
    card = json.loads(fitted.stdout)["card"]
    assert [variable["name"] for variable in card["schema"]["variables"]] == ["level", "valve", "size"]
    assert os.listdir(workplace / "models") == ["tank"]
    assert "foreworld imagine models/tank" in fitted.stderr

    done(
        "imagine",
        "models/tank",
        "--history",
        new_tanks,
        "--do",
        "valve=0",
        "--out",
        "future.parquet",
        "--plot",
        "f.png",
    )
    assert sorted(os.listdir(workplace)) == ["f.png", "future.parquet", "models"]
    assert (workplace / "f.png").read_bytes().startswith(b"\x89PNG")

    again = done("fit", tank_csv, *FIT, "--unit", "level=cm", "--bounds", "level=0:", "--out", "again")
    assert "level" in again.stdout
    for name in os.listdir(workplace / "again"):
        assert (workplace / "again" / name).read_bytes() == (workplace / "models" / "tank" / name).read_bytes(), name


def test_an_answer_has_the_users_columns_and_holds_together(tank_model: Path, new_tanks: Path, workplace: Path) -> None:
    words = ["imagine", tank_model, "--history", new_tanks, "--do", "valve=0.5", "--horizon", "4", "--samples", "50"]
    files = ["--out", "future.parquet", "--members", "members.csv"]
    printed = json.loads(done(*words, *files, "--json").stdout)
    future = pq.read_table(workplace / "future.parquet")
    assert future.column_names == ["run", "minute", "step", "variable", "mean", *QUANTILES, "unit", "supported"]
    assert future.to_pylist() == printed
    assert set(future["run"].to_pylist()) == {"tank 0", "tank 1"}
    assert future["minute"].to_pylist() == [150.0, 155.0, 160.0, 165.0] * 2
    assert future["step"].to_pylist() == [1, 2, 3, 4] * 2
    assert set(future["unit"].to_pylist()) == {"cm"}
    quantiles = np.stack([future[name].to_numpy() for name in QUANTILES])
    assert np.isfinite(quantiles).all() and (np.diff(quantiles, axis=0) >= 0).all() and (quantiles >= 0).all()

    members = open_table(workplace / "members.csv", ["run", "minute", "step", "variable", "member", "value"])
    values = np.array(members.columns["value"].to_pylist(), float).reshape(8, 50)
    assert np.allclose(values.mean(1), future["mean"].to_numpy(), rtol=1e-5)
    assert np.allclose(np.median(values, axis=1), quantiles[3], rtol=1e-5)


def test_what_is_done_decides_the_answer(tank_model: Path, new_tanks: Path) -> None:
    def mean(*deeds: str) -> list[float]:
        words = [word for deed in deeds for word in ("--do", deed)]
        rows = json.loads(done("imagine", tank_model, "--history", new_tanks, *words, "--json").stdout)
        return [row["mean"] for row in rows]

    closed = mean("valve=0")
    assert mean("valve=0") == closed
    assert mean("valve=1") != closed
    opened_late = mean("valve=0", "valve@10=1")
    assert opened_late[:2] == closed[:2] and opened_late[2] != closed[2]
    assert mean("valve=hold") == mean()


def test_evaluating_scores_the_model_beside_its_baselines(tank_model: Path, new_tanks: Path, workplace: Path) -> None:
    words = ["evaluate", tank_model, new_tanks, "--horizon", "3", "--samples", "20"]
    told = done(*words, "--out", "scores.csv")
    for name in ("foreworld", "persistence", "ridge-ARX"):
        assert name in told.stdout
    assert json.loads(done(*words, "--json").stdout)
    assert (workplace / "scores.csv").read_text().count("\n") > 3


def test_showing_a_model_says_what_it_is(tank_model: Path) -> None:
    told = done("show", tank_model).stdout
    for word in ("level", "cm", "valve", "action", "data"):
        assert word in told
    assert json.loads(done("show", tank_model, "--json").stdout)["about"]["episodes"] == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--do", "vavle=0"], "did you mean 'valve'"),
        (["--do", "valve"], "--do: 'valve' does not read NAME=VALUE"),
        (["--do", "valve=open"], "'open' is not a number"),
        (["--do", "valve@7=1"], "no step leaves at 7"),
        (["--do", "valve@2h=1"], "'@2h' is not a time from now"),
        (["--out", "future.xlsx"], "--out: 'future.xlsx' is not one of .parquet, .csv"),
        (["--plot", "future.doc"], "--plot: 'future.doc' is not one of .png, .svg, .pdf"),
        (["--future", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["--history", "nowhere.csv"], "nowhere.csv: there is no such file"),
    ],
)
def test_a_question_that_makes_no_sense_writes_nothing(
    tank_model: Path, new_tanks: Path, workplace: Path, words: list[str], said: str
) -> None:
    asked = ["imagine", tank_model, "--history", new_tanks, "--out", "future.parquet", "--members", "m.parquet", *words]
    assert said in refused(*asked)
    assert os.listdir(workplace) == []


def test_a_fit_that_cannot_be_writes_nothing(tank_csv: Path, workplace: Path) -> None:
    assert "no column 'levle'" in refused("fit", tank_csv, *FIT[:4], "--observe", "levle", "--out", "models/tank")
    assert "more than one role" in refused("fit", tank_csv, *FIT, "--act", "level", "--out", "models/tank")
    assert "no such file" in refused("fit", "nowhere.csv", *FIT, "--out", "models/tank")
    assert os.listdir(workplace) == []
    (workplace / "thesis").mkdir()
    (workplace / "thesis" / "chapter.tex").write_text("mine")
    assert "chapter.tex: in the way" in refused("fit", tank_csv, *FIT, "--out", "thesis")
    assert os.listdir(workplace) == ["thesis"]


def test_a_damaged_model_is_refused_by_the_name_of_the_file(tank_model: Path, new_tanks: Path, workplace: Path) -> None:
    for name in os.listdir(tank_model):
        shutil.rmtree("model", ignore_errors=True)
        shutil.copytree(tank_model, "model")
        data = bytearray((workplace / "model" / name).read_bytes())
        data[len(data) // 2] ^= 1
        (workplace / "model" / name).write_bytes(data)
        for words in (
            ["show", "model"],
            ["imagine", "model", "--history", new_tanks],
            ["evaluate", "model", new_tanks],
        ):
            assert f"model/{name}: altered" in refused(*words)
    assert "no such world-model" in refused("show", "elsewhere")


def test_control_characters_do_not_reach_the_terminal(tank_csv: Path) -> None:
    assert "\x1b" not in refused("fit", tank_csv, *FIT[:4], "--observe", "\x1b[31mlevel", "--out", "model")


def test_errors_that_are_not_the_users_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, tank_model: Path) -> None:
    def broken(path: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("foreworld.model.WorldModel.load", broken)
    with pytest.raises(ZeroDivisionError):
        run("show", tank_model)


def test_interrupted_training_says_so_and_keeps_its_state(tank_csv: Path, workplace: Path) -> None:
    command = [sys.executable, "-m", "foreworld", "fit", tank_csv, *FIT, "--out", "models/tank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as training:
        while not (workplace / "models" / "tank.unfinished").exists():
            assert training.poll() is None
            time.sleep(0.02)
        training.send_signal(signal.SIGINT)
        said = training.communicate(timeout=60)
    assert training.returncode == 130
    assert said == ("", "stopped; run the same command again to resume\n")
    assert os.listdir(workplace / "models") == ["tank.unfinished"]
    assert "--fresh" in refused("fit", tank_csv, *FIT, "--seed", "1", "--out", "models/tank")


@pytest.mark.usefixtures("small_defaults")
def test_fresh_discards_an_interrupted_run(tank_csv: Path, workplace: Path) -> None:
    from foreworld.artifacts import write_artifact

    write_artifact("model.unfinished", {"progress.json": b'{"run": "another"}'}, "checkpoint", {})
    assert "--fresh" in refused("fit", tank_csv, *FIT, "--out", "model")
    done("fit", tank_csv, *FIT, "--out", "model", "--fresh")
    assert os.listdir(workplace) == ["model"]


@pytest.mark.usefixtures("small_defaults")
def test_collecting_says_how_to_fit_what_was_collected(workplace: Path) -> None:
    words = ["collect", "glucose", "--instances", "adult#00*", "--days", "0.25", "--out", "data/glucose.csv"]
    collected = done(*words, "--json")
    assert json.loads(collected.stdout)["episodes"] == 9
    assert json.loads(done(*words[:-1], "again.csv", "--json").stdout)["rows"] == 9 * 73
    assert (workplace / "again.csv").read_bytes() == (workplace / "data" / "glucose.csv").read_bytes()
    command = shlex.split(collected.stderr.partition("\n")[2].replace("\\\n", ""))
    assert command[0] == "foreworld"
    schema = json.loads(done(*command[1:], "--json").stdout)["card"]["schema"]
    units = {variable["name"]: variable.get("unit") for variable in schema["variables"]}
    assert units["glucose"] == "mg/dL" and units["correction_factor"] == "mg/dL per U"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["glocose"], "did you mean 'glucose'"),
        (["glucose", "--policy", "wise"], "there is no 'wise' here; there are random, confounded"),
        (["glucose", "--instances", "dog*"], "there is no 'dog*' here"),
        (["glucose", "--days", "0.001"], "less than one step"),
        (["glucose", "--days", "1", "--steps", "2"], "give one of them"),
    ],
)
def test_a_collection_that_cannot_be_writes_nothing(workplace: Path, words: list[str], said: str) -> None:
    assert said in refused("collect", *words, "--out", "data.csv")
    assert os.listdir(workplace) == []


def test_the_domains_are_listed() -> None:
    assert "UVA/Padova" in done("domains").stdout
    assert "glucose" in [domain["name"] for domain in json.loads(done("domains", "--json").stdout)]


@pytest.mark.parametrize("name", ["fit", "evaluate", "imagine", "plan", "show", "domains", "collect", "demo"])
def test_help_shows_an_example(name: str) -> None:
    assert f"foreworld {name} " in done(name, "--help").stdout.partition("Example")[2] + " "


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert done("--version").stdout == f"foreworld {version('foreworld')}\n"
    assert cli_models.fit.__doc__
