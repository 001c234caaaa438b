import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest

from foreworld.domains import registry
from foreworld.domains.base import Domain, Recorded
from foreworld.errors import QuestionError

from ..documented import blocks


def needed(name: str, found: set[str]) -> set[str]:
    """A distribution and all that it cannot do without, of what is installed."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key not in found:
        found.add(key)
        try:
            wanted = requires(name) or []
        except PackageNotFoundError:
            return found
        for line in wanted:
            if "extra ==" not in line:
                needed(re.split(r"[^\w.-]", line, maxsplit=1)[0], found)
    return found


@pytest.fixture(scope="module")
def bare() -> dict[str, dict[str, Any]]:
    """Each built-in domain where nothing is installed but what foreworld always needs, in a process of its own."""
    kept = needed("foreworld", set())
    blocked = [
        package
        for package, names in packages_distributions().items()
        if package.isidentifier() and not any(re.sub(r"[-_.]+", "-", name).lower() in kept for name in names)
    ]
    program = f"""
import json, sys
sys.modules.update(dict.fromkeys({blocked!r}))
from dataclasses import asdict
from foreworld.domains import registry
found = {{}}
for name in registry.BUILT_IN:
    answer = {{"about": None, "made": False, "error": ""}}
    try:
        answer["about"] = asdict(registry.about(name))
        registry.create(name)
        answer["made"] = True
    except Exception as error:
        answer["error"] = f"{{type(error).__name__}}: {{error}}"
    found[name] = answer
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_what_is_built_in_can_be_described_by_anybody(name: str, bare: dict[str, dict[str, Any]]) -> None:
    found = bare[name]
    assert found["about"] is not None, found["error"]
    assert found["about"]["name"] == name
    extra = found["about"]["extra"]
    assert found["made"] == (not extra), found["error"]
    if extra:
        assert (
            found["error"].startswith("MissingExtraError: ") and f"pip install 'foreworld[{extra}]'" in found["error"]
        )


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_what_is_built_in_is_a_domain(name: str) -> None:
    made = registry.create(name)
    assert isinstance(made, Domain) != isinstance(made, Recorded)
    assert made.about == registry.about(name)


def test_a_name_that_is_not_there_gets_the_nearest_one() -> None:
    with pytest.raises(QuestionError, match="no domain 'glucos'; .*did you mean 'glucose'"):
        registry.create("glucos")


def test_the_facts_are_those_of_the_installed_package() -> None:
    facts, package = registry.facts("glucose"), distribution("simglucose")
    assert (facts["installed"], facts["version"], facts["licence"]) == (True, package.version, "MIT")
    on_disk = sum(Path(str(file.locate())).stat().st_size for file in package.files or () if file.size is not None)
    assert facts["bytes"] == on_disk > 50_000


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that packages are installed into."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(site: Path, package: str, code: str, entry: str) -> None:
    """A package of one module, with the metadata that pip would write for its entry point."""
    (site / f"{package}.py").write_text(code)
    metadata = site / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{entry}\n")


def test_an_installed_package_adds_the_domain_of_the_documentation(site: Path) -> None:
    (declared,) = (block for block in blocks("toml") if registry.GROUP in block)
    install(site, "tanks", blocks("python")[0], declared.splitlines()[1].replace('"', ""))
    assert set(registry.names()) == {*registry.BUILT_IN, "tank"}
    assert type(registry.create("tank")).__name__ == "Tank"
    facts = registry.facts("tank")
    assert (facts["installed"], facts["version"], facts["bytes"]) == (True, "", None)


def test_a_package_may_not_take_the_name_of_a_built_in_domain(site: Path) -> None:
    install(site, "impostor", "class Glucose: pass\n", "glucose = impostor:Glucose")
    assert type(registry.create("glucose")).__module__ == "foreworld.domains.glucose"


@pytest.mark.parametrize("code", ["import nowhere\n", "class Other: pass\n", "class Reactor\n"])
def test_a_broken_package_is_named(site: Path, code: str) -> None:
    package = f"broken{abs(hash(code))}"
    install(site, package, code, f"reactor = {package}:Reactor")
    with pytest.raises(QuestionError, match=rf"the domain 'reactor' \({package}:Reactor\) cannot be imported"):
        registry.about("reactor")
