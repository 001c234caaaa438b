"""Results that are kept cell by cell, a name and a seed each: what is there is not run again."""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path


def command_line(description: str | None, names: str) -> argparse.ArgumentParser:
    """A command line that takes names and seeds; `names` says which."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=names)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(5)))
    return parser


def fill(folder: Path, names: Iterable[str], seeds: Iterable[int], run: Callable[[str, int], dict]) -> None:
    """Run the cells that are missing, seed by seed, so that a run that is stopped has whole tables."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(names)
    for seed in seeds:
        for name in names:
            path = folder / f"{name}-{seed}.json"
            if not path.exists():
                path.write_text(json.dumps(run(name, seed)))


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
