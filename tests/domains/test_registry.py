from pathlib import Path

import pytest

from foreworld.domains import registry
from foreworld.errors import QuestionError


def test_what_is_built_in_can_be_named_described_and_made() -> None:
    assert "glucose" in registry.names()
    for name in registry.BUILT_IN:
        assert registry.about(name).name == name
        domain = registry.create(name)
        assert domain.about == registry.about(name)
        assert domain.policies and domain.instances


def test_a_name_that_is_not_there_gets_the_nearest_one() -> None:
    with pytest.raises(QuestionError, match="no domain 'glucos'; .*did you mean 'glucose'"):
        registry.create("glucos")


def test_an_installed_package_adds_a_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reactors.py").write_text(
        "from foreworld.domains.glucose import Glucose\nclass Reactor(Glucose): pass\n"
    )
    metadata = tmp_path / "reactors-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: reactors\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[foreworld.domains]\nreactor = reactors:Reactor\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.names() == ("glucose", "reactor")
    assert type(registry.create("reactor")).__name__ == "Reactor"
