"""Nothing that reads a saved folder can run code from it: by the text of every module, and by watching one load."""

import ast
from pathlib import Path

import pytest

import foreworld

PACKAGE = Path(foreworld.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
PICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
RUNNERS = {"eval", "exec", "compile", "__import__"}
LOADERS = {
    *(f"torch.{name}" for name in ("load", "save", "hub.load", "jit.load", "package.PackageImporter")),
    *(f"{numpy}.{name}" for numpy in ("np", "numpy") for name in ("load", "save", "savez", "fromfile")),
    *(f"{pandas}.read_pickle" for pandas in ("pd", "pandas")),
    *(f"{yaml}.load" for yaml in ("yaml", "ruamel")),
}


def offences(source: str) -> list[str]:
    """Imports and calls that can run code from data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in PICKLERS]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = {f"{module}.{alias.name}" for alias in node.names}
            found += sorted(names & LOADERS) + ([module] if module.split(".")[0] in PICKLERS else [])
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            found += [called] if called in RUNNERS | LOADERS or called.endswith(".import_module") else []
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_can_run_code_from_data(path: Path) -> None:
    assert offences(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, dill as d",
        "from joblib.numpy_pickle import load",
        "def f():\n    from torch import load",
        "torch.load(path, weights_only=True)",
        "np.load('x.npy')",
        "x = eval(text)",
        "__import__('pickle')",
        "importlib.import_module(name)",
    ],
)
def test_the_check_above_finds_what_it_looks_for(source: str) -> None:
    assert offences(source) != []
    assert offences("model.eval()\nsafetensors.numpy.load(data)\nimport json") == []
