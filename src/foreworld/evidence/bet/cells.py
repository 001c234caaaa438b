"""A cell: one contender, one seed, one piece of a question. It is run once, and kept with what it was run with."""

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from foreworld.durable import write_bytes
from foreworld.evidence.bet.scale import Scale

REVISION = 4  # of what a cell means; a higher one runs every cell anew
THREADS = 1  # that a cell is run with, whatever machine it runs on: several may run side by side


@dataclass(frozen=True)
class Cell:
    """What is run.

    Attributes:
        kind: `world` (questions 3 to 6), `map` (1), `mixing` (2), `cheaper` (7) or `tuning`.
        domain: the simulator, or a word for the system.
        contender: one of `contenders.names`.
        seed: of the split, of what is simulated and of training.
        variant: the piece: a policy, a place on the map, a budget.
    """

    kind: str
    domain: str
    contender: str
    seed: int
    variant: str = ""

    def document(self, scale: Scale) -> dict[str, Any]:
        """All that decides the result, but for the code."""
        return {
            "cell": asdict(self),
            "scale": scale.about(),
            "revision": REVISION,
            "torch": torch.__version__,
            "threads": THREADS,
        }

    def digest(self, scale: Scale) -> str:
        """A short hash of the document."""
        return hashlib.sha256(json.dumps(self.document(scale), sort_keys=True).encode()).hexdigest()[:16]

    def path(self, folder: Path, scale: Scale) -> Path:
        """Where the result is kept."""
        words = [self.kind, self.domain, self.contender, self.variant, str(self.seed), self.digest(scale)]
        name = "-".join("".join(c if c.isalnum() or c == "." else "_" for c in word) for word in words if word)
        return folder / "cells" / f"{name}.parquet"


def write(cell: Cell, scale: Scale, table: pa.Table, folder: Path) -> None:
    """Keep a result, whole or not at all."""
    path = cell.path(folder, scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = json.dumps(cell.document(scale), sort_keys=True).encode()
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"cell": facts, "hash": cell.digest(scale)}), buffer)
    write_bytes(path, buffer.getvalue())


def read(cell: Cell, scale: Scale, folder: Path) -> pa.Table | None:
    """A kept result, with columns that say which cell it is of; None if there is none."""
    path = cell.path(folder, scale)
    if not path.exists():
        return None
    table = pq.read_table(path).replace_schema_metadata(None)
    said = {"kind": cell.kind, "domain": cell.domain, "contender": cell.contender, "variant": cell.variant}
    for name, value in reversed(list(said.items())):
        table = table.add_column(0, name, pa.array([value] * len(table), pa.string()))
    table = table.append_column("seed", pa.array([cell.seed] * len(table), pa.int32()))
    return table.append_column("hash", pa.array([cell.digest(scale)] * len(table), pa.string()))
