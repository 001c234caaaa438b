"""What only files can get wrong: delimiters, encodings, ragged rows, damage, places that are no files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foreworld.data.episodes import Episodes
from foreworld.data.frames import frame_from_columns, write_frame
from foreworld.errors import ArtifactError, DataError

PLAIN = "id,time,x,mood\na,0,1.5,good\na,1,2.5,bad\nb,0,,good\nb,1,3.5,bad\n"


def load(path: Path) -> Episodes:
    return Episodes.from_file(path, id="id", time="time", observations=["x", "mood"])


def save(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


SAME = {
    "byte order mark": "\ufeff" + PLAIN,
    "line ends of Windows": PLAIN.replace("\n", "\r\n"),
    "line ends of old Macs": PLAIN.replace("\n", "\r"),
    "semicolons": PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "no line end at the end": PLAIN[:-1],
    "empty lines": PLAIN.replace("\na,1", "\n\na,1") + "\n\n",
    "empty lines before the header": "\n\n" + PLAIN,
    "every cell in quotes": '"' + PLAIN[:-1].replace(",", '","').replace("\n", '"\n"') + '"\n',
    "blanks around values": PLAIN.replace("1.5,good", " 1.5 , good ").replace("a,1", " a , 1 "),
    "words for missing": PLAIN.replace("b,0,,", "b,0,NA,"),
    "NaN for missing": PLAIN.replace("b,0,,", "b,0,NaN,"),
    "signs and exponents": PLAIN.replace("1.5", "+0.15e1").replace("2.5", "25E-1"),
    "trailing commas": PLAIN.replace("\n", ",,\n"),
    "commas and line ends in a quoted cell": PLAIN.replace("good\n", 'good,"x,\n\ny"\n')
    .replace("bad", "bad,z")
    .replace("mood", "mood,note", 1),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_table_in_every_dialect(name: str, tmp_path: Path):
    assert load(save(tmp_path, SAME[name])).fingerprint == load(save(tmp_path, PLAIN, "plain.csv")).fingerprint


def test_commas_in_a_header_of_semicolons_do_not_confuse_the_delimiter(tmp_path: Path):
    path = save(tmp_path, "id;time;x, y, z and w in mmol/l\na;0;1.5\n")
    data = Episodes.from_file(path, id="id", time="time", observations=["x, y, z and w in mmol/l"])
    assert data[0].observations.tolist() == [[1.5]]


REFUSED = {
    "a short row": (PLAIN + "b,2,3.5\n", None, (5,), "3 cells where the header has 4 columns"),
    "a long row": (PLAIN.replace("a,1", "a,1,1"), None, (2,), "5 cells where the header has 4 columns"),
    "a short row after a cell of two lines": (PLAIN.replace("good\na", '"go\nod"\na') + "b,2\n", None, (5,), "2 cells"),
    "nothing": ("", None, (), "the file is empty"),
    "only line ends": ("\n\n", None, (), "The table has no columns"),
    "only a header": (PLAIN[:15], None, (), "no rows"),
    "a name twice": (PLAIN.replace("mood", "x", 1), "x", (), "more than one column has this name"),
    "Latin-1 in a value": (PLAIN.replace("bad", "böse").encode("latin-1"), "mood", (2, 4), "not UTF-8"),
    "Latin-1 in the header": (PLAIN.replace("x,", "ä,x,", 1).encode("latin-1"), None, (), "not a UTF-8 text file"),
    "UTF-16": (PLAIN.encode("utf-16"), None, (), "not a UTF-8 text file"),
    "a word for infinity": (PLAIN.replace("2.5", "Infinity"), "x", (2,), "infinite"),
    "a number too large for a float": (PLAIN.replace("2.5", "1e400"), "x", (2,), "infinite"),
    "hexadecimal": (PLAIN.replace("2.5", "0x1F"), "x", (2,), "'0x1F'"),
    "thousands separators": (PLAIN.replace("2.5", '"2,500.0"'), "x", (2,), "'2,500.0' is not a number"),
    "None for missing": (PLAIN.replace("2.5", "None"), "x", (2,), "'None'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_text_that_is_no_such_table(name: str, tmp_path: Path):
    content, column, rows, says = REFUSED[name]
    path = save(tmp_path, content)
    with pytest.raises(DataError, match=says.replace("(", "\\(")) as caught:
        load(path)
    assert (caught.value.source, caught.value.column, caught.value.rows) == (str(path), column, rows)


def _parquet(folder: Path) -> bytes:
    path = folder / "good.parquet"
    write_frame(pd.DataFrame({"id": ["a", "a"], "time": [0, 1], "x": [1.5, 2.5], "mood": ["good", "bad"]}), path)
    return path.read_bytes()


def _zeroed(good: bytes) -> bytes:
    footer = int.from_bytes(good[-8:-4], "little") + 8
    return good[:4] + bytes(len(good) - footer - 4) + good[-footer:]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda good: PLAIN.encode(), "not a Parquet file"),
        (lambda good: good[: len(good) // 2], "not a Parquet file"),
        (_zeroed, "damaged"),
        (lambda good: b"", "empty"),
    ],
    ids=["a text file", "half a file", "zeros inside", "nothing"],
)
def test_parquet_that_cannot_be_read(damage, says: str, tmp_path: Path):
    path = save(tmp_path, damage(_parquet(tmp_path)), "table.parquet")
    with pytest.raises(DataError, match=says) as caught:
        load(path)
    assert caught.value.source == str(path)


def test_parquet_with_a_name_twice(tmp_path: Path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table([["a"], [0], [1.5], [2.5]], names=["id", "time", "x", "x"]), path)
    with pytest.raises(DataError, match="more than one column has this name"):
        load(path)


def test_places_that_are_no_table(tmp_path: Path):
    (tmp_path / "folder.csv").mkdir()
    for name, says in (
        ("none.csv", "no such file"),
        ("folder.csv", "directory"),
        ("table.xlsx", "files of type '.xlsx'"),
    ):
        if name.endswith("xlsx"):
            save(tmp_path, PLAIN, name)
        with pytest.raises(DataError, match=says) as caught:
            load(tmp_path / name)
        assert caught.value.source == str(tmp_path / name)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("backend", ["pyarrow", "pandas", "polars"])
def test_what_is_written_is_what_is_read(suffix: str, backend: str, tmp_path: Path):
    moments = pa.array(np.arange(3) * 3_600_000_001, pa.timestamp("us", "UTC"))
    columns = {
        "id": ["a", "a", "b"],
        "time": moments,
        "x": np.array([0.1, np.nan, -1e-300]),
        "mood": ["<3", 'a,"b"', "é"],
    }
    path = tmp_path / f"out{suffix}"
    write_frame(frame_from_columns(columns, backend), path)
    data = Episodes.from_file(path, id="id", time="time", observations=["x", "mood"])
    again = Episodes.from_frame(frame_from_columns(columns), id="id", time="time", observations=["x", "mood"])
    assert data.fingerprint == again.fingerprint
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = save(tmp_path, PLAIN)
    with pytest.raises(DataError, match="CSV"):
        write_frame(pa.table({"x": [[1, 2], [3]]}), path)
    with pytest.raises(DataError, match="'.xlsx' cannot be written"):
        write_frame(pa.table({"x": [1]}), tmp_path / "out.xlsx")
    with pytest.raises(ArtifactError):
        write_frame(pa.table({"x": [1]}), path / "below.csv")
    assert path.read_text() == PLAIN
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
