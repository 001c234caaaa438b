import errno
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from foreworld import durable
from foreworld.artifacts import MANIFEST, read_artifact, write_artifact
from foreworld.durable import write_bytes
from foreworld.errors import ArtifactError

OLD = {"config.json": b'{"run": "old"}', "model.safetensors": bytes(range(256)) * 40}
NEW = {"config.json": b'{"run": "the new one"}', "README.md": b"# card\n"}
CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir")

# Saves version after version, each one's files all holding its number, and says when the first is there.
SAVER = """
import itertools, sys
from foreworld.artifacts import write_artifact
for number in itertools.count(int(sys.argv[2])):
    content = b"%d" % number * 50_000
    write_artifact(sys.argv[1], {name: content for name in ("a", "b", "c")}, "model", {"number": number})
    print(number, flush=True)
"""


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, nth: int, code: int) -> Iterator[list[str]]:
    """Make the nth call to the file system fail; yields the names of the calls made.

    The first is the making of the parent folder, which is there already, so that its failure says nothing.
    """
    calls: list[str] = []

    def wrap(module: object, name: str) -> None:
        real: Callable = getattr(module, name)

        def counted(*args: object, **kwargs: object) -> object:
            calls.append(name)
            if len(calls) == nth:
                raise OSError(code, os.strerror(code))
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    with monkeypatch.context() as monkeypatch:
        for name in CALLS:
            wrap(os, name)
        if durable._renameat2_exchange.__name__ != "<lambda>":
            wrap(durable, "_renameat2_exchange")
        yield calls


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("before", ["nothing", "an artifact", "an artifact, on a system without exchange"])
def test_whichever_call_fails_the_artifact_before_is_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, code: int
) -> None:
    folder = tmp_path / "models" / "t1d"
    folder.parent.mkdir()
    if "without" in before:
        monkeypatch.setattr(durable, "_renameat2_exchange", lambda one, other: False)
    if before != "nothing":
        write_artifact(folder, OLD, "model", {})
    manifest = (folder / MANIFEST).read_bytes() if before != "nothing" else b""
    for nth in itertools.count(2):
        with failing(monkeypatch, nth, code) as calls:
            try:
                write_artifact(folder, NEW, "model", {})
            except ArtifactError as error:
                assert str(folder) in str(error)
                assert os.strerror(code) in str(error)
            else:
                assert nth == len(calls) + 1 > 10, "every call failed once"
                break
        if before == "nothing":
            assert os.listdir(folder.parent) == []
        else:
            assert os.listdir(folder.parent) == ["t1d"]
            assert read_artifact(folder, "model") == OLD
            assert (folder / MANIFEST).read_bytes() == manifest
    assert read_artifact(folder, "model") == NEW
    assert os.listdir(folder.parent) == ["t1d"]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_whichever_call_fails_a_file_is_the_old_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = tmp_path / "future.parquet"
    for nth in itertools.count(2):
        path.write_bytes(b"old")
        with failing(monkeypatch, nth, code) as calls:
            try:
                write_bytes(path, b"the new one")
            except ArtifactError as error:
                assert str(path) in str(error)
            else:
                break
        # Only the flush after the rename may fail with the new contents in place.
        assert path.read_bytes() == (b"the new one" if "replace" in calls[:-1] else b"old")
        assert os.listdir(tmp_path) == ["future.parquet"]
    assert path.read_bytes() == b"the new one"


def test_writes_that_the_system_cuts_short_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    write_artifact(tmp_path / "a", OLD, "model", {})
    assert read_artifact(tmp_path / "a", "model") == OLD


def numbers(folder: Path) -> set[int]:
    files = read_artifact(folder, "model")
    assert sorted(files) == ["a", "b", "c"]
    assert len(set(files.values())) == 1
    content = files["a"].decode()
    return {int(content[: len(content) // 50_000])}


def test_killed_in_a_save_the_newest_whole_artifact_loads(tmp_path: Path) -> None:
    folder = tmp_path / "t1d"
    luck = random.Random(0)
    last = 0
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", SAVER, folder, str(last + 1)], stdout=subprocess.PIPE) as saver:
            assert saver.stdout is not None
            saver.stdout.readline()
            time.sleep(luck.uniform(0, 0.05))
            saver.kill()
            said = [last + 1, *(int(line) for line in saver.stdout if line.endswith(b"\n"))]
        (found,) = numbers(folder)
        # The artifact is in place before its number is said.
        assert found in (said[-1], said[-1] + 1)
        assert len(os.listdir(tmp_path)) <= 2
        last = found
    write_artifact(folder, OLD, "model", {})
    assert os.listdir(tmp_path) == ["t1d"]


def test_readers_and_savers_at_once_see_whole_artifacts_only(tmp_path: Path) -> None:
    folder = tmp_path / "t1d"
    savers = [
        subprocess.Popen([sys.executable, "-c", SAVER, folder, str(first)], stdout=subprocess.PIPE)
        for first in (1, 1_000_001)
    ]
    try:
        for saver in savers:
            assert saver.stdout is not None
            saver.stdout.readline()
        end = time.monotonic() + 1.5
        seen: set[int] = set()
        while time.monotonic() < end:
            seen |= numbers(folder)
    finally:
        for saver in savers:
            saver.kill()
            saver.communicate()
    assert len({number > 1_000_000 for number in seen}) == 2


@pytest.mark.parametrize("moves", [1, 2])
def test_what_a_kill_between_renames_leaves_is_put_right_by_the_next_save(tmp_path: Path, moves: int) -> None:
    folder = tmp_path / "t1d"
    write_artifact(folder, OLD, "model", {})
    temp, aside = durable._temp(folder), durable._aside(folder)
    temp.mkdir()
    (temp / "half").write_bytes(b"written")
    for source, target in [(folder, aside), (temp, folder)][:moves]:
        source.rename(target)
    if moves == 2:
        (folder / "half").unlink()
    write_artifact(folder, NEW, "model", {})
    assert read_artifact(folder, "model") == NEW
    assert os.listdir(tmp_path) == ["t1d"]
