"""Files and folders that are there whole or not at all, whatever fails and whenever the process dies.

Everything is written beside its place, flushed to the disk, and then moved there in one step. One writer at a time
works in a folder; what a killed one left beside its target is cleared away by the next.
"""

import ctypes
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from foreworld.errors import ArtifactError


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write one file whole, or leave what was there.

    Raises:
        ArtifactError: the file cannot be written.
    """
    path = Path(path).resolve()
    temp = _temp(path)
    with _reported(path), _locked(path.parent):
        try:
            _write_synced(temp, data)
            os.replace(temp, path)
        finally:
            with suppress(OSError):
                temp.unlink(missing_ok=True)
        _sync_folder(path.parent)


def write_folder(folder: str | Path, contents: Mapping[str, bytes], may_replace: Callable[[Path], None]) -> None:
    """Write a flat folder of files whole, or leave what was there.

    Args:
        folder: where; what is there is replaced in one step on Linux, and in three renames where the system has no
            exchange: a kill between those leaves the old folder aside until the next save puts it back.
        contents: by file name.
        may_replace: called with the folder; raises if what is there must stay.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    folder = Path(folder).resolve()
    temp = _temp(folder)
    with _reported(folder), _locked(folder.parent):
        _recover(folder)
        may_replace(folder)
        try:
            os.mkdir(temp)
            for name, content in contents.items():
                _write_synced(temp / name, content)
            _sync_folder(temp)
            _put(temp, folder)
        finally:
            # What cannot be removed now is removed by the next save.
            with suppress(OSError):
                _remove(temp)


def remove_folder(folder: str | Path, may_remove: Callable[[Path], None]) -> None:
    """Remove a flat folder, if it is there.

    Args:
        folder: where.
        may_remove: called with the folder; raises if what is there must stay.

    Raises:
        ArtifactError: the folder cannot be removed.
    """
    folder = Path(folder).resolve()
    if not folder.parent.is_dir():
        return
    with _reported(folder, "removed"), _locked(folder.parent):
        may_remove(folder)
        _recover(folder)
        _remove(folder)


@contextmanager
def _reported(path: Path, what: str = "written") -> Iterator[None]:
    """Turn a failure of the system into an error that names what was to be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be {what}: {error.strerror or error}") from error


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time in a folder; the lock ends with the process and leaves nothing behind."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems have no locks; there, two savers of one name at once are not kept apart.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _put(temp: Path, folder: Path) -> None:
    """Move a complete folder into place, and what was there to `temp`; on any failure all is as before."""
    move = _exchange if folder.exists() else os.rename
    move(temp, folder)
    try:
        _sync_folder(folder.parent)
    except OSError:
        move(folder, temp)
        raise


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders in one step where the system can, else in three renames, undone if one fails."""
    if _renameat2_exchange(one, other):
        return
    aside = _aside(other)
    steps, done = [(other, aside), (one, other), (aside, one)], []
    try:
        for source, target in steps:
            os.rename(source, target)
            done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            os.rename(target, source)
        raise


def _renameat2_exchange(one: Path, other: Path) -> bool:
    """Linux's renameat2(2) with RENAME_EXCHANGE; false where the system or the file system has none."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2
    return renameat2 is not None and renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def _temp(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.foreworld-new")


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.foreworld-old")


def _recover(folder: Path) -> None:
    """Clear away what a writer that was killed left beside a folder."""
    if _aside(folder).exists() and not folder.exists():
        os.rename(_aside(folder), folder)
    _remove(_aside(folder))
    _remove(_temp(folder))


def _remove(folder: Path) -> None:
    if folder.exists():
        for name in os.listdir(folder):
            os.unlink(folder / name)
        os.rmdir(folder)
