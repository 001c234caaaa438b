"""Every dirty table ends as the battery says: the same episodes from each loader, or one error that tells the place."""

import csv
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foreworld.data.episodes import Episodes
from foreworld.data.table import read
from foreworld.errors import DataError

from .battery import CASES
from .cases import CLEAN, LOADERS, ROLES, Case

DOCS = Path(__file__).parents[2] / "docs" / "data.md"


def write_csv(table: dict[str, Any], path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        columns = [values.to_pylist() if isinstance(values, pa.Array) else values for values in table.values()]
        writer.writerows(["" if value is None else value for value in row] for row in zip(*columns, strict=True))
    return path


def arrow(values: Any) -> pa.Array:
    """As Parquet can hold it: a column of several types is text there."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])


def write_parquet(table: dict[str, Any], path: Path) -> Path:
    pq.write_table(pa.table({name: arrow(values) for name, values in table.items()}), path)
    return path


def pandas_frame(table: dict[str, Any]) -> pd.DataFrame:
    def series(values: Any) -> pd.Series:
        if isinstance(values, pa.Array):
            return values.to_pandas(types_mapper={pa.int32(): pd.Int32Dtype()}.get)
        return pd.Series(values)

    return pd.DataFrame({name: series(values) for name, values in table.items()})


def polars_frame(table: dict[str, Any]) -> pl.DataFrame:
    def series(name: str, values: Any) -> pl.Series:
        return pl.Series(name, values) if isinstance(values, pa.Array) else pl.Series(name, values, strict=False)

    return pl.DataFrame([series(name, values) for name, values in table.items()])


def put(table: dict[str, Any], loader: str, folder: Path) -> Any:
    """The table as this loader holds it."""
    if loader == "csv":
        return write_csv(table, folder / "table.csv")
    if loader == "parquet":
        return write_parquet(table, folder / "table.parquet")
    return pandas_frame(table) if loader == "pandas" else polars_frame(table)


def load(case: Case, loader: str, folder: Path) -> Episodes:
    source = put(case.table, loader, folder)
    roles = ROLES | dict(case.roles)
    if case.predict:
        return read(source, Episodes.from_frame(pa.table(CLEAN), **roles).schema)
    return Episodes.from_frame(source, **roles)


@pytest.mark.parametrize("case", [case for case in CASES if case.means], ids=str)
def test_accepted_tables_give_the_same_episodes_from_every_loader(case: Case, tmp_path: Path):
    loaded = [load(case, loader, tmp_path) for loader in case.loaders]
    assert len({data.fingerprint for data in loaded}) == 1
    for data in loaded:
        assert case.holds(data)
        for episode in data:
            assert not any(np.isinf(values).any() for values in (episode.time, episode.observations, episode.actions))
            assert (np.diff(episode.time) > 0).all()


@pytest.mark.parametrize("case", [case for case in CASES if case.means and len(case.table) < 100], ids=str)
def test_only_missing_cells_become_missing_values(case: Case, tmp_path: Path):
    data = load(case, "csv" if "csv" in case.loaders else "parquet", tmp_path)
    frame = data.to_frame()
    for role in ("observation", "action", "known_future"):
        for variable in data.schema.of(role):
            cells = pa.array(case.table[variable.name])
            empty = sum(value in (None, "") or value != value for value in cells.to_pylist())
            assert frame[variable.name].null_count == empty


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("case", [case for case in CASES if not case.means], ids=str)
def test_refused_tables_are_told_apart_by_source_column_and_rows(case: Case, loader: str, tmp_path: Path):
    if loader not in case.loaders:
        return
    with pytest.raises(DataError) as caught:
        load(case, loader, tmp_path)
    error = caught.value
    assert case.says in str(error)
    roles_only = "role" in str(error)
    source = "frame" if loader in ("pandas", "polars") else str(tmp_path / f"table.{loader}")
    assert error.source == source or roles_only
    assert error.column == case.column
    assert case.rows is None or error.rows == case.rows
    assert len(str(error)) < 500


@pytest.mark.parametrize("case", [case for case in CASES if len(case.table) < 100], ids=str)
def test_frames_are_left_as_they_were(case: Case):
    frame = pandas_frame(case.table)
    before = frame.copy(deep=True)
    with suppress(DataError):
        Episodes.from_frame(frame, **ROLES | dict(case.roles))
    pd.testing.assert_frame_equal(frame, before)
    assert list(frame.columns) == list(before.columns)


def outcomes(folder: Path) -> str:
    """The battery as the table that the documentation prints."""
    lines = ["| Table | Outcome |", "|---|---|"]
    for case in CASES:
        outcome = case.means
        if not outcome:
            with pytest.raises(DataError) as caught:
                load(case, case.loaders[0], folder)
            outcome = "refused: `" + str(caught.value).replace(f"{folder}/", "").replace("|", "/") + "`"
        lines.append(f"| {case.name} | {outcome} |")
    return "\n".join(lines)


def test_the_documentation_prints_the_battery(tmp_path: Path):
    assert outcomes(tmp_path) in DOCS.read_text(encoding="utf-8")
