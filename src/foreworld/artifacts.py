"""Folders that can be trusted: complete or not there, and refused when a byte is not as it was written.

An artifact is a flat folder of files and a `manifest.json` with the size and SHA-256 of each, and of itself. A crash at
any moment leaves the artifact before or the one after (`foreworld.durable`); reading checks everything before it
returns anything. Nothing is ever unpickled. The checks find damage and mix-ups; they are no signature: whoever can
write the folder can write a matching manifest.
"""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from foreworld.durable import remove_folder, write_bytes, write_folder
from foreworld.errors import ArtifactError

__all__ = [
    "Manifest",
    "bytes_to_tensors",
    "ensure_replaceable",
    "read_artifact",
    "remove_artifact",
    "tensors_to_bytes",
    "write_artifact",
    "write_bytes",
]

MANIFEST = "manifest.json"
_MANIFEST_LIMIT = 1 << 22
_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sha256: str
    size: Annotated[int, Field(ge=0)]


class Manifest(BaseModel):
    """What an artifact says of itself.

    Attributes:
        format, version: mark the folder as one of ours, and how to read it.
        kind: what the folder holds, such as `model`.
        about: anything that JSON can hold, from the writer.
        files: size and SHA-256 of every file but the manifest.
        digest: SHA-256 of the canonical manifest without this entry.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["foreworld-artifact"]
    version: Literal[1]
    kind: str
    about: dict[str, Any]
    files: dict[_FileName, _File]
    digest: str


def write_artifact(folder: str | Path, files: Mapping[str, bytes], kind: str, about: Mapping[str, Any]) -> None:
    """Write an artifact whole, or leave what was there as it was.

    Args:
        folder: where. An artifact of foreworld there is replaced in one step (on Linux; elsewhere in three renames).
        files: contents by name; names are plain, without folders.
        kind: what the folder holds; reading asks for the same.
        about: JSON-able facts for the manifest.

    Raises:
        ArtifactError: the folder holds something that is not an artifact of ours, or cannot be written.
    """
    contents = {**files, MANIFEST: _manifest_bytes(files, kind, about)}
    write_folder(folder, contents, may_replace=ensure_replaceable)


def read_artifact(folder: str | Path, kind: str) -> dict[str, bytes]:
    """The files of an artifact, after every one of them was found to be as it was written.

    Raises:
        ArtifactError: naming the file that is missing, altered, not listed, or not a regular file.
    """
    while True:
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ArtifactError(f"{folder}: no such {kind}: {error.strerror}") from error
        try:
            return _read_checked(handle, Path(folder), kind)
        except ArtifactError:
            if not _was_replaced(handle, folder):
                raise
        finally:
            os.close(handle)


def remove_artifact(folder: str | Path) -> None:
    """Remove an artifact, if it is there.

    Raises:
        ArtifactError: the folder holds something that is not an artifact of ours, or cannot be removed.
    """
    remove_folder(folder, may_remove=ensure_replaceable)


def ensure_replaceable(folder: str | Path) -> None:
    """Check that an artifact may be written here: nothing is there, or an empty folder, or an artifact of ours alone.

    Raises:
        ArtifactError: naming what is in the way.
    """
    folder = Path(folder)
    if not os.path.lexists(folder):
        return
    present = set(os.listdir(folder)) if folder.is_dir() else {""}
    try:
        document = json.loads((folder / MANIFEST).read_bytes())
        ours = set(document["files"]) | {MANIFEST} if document["format"] == "foreworld-artifact" else set()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        ours = set()
    for name in sorted(present - ours):
        raise ArtifactError(f"{folder / name}: in the way, and not written by foreworld: move it, or save elsewhere")


def tensors_to_bytes(tensors: Mapping[str, np.ndarray]) -> bytes:
    """Named arrays as one safetensors document; the same arrays give the same bytes, in whatever order they come."""
    return save({name: np.asarray(tensors[name], order="C") for name in sorted(tensors)})


def bytes_to_tensors(data: bytes, name: str = "tensors") -> dict[str, np.ndarray]:
    """The arrays in a safetensors document.

    Raises:
        ArtifactError: naming `name`, if the document is not well-formed.
    """
    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ArtifactError(f"{name}: not a safetensors document: {error}") from error


def _canonical(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _manifest_bytes(files: Mapping[str, bytes], kind: str, about: Mapping[str, Any]) -> bytes:
    document = {
        "format": "foreworld-artifact",
        "version": 1,
        "kind": kind,
        # Through JSON and back: only what JSON can hold has one canonical form.
        "about": json.loads(_canonical(about)),
        "files": {name: {"sha256": _sha256(content), "size": len(content)} for name, content in files.items()},
    }
    signed = {**document, "digest": _sha256(_canonical(document))}
    Manifest.model_validate(signed)
    if MANIFEST in files:
        raise ValueError(f"'{MANIFEST}' is the artifact's own")
    data = _canonical(signed)
    if len(data) > _MANIFEST_LIMIT:
        raise ValueError(f"{len(data)} bytes are too many for a manifest")
    return data


def _parse_manifest(data: bytes, where: Path) -> Manifest:
    """A manifest whose every byte is as it was written."""
    document = None
    try:
        document = json.loads(data)
        digest = _sha256(_canonical({key: value for key, value in document.items() if key != "digest"}))
        intact = _canonical(document) == data and document.get("digest") == digest
    except (ValueError, AttributeError, RecursionError):
        intact = False
    if not intact:
        raise ArtifactError(f"{where}: altered since it was written")
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        problem = error.errors()[0]
        entry = ".".join(str(part) for part in problem["loc"])
        raise ArtifactError(
            f"{where}: cannot be read by this version of foreworld: {entry}: {problem['msg']}"
        ) from error


def _read_checked(handle: int, folder: Path, kind: str) -> dict[str, bytes]:
    present = set(os.listdir(handle))
    if MANIFEST not in present:
        raise ArtifactError(f"{folder / MANIFEST}: missing, so this is not a {kind} of foreworld")
    manifest = _parse_manifest(_read_regular(handle, folder, MANIFEST, None), folder / MANIFEST)
    if manifest.kind != kind:
        raise ArtifactError(f"{folder / MANIFEST}: this is a {manifest.kind}, not a {kind}")
    for name in sorted(present - set(manifest.files) - {MANIFEST}):
        raise ArtifactError(f"{folder / name}: not part of the {kind}: move it elsewhere")
    contents = {}
    for name, listed in manifest.files.items():
        content = _read_regular(handle, folder, name, listed.size)
        if _sha256(content) != listed.sha256:
            raise ArtifactError(f"{folder / name}: altered since it was written")
        contents[name] = content
    return contents


def _read_regular(handle: int, folder: Path, name: str, size: int | None) -> bytes:
    """A file in an open folder; the size is checked before the bytes are read, and links are not followed."""

    def here(path: str, flags: int) -> int:
        # O_NONBLOCK: opening a named pipe would wait for a writer.
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=handle)

    try:
        with open(name, "rb", opener=here) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ArtifactError(f"{folder / name}: not a regular file")
            if size is not None and status.st_size != size:
                raise ArtifactError(f"{folder / name}: {status.st_size} bytes instead of {size}")
            if size is None and status.st_size > _MANIFEST_LIMIT:
                raise ArtifactError(f"{folder / name}: {status.st_size} bytes are too many for a manifest")
            return file.read()
    except FileNotFoundError as error:
        raise ArtifactError(f"{folder / name}: missing") from error
    except OSError as error:
        raise ArtifactError(f"{folder / name}: cannot be read: {error.strerror}") from error


def _was_replaced(handle: int, folder: str | Path) -> bool:
    """Whether another process put a new artifact in place of the one that is open."""
    try:
        return not os.path.samestat(os.fstat(handle), os.stat(folder))
    except OSError:
        return False
