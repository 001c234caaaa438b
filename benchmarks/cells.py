"""Results that are kept cell by cell, a seed or a name and a seed each: what is there is not run again.

Every cell says by which default model it was made. One of an earlier model is made again when it is asked for. Until
then its group (a domain, a setting) is shown by an earlier model if it has no cell of the present one, that which most
of its cells are of, and the table says so: no mean is over two models.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

MODEL = 5
"""Which default model this is: raised whenever defaults, networks, training or what corrects networks changes."""
WITHOUT = 0  # What no model had a part in.
KEPT = Path(__file__).parents[1] / "build" / f"model{MODEL}"
"""Where fitted models are kept, so that scoring can be repeated without fitting."""


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
    return together(folder, "seed*.json")


def cached(path: Path, make: Callable[[], dict], *, learnt: bool = True) -> dict:
    """What the file says; what is made for it, where there is none or it is of an earlier model.

    `learnt` is whether a model had a part in it.
    """
    age = MODEL if learnt else WITHOUT
    if not path.exists() or _age(path) != age:
        made = {"model": age, **make()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(made, indent=1) + "\n")
    return _cell(path)


def together(folder: Path, pattern: str = "*.json") -> list[dict]:
    """All cells: of each group those of the present model, or those of earlier ones if there is none."""
    found = []
    for paths in _groups(folder, pattern).values():
        present = [path for path in paths if _present(path)]
        found += [_cell(path) for path in present or _of_one_model(paths)]
    return found


def _of_one_model(paths: Sequence[Path]) -> list[Path]:
    """Those of the earlier model that most are of, of the later one where two have as many."""
    ages = [_age(path) or 0 for path in paths]
    chosen = max(set(ages), key=lambda age: (ages.count(age), age))
    return [path for path, age in zip(paths, ages, strict=True) if age == chosen]


def _groups(folder: Path, pattern: str) -> dict[str, list[Path]]:
    """Paths by what they are called but for the seed."""
    groups = defaultdict(list)
    for path in sorted(folder.glob(pattern)):
        groups[re.sub(r"-?(seed)?\d+$", "", path.stem)].append(path)
    return groups


def _present(path: Path) -> bool:
    return _age(path) in (MODEL, WITHOUT)


def _age(path: Path) -> int | None:
    return json.loads(path.read_text()).get("model")


def _cell(path: Path) -> dict:
    """What was made, without the stamp."""
    return {name: value for name, value in json.loads(path.read_text()).items() if name != "model"}


def fill(folder: Path, names: Iterable[str], seeds: Iterable[int], run: Callable[[str, int], dict]) -> None:
    """Run the cells that are missing, seed by seed, so that a run that is stopped has whole tables."""
    names = list(names)
    for seed in seeds:
        for name in names:
            cached(folder / f"{name}-{seed}.json", lambda name=name, seed=seed: run(name, seed))


def gather(folder: Path, names: Sequence[str]) -> dict[str, list[dict]]:
    """The cells of each name that has any."""
    found = {name: together(folder, f"{name}-[0-9]*.json") for name in names}
    return {name: cells for name, cells in found.items() if cells}


def publish(folder: Path, table: str) -> None:
    """Write the table beside its cells, with what in it is of an earlier model, and show it."""
    groups = _groups(folder, "*.json")
    old = [name for name, paths in groups.items() if not any(map(_present, paths))]
    if old:
        words = "all of this" if len(old) == len(groups) else ", ".join(name or "the seeds" for name in old)
        table = f"{table.rstrip()}\n\nMade by an earlier default model, and to be made again: {words}.\n"
    folder.with_suffix(".md").write_text(table)
    print(table)
