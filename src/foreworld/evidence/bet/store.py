"""Simulated episodes and cases on disk, since every contender sees the same ones and some simulators take minutes."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from foreworld.artifacts import bytes_to_tensors, tensors_to_bytes
from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Cases, Plan
from foreworld.data.schema import Schema
from foreworld.durable import write_bytes

PARTS = ("time", "observations", "actions", "static", "known_future", "pending")


class Store:
    """A folder of what was simulated, by what decides it.

    Args:
        folder: where; made when it is first needed.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def episodes(self, key: tuple[Any, ...], schema: Schema, make: Callable[[], Episodes]) -> Episodes:
        """Episodes with this key, simulated if they are not here yet."""
        path = self._path(key)
        if not path.exists():
            self._write(path, _pack(make()))
        return _unpack(self._read(path), schema)

    def cases(self, key: tuple[Any, ...], schema: Schema, make: Callable[[], Cases]) -> Cases:
        """Cases with this key, simulated if they are not here yet."""
        path = self._path(key)
        if not path.exists():
            made = make()
            plan = {f"plan.{name}": value for name, value in vars(made.plan).items()}
            whole = _pack(made.histories) | plan | {"truth": made.truth, "group": _words([str(g) for g in made.group])}
            self._write(path, whole)
        arrays = self._read(path)
        plan = Plan(*(arrays[f"plan.{name}"] for name in ("time", "actions", "known_future")))
        return Cases(_unpack(arrays, schema), plan, arrays["truth"], tuple(_said(arrays["group"])))

    def _path(self, key: tuple[Any, ...]) -> Path:
        digest = hashlib.sha256(json.dumps(key, default=str).encode()).hexdigest()[:20]
        return self.folder / f"{digest}.safetensors"

    def _write(self, path: Path, arrays: dict[str, np.ndarray]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, tensors_to_bytes(arrays))

    def _read(self, path: Path) -> dict[str, np.ndarray]:
        return bytes_to_tensors(path.read_bytes(), str(path))


def _words(texts: list[str]) -> np.ndarray:
    """Texts as an array of bytes, since tensors are all that the file can hold."""
    return np.frombuffer(json.dumps(texts).encode(), np.uint8)


def _said(array: np.ndarray) -> list[str]:
    return json.loads(array.tobytes())


def _pack(data: Episodes) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {
        "lengths": np.array([len(episode.time) for episode in data]),
        "ids": _words([str(episode.id) for episode in data]),
        "static": np.stack([episode.static for episode in data]),
        "pending": np.stack([episode.pending for episode in data]),
    }
    for name in ("time", "observations", "actions", "known_future"):
        arrays[name] = np.concatenate([getattr(episode, name) for episode in data])
    return arrays


def _unpack(arrays: Any, schema: Schema) -> Episodes:
    lengths = arrays["lengths"]
    whole = {name: arrays[name] for name in PARTS}
    ends = np.cumsum(lengths)
    acted = np.cumsum(lengths - 1)
    found = []
    for index, (id, length) in enumerate(zip(_said(arrays["ids"]), lengths.tolist(), strict=True)):
        rows = slice(ends[index] - length, ends[index])
        found.append(
            Episode(
                id=id,
                time=whole["time"][rows],
                observations=whole["observations"][rows],
                actions=whole["actions"][acted[index] - length + 1 : acted[index]],
                static=whole["static"][index],
                known_future=whole["known_future"][rows],
                pending=whole["pending"][index],
            )
        )
    return Episodes(schema, tuple(found))
