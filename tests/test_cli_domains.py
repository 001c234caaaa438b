"""The commands about domains, as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from foreworld.cli import app
from foreworld.domains import registry

from .documented import blocks
from .domains.test_registry import install

HEAVY = {"torch", "pandas", "polars", "pyarrow", "scipy", "matplotlib", "xarray"}
SIMULATORS = {
    "simglucose",
    "fair",
    "arch",
    "skfolio",
    "tep_studio",
    "pybamm",
    "gymnasium",
    "mujoco",
    "pams",
    "statsmodels",
}


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def tanks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the package of the documentation and a broken one, of which the path knows."""
    install(tmp_path, "tanks", blocks("python")[0], "tank = tanks:Tank")
    install(tmp_path, "broken", "import nowhere\n", "reactor = broken:Reactor")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("tanks")
def test_a_package_of_somebody_else_is_listed_and_a_broken_one_hides_nothing() -> None:
    told = run("domains", "--json")
    assert told.exit_code == 0
    found = {fact["name"]: fact for fact in json.loads(told.stdout)}
    assert set(found) == {*registry.BUILT_IN, "tank"}
    assert set(found["tank"]) >= {"field", "summary", "source", "version", "licence", "bytes", "extra", "installed"}
    assert "left out: the domain 'reactor' (broken:Reactor) cannot be imported" in told.stderr
    shown = run("domains").stdout
    assert "tank (engineering): level of 20 leaking tanks behind a valve" in shown
    assert "package  simglucose 0.2.11" in shown and "licence  MIT" in shown


def test_a_package_that_is_missing_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise registry.PackageNotFoundError(name)

    monkeypatch.setattr(registry, "distribution", gone)
    shown = run("domains").stdout
    assert "package  simglucose is not installed: pip install 'foreworld[glucose]'" in shown


def test_listing_imports_no_simulator_and_nothing_heavy() -> None:
    program = """
import json, sys
from foreworld.cli import app
try:
    app(["domains"])
except SystemExit as stop:
    assert not stop.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (HEAVY | SIMULATORS) & set(json.loads(done.stderr)) == set()


def test_a_missing_simulator_is_one_line_that_says_what_to_install(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["simglucose"] = None
from foreworld.cli import app
app(["collect", "glucose", "--out", sys.argv[1]])
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.csv")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the glucose domain needs an optional part: pip install 'foreworld[glucose]'\n"
    assert not list(tmp_path.iterdir())


def test_the_engine_does_not_change_the_table(tanks: Path) -> None:
    words = ["collect", "tank", "--steps", "30", "--episodes", "2", "--out"]
    assert run(*words, tanks / "serial.csv").exit_code == 0
    assert run(*words, tanks / "process.csv", "--engine", "process", "--workers", "2").exit_code == 0
    assert (tanks / "serial.csv").read_bytes() == (tanks / "process.csv").read_bytes()
    refused = run(*words, tanks / "other.csv", "--engine", "spark")
    assert (refused.exit_code, refused.stderr) == (2, "error: no engine 'spark'; there are serial, process, ray\n")


def test_what_is_recorded_cannot_be_collected(tanks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from foreworld.data.episodes import Episodes

    class Recording:
        about = schema = study = None
        baselines = {}

        def split(self, seed: int) -> tuple[Episodes, Episodes]:
            raise NotImplementedError

    monkeypatch.setattr(registry, "create", lambda name: Recording())
    refused = run("collect", "tank", "--out", tanks / "a.csv")
    assert refused.exit_code == 2
    assert "'tank' is recorded and cannot be simulated: foreworld demo tank shows it" in refused.stderr
