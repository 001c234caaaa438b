"""Results that are kept cell by cell, a seed or a name and a seed each: what is there is not run again."""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path


def command_line(description: str | None, names: str | None = None) -> argparse.ArgumentParser:
    """A command line that takes seeds, and names where `names` says which."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if names is not None:
        parser.add_argument("names", nargs="*", help=names)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(5)))
    return parser


def by_seed(folder: Path, seeds: Iterable[int], run: Callable[[int], dict]) -> list[dict]:
    """Run the seeds that are missing, and return all that there are."""
    for seed in seeds:
        cached(folder / f"seed{seed}.json", lambda seed=seed: run(seed))
    return [json.loads(path.read_text()) for path in sorted(folder.glob("seed*.json"))]


def cached(path: Path, make: Callable[[], dict]) -> dict:
    """What the file says, and where there is none, what is made for it."""
    if not path.exists():
        made = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(made, indent=1) + "\n")
    return json.loads(path.read_text())


def fill(folder: Path, names: Iterable[str], seeds: Iterable[int], run: Callable[[str, int], dict]) -> None:
    """Run the cells that are missing, seed by seed, so that a run that is stopped has whole tables."""
    names = list(names)
    for seed in seeds:
        for name in names:
            cached(folder / f"{name}-{seed}.json", lambda name=name, seed=seed: run(name, seed))


def gather(folder: Path, names: Sequence[str]) -> dict[str, list[dict]]:
    """The cells of each name that has any."""
    found = {
        name: [json.loads(path.read_text()) for path in sorted(folder.glob(f"{name}-[0-9]*.json"))] for name in names
    }
    return {name: cells for name, cells in found.items() if cells}


def publish(folder: Path, table: str) -> None:
    """Write the table beside its cells, and show it."""
    folder.with_suffix(".md").write_text(table)
    print(table)
