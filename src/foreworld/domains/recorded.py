"""What the domains share that have no simulator: tables that come inside an installed package."""

import csv
import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from foreworld.errors import MissingExtraError


def columns(what: str, package: str, *path: str) -> dict[str, list[str]]:
    """The columns of a CSV table (`.gz` too) of an installed package, as text. The package itself is not imported.

    Args:
        what: what needs the table, for the error.
        package, path: where it is.

    Raises:
        MissingExtraError: the package is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(what, "data")
    place = Path(spec.submodule_search_locations[0], *path)
    content = gzip.decompress(place.read_bytes()) if place.suffix == ".gz" else place.read_bytes()
    names, *rows = csv.reader(content.decode().splitlines())
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def numbers(values: list[str]) -> Float64[np.ndarray, " row"]:
    """Text as numbers; what is missing (empty or `NA`) is NaN."""
    return np.array([float(value) if value not in ("", "NA") else np.nan for value in values])


def walk_forward(count: int, seed: int, parts: int = 5) -> tuple[slice, slice]:
    """Places in time to learn from and to be tested on: part `seed` of the later half, and all that comes before it."""
    part = seed % parts
    first, last = (count // 2 + (count - count // 2) * place // parts for place in (part, part + 1))
    return slice(0, first), slice(first, last)
