"""What only frames can get wrong, and what their own types become."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from foreworld.data.episodes import Episodes
from foreworld.data.frames import frame_from_columns
from foreworld.data.table import read
from foreworld.errors import DataError

KEYS = {"id": ["a", "a", "b"], "time": [0, 1, 0]}
AWARE, NAIVE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2)


def of_x(frame: object) -> Episodes:
    return Episodes.from_frame(frame, id="id", time="time", observations=["x"])


def values(data: Episodes) -> list[float]:
    return [value for episode in data for value in episode.observations[:, 0].tolist()]


PANDAS = {
    "Int64": pd.array([1, None, 3], dtype="Int64"),
    "Float32 with NA": pd.array([1, None, 3], dtype="Float32"),
    "Arrow integers": pd.array([1, None, 3], dtype=pd.ArrowDtype(pa.int16())),
    "objects with None": pd.Series([1, None, 3.0], dtype=object),
    "objects with NA": pd.Series([1, pd.NA, 3.0], dtype=object),
}


@pytest.mark.parametrize("name", PANDAS)
def test_pandas_number_types(name: str):
    data = of_x(pd.DataFrame(KEYS | {"x": PANDAS[name]}))
    np.testing.assert_array_equal(values(data), [1, np.nan, 3])
    assert data.schema.observations[0].kind == "continuous"


def test_pandas_boolean_string_and_category_types():
    for dtype, kind in (
        ("boolean", "binary"),
        ("string", "categorical"),
        ("category", "categorical"),
        (object, "categorical"),
    ):
        cells = [True, None, False] if kind == "binary" else ["yes", None, "no"]
        data = of_x(pd.DataFrame(KEYS | {"x": pd.Series(cells, dtype=dtype)}))
        np.testing.assert_array_equal(values(data), [1, np.nan, 0])
        assert data.schema.observations[0].kind == kind


def test_only_labels_that_occur_are_categories():
    column = pd.Categorical(["good", "bad", "good"], categories=["ugly", "good", "bad"])
    assert of_x(pd.DataFrame(KEYS | {"x": column})).schema.observations[0].categories == ("bad", "good")


POLARS = {
    "lazy": pl.LazyFrame(KEYS | {"x": ["yes", None, "no"]}),
    "categorical": pl.DataFrame(KEYS | {"x": pl.Series(["yes", None, "no"], dtype=pl.Categorical)}),
    "enumeration": pl.DataFrame(KEYS | {"x": pl.Series(["yes", None, "no"], dtype=pl.Enum(["no", "other", "yes"]))}),
}


@pytest.mark.parametrize("name", POLARS)
def test_polars_types(name: str):
    data = of_x(POLARS[name])
    np.testing.assert_array_equal(values(data), [1, np.nan, 0])
    assert data.schema.observations[0].categories == ("no", "yes")


def test_a_polars_null_column_is_missing_at_predict():
    schema = of_x(pa.table(KEYS | {"x": [1.0, 2.0, 3.0]})).schema
    assert np.isnan(values(read(pl.DataFrame(KEYS | {"x": [None, None, None]}), schema))).all()


def test_an_empty_label_is_missing_in_category_types_too():
    cells = ["yes", "", "no"]
    for frame in (
        pd.DataFrame(KEYS | {"x": pd.Categorical(cells)}),
        pl.DataFrame(KEYS | {"x": pl.Series(cells, dtype=pl.Categorical)}),
    ):
        np.testing.assert_array_equal(values(of_x(frame)), [1, np.nan, 0])
    schema = of_x(pd.DataFrame(KEYS | {"x": ["yes", "yes", "no"]})).schema
    assert np.isnan(values(read(pd.DataFrame(KEYS | {"x": pd.Categorical(["", "", ""])}), schema))).all()


def test_an_error_about_a_long_text_is_one_short_line():
    text = pa.table(KEYS | {"x": ["1.0", "2.0", "a long\nnote " * 1000]})
    with pytest.raises(DataError, match="a long.nnote") as caught:
        of_x(text)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


MIXED = {
    "numbers and text": ([1.0, "abc", 2.0], (2,), "'abc' is text in a column of number"),
    "numbers and true": ([1.0, 2.0, True], (3,), "True is true/false in a column of number"),
    "an integer of 70 bits": ([1, 2**70, 2], (2,), "beyond 2\\^53"),
    "times with and without zone": ([AWARE, NAIVE, AWARE], (2,), "without time zone in a column of datetime with"),
    "dates and datetimes": ([NAIVE, NAIVE, NAIVE.date()], (3,), "is date in a column of datetime"),
}


@pytest.mark.parametrize("name", MIXED)
def test_objects_of_several_types_are_told_by_row(name: str):
    cells, rows, says = MIXED[name]
    with pytest.raises(DataError, match=says) as caught:
        of_x(pd.DataFrame(KEYS | {"x": pd.Series(cells, dtype=object)}))
    assert (caught.value.column, caught.value.rows) == ("x", rows)


def test_objects_that_arrow_has_no_type_for_are_refused():
    for frame in (pd.DataFrame(KEYS | {"x": [object()] * 3}), pl.DataFrame(KEYS | {"x": [object()] * 3})):
        with pytest.raises(DataError, match="column 'x'"):
            of_x(frame)
    with pytest.raises(DataError, match="column 'x', row 2: .* beyond 2"):
        of_x(pl.DataFrame(KEYS | {"x": pl.Series([1, 2**100, 3], dtype=pl.Int128)}))


def test_times_with_several_zones_are_one_instant_line():
    berlin = [stamp.tz_convert("Europe/Berlin") for stamp in pd.date_range("2026-01-01", periods=2, freq="h", tz="UTC")]
    tokyo = pd.Timestamp("2026-01-01T09:00:00+09:00")
    frame = pd.DataFrame(KEYS | {"x": 1.0, "time": pd.Series([*berlin, tokyo], dtype=object)})
    data = of_x(frame)
    assert data[0].time[0] == data[1].time[0] == 1767225600
    assert data.schema.time_zone == "UTC"


def test_a_name_twice_is_refused_in_pandas_and_pyarrow():
    frame = pd.DataFrame([["a", 0, 1.0, 2.0]], columns=pd.Index(["id", "time", "x", "x"]))
    for table in (frame, pa.Table.from_arrays([["a"], [0], [1.0], [2.0]], names=list(frame.columns))):
        with pytest.raises(DataError, match="more than one column has this name") as caught:
            of_x(table)
        assert caught.value.column == "x"


def test_what_is_no_frame_is_refused_by_its_type():
    for thing in ({"id": ["a"]}, np.zeros((2, 2)), None, [1, 2]):
        with pytest.raises(DataError, match=f"not {type(thing).__name__}"):
            of_x(thing)


def test_a_label_for_the_frame_starts_every_error():
    with pytest.raises(DataError, match="^ward 3, column 'x'") as caught:
        Episodes.from_frame(pa.table(KEYS), id="id", time="time", observations=["x"], source="ward 3")
    assert caught.value.source == "ward 3"


def test_answers_come_in_the_frame_of_the_question():
    columns = {
        "id": ["a", "b"],
        "x": np.array([1.5, np.nan]),
        "n": [1, 2],
        "when": pa.array([0, 1], pa.timestamp("us", "UTC")),
    }
    frames = {backend: frame_from_columns(columns, backend) for backend in ("pyarrow", "pandas", "polars")}
    assert [type(frame).__module__.split(".")[0] for frame in frames.values()] == list(frames)
    assert (
        frames["pyarrow"]["x"].null_count
        == frames["polars"]["x"].null_count()
        == frames["pandas"]["x"].isna().sum()
        == 1
    )
    assert str(frames["pandas"]["when"].dt.tz) == "UTC"
    with pytest.raises(ValueError, match="none of pyarrow, pandas, polars"):
        frame_from_columns(columns, "dask")
