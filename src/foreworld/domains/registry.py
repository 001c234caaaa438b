"""The domains there are: those that come with foreworld, and those that installed packages add by an entry point.

A package adds a domain with `[project.entry-points."foreworld.domains"]` and `name = "package.module:Class"`; the class
takes no arguments and follows `foreworld.domains.base.Domain`.
"""

import difflib
from importlib.metadata import EntryPoint, entry_points

from foreworld.domains.base import About, Domain
from foreworld.errors import QuestionError

GROUP = "foreworld.domains"
BUILT_IN = {"glucose": "foreworld.domains.glucose:Glucose"}


def names() -> tuple[str, ...]:
    """The domains by name; none of them is imported."""
    return tuple(sorted(_entries()))


def about(name: str) -> About:
    """What a domain is; its simulator need not be installed.

    Raises:
        QuestionError: there is no such domain.
    """
    return _entry(name).load().about


def create(name: str) -> Domain:
    """A new instance of a domain.

    Raises:
        QuestionError: there is no such domain.
        MissingExtraError: its simulator is not installed.
    """
    return _entry(name).load()()


def _entries() -> dict[str, EntryPoint]:
    built_in = {name: EntryPoint(name, path, GROUP) for name, path in BUILT_IN.items()}
    return {entry.name: entry for entry in entry_points(group=GROUP)} | built_in


def _entry(name: str) -> EntryPoint:
    entries = _entries()
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise QuestionError(f"no domain '{name}'; there are {', '.join(sorted(entries))}{hint}")
    return entries[name]
