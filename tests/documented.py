"""The example of docs/domains.md, as it stands there."""

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "domains.md"


def blocks(language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def tank_class() -> Any:
    """The domain that the page adds."""
    names: dict[str, Any] = {"__name__": "tanks"}
    exec(compile(blocks("python")[0], str(PAGE), "exec"), names)
    return names["Tank"]
