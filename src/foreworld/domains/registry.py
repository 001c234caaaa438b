"""The domains there are: those that come with foreworld, and those that installed packages add by an entry point.

A package adds a domain with `[project.entry-points."foreworld.domains"]` and `name = "package.module:Class"`; the class
takes no arguments and follows `foreworld.domains.base.Domain` or `Recorded`; `docs/domains.md` has an example.
"""

import difflib
from dataclasses import asdict
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from typing import Any

from foreworld.domains.base import About, Domain, Recorded
from foreworld.errors import QuestionError

GROUP = "foreworld.domains"
BUILT_IN = {
    "anaesthesia": "foreworld.domains.anaesthesia:Anaesthesia",
    "battery": "foreworld.domains.battery:Battery",
    "cgm": "foreworld.domains.cgm:Cgm",
    "emissions": "foreworld.domains.emissions:Emissions",
    "glucose": "foreworld.domains.glucose:Glucose",
    "hiv": "foreworld.domains.hiv:Hiv",
    "hiv-trial": "foreworld.domains.hiv_trial:HivTrial",
    "icu-sepsis": "foreworld.domains.icu_sepsis:IcuSepsis",
    "index": "foreworld.domains.index:Index",
    "kitchen": "foreworld.domains.kitchen:Kitchen",
    "macro": "foreworld.domains.macro:Macro",
    "market": "foreworld.domains.market:Market",
    "maze": "foreworld.domains.maze:Maze",
    "process": "foreworld.domains.process:Process",
    "sepsis": "foreworld.domains.sepsis:Sepsis",
    "tumour": "foreworld.domains.tumour:Tumour",
    "weather": "foreworld.domains.weather:Weather",
}


def names() -> tuple[str, ...]:
    """The domains by name; none of them is imported."""
    return tuple(sorted(_entries()))


def about(name: str) -> About:
    """What a domain is; its simulator need not be installed.

    Raises:
        QuestionError: there is no such domain, or the package that adds it is broken.
    """
    return _load(name).about


def create(name: str) -> Domain | Recorded:
    """A new instance of a domain.

    Raises:
        QuestionError: there is no such domain, or the package that adds it is broken.
        MissingExtraError: its simulator is not installed.
    """
    return _load(name)()


def simulator(name: str) -> Domain:
    """A new instance of a domain that can be simulated.

    Raises:
        QuestionError: as `create`, or it is recorded and cannot be simulated.
        MissingExtraError: its simulator is not installed.
    """
    domain = create(name)
    if not isinstance(domain, Domain):
        raise QuestionError(f"'{name}' is recorded and cannot be simulated: foreworld demo {name} shows it")
    return domain


def facts(name: str) -> dict[str, Any]:
    """What a domain is, as in `About`, and of its package: whether it is installed, the version, the size in bytes.

    A domain whose equations are here is installed, and has neither version nor size of its own.
    """
    what = about(name)
    found: dict[str, Any] = asdict(what) | {"installed": not what.distribution, "version": "", "bytes": None}
    if what.distribution:
        try:
            package = distribution(what.distribution)
        except PackageNotFoundError:
            return found
        sizes = [file.size for file in package.files or () if file.size is not None]
        found |= {"installed": True, "version": package.version, "bytes": sum(sizes) if sizes else None}
    return found


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


def _load(name: str) -> Any:
    entry = _entry(name)
    try:
        return entry.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise QuestionError(f"the domain '{name}' ({entry.value}) cannot be imported: {error}") from error
