import json
import subprocess
import sys

import pytest

import foreworld

HEAVY = {"torch", "numpy", "pandas", "polars", "pyarrow", "narwhals", "scipy", "matplotlib", "xarray", "jaxtyping"}
# Typer needs these, so that the command line cannot do without.
LIGHT = {"pydantic", "typer", "rich"}
COMMANDS = ("fit", "evaluate", "imagine", "recall", "effect", "rank", "show", "domains", "collect", "demo")


def heavy_after(code: str) -> set[str]:
    """Packages to be avoided that a fresh process has imported after some code."""
    program = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return (HEAVY | LIGHT) & set(json.loads(done.stderr))


def test_importing_foreworld_imports_nothing_heavy() -> None:
    assert heavy_after("import foreworld; foreworld.__version__; dir(foreworld); foreworld.ForeworldError") == set()


@pytest.mark.parametrize("words", [[], *([command] for command in COMMANDS)])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"""
sys.argv = ["foreworld", *{words}, "--help"]
from foreworld.cli import main
try:
    main()
except SystemExit as stop:
    assert stop.code == 0
"""
    assert heavy_after(code) <= LIGHT


def test_a_command_line_that_cannot_be_read_imports_nothing_heavy() -> None:
    code = """
sys.argv = "foreworld fit t.csv --id a --time b --observe c --bounds c=hot --out m".split()
from foreworld.cli import main
sys.stderr, kept = open("/dev/null", "w"), sys.stderr
try:
    main()
except SystemExit as stop:
    assert stop.code == 2
sys.stderr = kept
"""
    assert heavy_after(code) <= LIGHT


def test_every_public_name_is_there() -> None:
    assert set(foreworld.__all__) <= set(dir(foreworld))
    for name in foreworld.__all__:
        assert getattr(foreworld, name) is getattr(foreworld, name)
    with pytest.raises(AttributeError, match="no attribute 'WorldModle'"):
        _ = foreworld.WorldModle  # type: ignore[attr-defined]
