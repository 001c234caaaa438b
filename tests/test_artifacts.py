import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from foreworld.artifacts import (
    MANIFEST,
    bytes_to_tensors,
    ensure_replaceable,
    read_artifact,
    tensors_to_bytes,
    write_artifact,
)
from foreworld.errors import ArtifactError

FILES = {
    "config.json": json.dumps({"width": 64, "seed": 3}, indent=2).encode(),
    "model.safetensors": tensors_to_bytes({"w": np.random.default_rng(0).normal(size=(40, 25)), "b": np.zeros(3)}),
    "README.md": "# A model of glucose in mg/dL, 5–95 %\n".encode(),
    "empty.csv": b"",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(tmp_path / "models" / "t1d", FILES, "model", {"program": "0.1.0", "crps": 7.25, "unit": "µg"})
    return tmp_path / "models" / "t1d"


def refused(folder: Path, name: str) -> str:
    """Reading is refused in one line that names the file."""
    with pytest.raises(ArtifactError, match=re.escape(str(folder / name))) as caught:
        read_artifact(folder, "model")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def resigned(folder: Path, **changes: object) -> None:
    """Alter the manifest as one who knows the format would: canonical, with a digest that fits."""
    from foreworld.artifacts import _canonical, _sha256

    document = json.loads((folder / MANIFEST).read_bytes()) | changes
    document.pop("digest")
    (folder / MANIFEST).write_bytes(_canonical({**document, "digest": _sha256(_canonical(document))}))


def test_what_was_written_is_read_back(folder: Path) -> None:
    assert read_artifact(folder, "model") == FILES
    assert sorted(os.listdir(folder)) == sorted([*FILES, MANIFEST])
    assert os.listdir(folder.parent) == ["t1d"]


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    write_artifact(tmp_path / "a", FILES, "model", {"x": 1, "by step": {10: "ten", 9: "nine"}})
    write_artifact(tmp_path / "b", dict(reversed(FILES.items())), "model", {"by step": {9: "nine", 10: "ten"}, "x": 1})
    assert (tmp_path / "a" / MANIFEST).read_bytes() == (tmp_path / "b" / MANIFEST).read_bytes()


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_every_flipped_bit_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    original = path.read_bytes()
    random = np.random.default_rng(len(original))
    for offset in random.integers(len(original), size=500 if original else 0):
        damaged = bytearray(original)
        damaged[offset] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        refused(folder, name)
    path.write_bytes(original)
    assert read_artifact(folder, "model") == FILES


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_file_of_another_length_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    original = path.read_bytes()
    for altered in (original[:-1], original[: len(original) // 2], b"", original + b"\n", original * 2):
        if altered != original:
            path.write_bytes(altered)
            refused(folder, name)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_file_that_is_missing_or_no_file_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    path = folder / name
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    refused(folder, name)
    path.symlink_to(elsewhere)
    refused(folder, name)
    path.unlink()
    path.mkdir()
    refused(folder, name)
    path.rmdir()
    os.mkfifo(path)
    refused(folder, name)


def test_swapped_files_are_refused(folder: Path) -> None:
    same_size = dict(FILES, **{"a.bin": b"one two", "b.bin": b"two one"})
    write_artifact(folder, same_size, "model", {})
    (folder / "a.bin").write_bytes(same_size["b.bin"])
    (folder / "b.bin").write_bytes(same_size["a.bin"])
    refused(folder, "a.bin")


def test_a_file_that_is_not_listed_is_refused_by_name(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    refused(folder, "notes.txt")


def test_two_artifacts_mixed_up_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_artifact(other, dict(FILES, **{"config.json": b"{}"}), "model", {})
    os.replace(other / MANIFEST, folder / MANIFEST)
    refused(folder, "config.json")


def test_another_kind_or_version_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="this is a model, not a data set"):
        read_artifact(folder, "data set")
    with pytest.raises(ArtifactError, match="no such model"):
        read_artifact(tmp_path / "nowhere", "model")
    resigned(folder, version=2)
    assert "this version of foreworld" in refused(folder, MANIFEST)


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {"../secret": {"sha256": "0" * 64, "size": 1}}},
        {"files": {"/etc/passwd": {"sha256": "0" * 64, "size": 1}}},
        {"files": {"a\x00b": {"sha256": "0" * 64, "size": 1}}},
        {"files": {"config.json": {"sha256": "0" * 64, "size": -1}}},
        {"files": {"config.json": {"sha256": "0" * 64, "size": "1"}}},
        {"files": ["config.json"]},
        {"format": "something else"},
        {"surplus": 1},
    ],
)
def test_a_well_signed_manifest_cannot_lead_astray(folder: Path, changes: dict) -> None:
    resigned(folder, **changes)
    for name in FILES:
        (folder / name).unlink()
    refused(folder, MANIFEST)


@pytest.mark.parametrize(
    "bomb", [b"[" * 100_000, b"9" * 1_000_000, b'{"a":NaN}', b"\xff\xfe", b"[]", b"null", b"{}", b" " * (5 << 20)]
)
def test_a_manifest_that_is_a_bomb_is_refused(folder: Path, bomb: bytes) -> None:
    (folder / MANIFEST).write_bytes(bomb)
    refused(folder, MANIFEST)


def test_only_what_is_ours_is_replaced(folder: Path, tmp_path: Path) -> None:
    write_artifact(folder, {"config.json": b"{}"}, "model", {})
    assert read_artifact(folder, "model") == {"config.json": b"{}"}

    (folder / "notes.txt").write_text("mine")
    before = sorted(os.listdir(folder))
    with pytest.raises(ArtifactError, match="notes.txt: in the way"):
        write_artifact(folder, FILES, "model", {})
    assert sorted(os.listdir(folder)) == before

    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(ArtifactError, match="chapter.tex: in the way"):
        write_artifact(tmp_path / "thesis", FILES, "model", {})
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ArtifactError, match="file: in the way"):
        write_artifact(tmp_path / "file", FILES, "model", {})
    assert sorted(os.listdir(tmp_path)) == ["file", "models", "thesis"]

    (tmp_path / "empty").mkdir()
    for free in (tmp_path / "empty", tmp_path / "new"):
        ensure_replaceable(free)
        write_artifact(free, FILES, "model", {})
        assert read_artifact(free, "model") == FILES


def test_a_link_to_an_artifact_is_read_and_written_through(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(folder)
    write_artifact(link, {"config.json": b"{}"}, "model", {})
    assert link.is_symlink()
    assert read_artifact(folder, "model") == read_artifact(link, "model") == {"config.json": b"{}"}


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a\nb", MANIFEST, "x" * 101])
def test_a_name_that_is_not_plain_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="pattern|artifact's own"):
        write_artifact(tmp_path / "a", {name: b""}, "model", {})
    assert os.listdir(tmp_path) == []


ARRAYS = st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=8), ARRAYS, max_size=4))
def test_tensors_come_back_bit_for_bit(tensors: dict[str, np.ndarray]) -> None:
    turned = {name: np.asfortranarray(array) if array.ndim else array for name, array in tensors.items()}
    data = tensors_to_bytes(turned)
    assert data == tensors_to_bytes(dict(reversed(tensors.items())))
    restored = bytes_to_tensors(data)
    assert restored.keys() == tensors.keys()
    for name, array in tensors.items():
        assert (restored[name].dtype, restored[name].shape) == (array.dtype, array.shape)
        assert restored[name].tobytes() == array.tobytes()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200), st.booleans())
def test_hostile_tensors_are_refused_by_name(noise: bytes, cut: int, spliced: bool) -> None:
    good = FILES["model.safetensors"]
    data = good[:cut] + noise + good[cut + len(noise) :] if spliced else noise
    try:
        bytes_to_tensors(data, "model.safetensors")
    except ArtifactError as error:
        assert str(error).startswith("model.safetensors: ")


def test_a_header_bomb_allocates_nothing() -> None:
    for length in (1 << 20, 1 << 40, (1 << 64) - 1):
        with pytest.raises(ArtifactError):
            bytes_to_tensors(length.to_bytes(8, "little") + b"{}" + b" " * 100)
    huge = json.dumps({"w": {"dtype": "F64", "shape": [1 << 31, 1 << 31], "data_offsets": [0, 8]}}).encode()
    with pytest.raises(ArtifactError):
        bytes_to_tensors(len(huge).to_bytes(8, "little") + huge + b"\0" * 8)
