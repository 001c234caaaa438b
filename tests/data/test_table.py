"""Tables become episodes whatever their order, and become the same tables again."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreworld.data.episodes import Episodes
from foreworld.data.frames import frame_from_columns
from foreworld.data.table import read
from foreworld.errors import DataError

from .cases import CLEAN, ROLES

NUMBERS = st.none() | st.floats(-1e30, 1e30, allow_nan=False)
LABELS = st.none() | st.sampled_from(["<img>", "é", "low", "a b", " high"])
EVERY_ROLE: dict[str, Any] = {
    "id": "id",
    "time": "time",
    "observations": ["x", "label", "flag"],
    "actions": ["dose", "device"],
    "static": ["weight", "sex"],
    "known_future": ["hour"],
    "terminated": "end",
    "targets": ["x", "flag"],
    "units": {"x": "mmol/L"},
    "bounds": {"hour": (0.0, 23.0)},
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Up to four episodes with gaps in every column, yet at least one value in each."""
    names = draw(st.sampled_from([["p1", "p2", "p3", "é"], [3, -1, 2**60, 0]]))
    columns: dict[str, list[Any]] = {
        name: [] for name in ("id", "time", "x", "label", "flag", "dose", "device", "weight", "sex", "hour", "end")
    }
    for name in names[: draw(st.integers(1, 4))]:
        times = sorted(draw(st.sets(st.integers(-(10**9), 10**12), min_size=1, max_size=5)))
        first = not columns["id"]
        weight, sex = draw(NUMBERS), draw(LABELS)
        for row, time in enumerate(times):
            full = first and row == 0
            values = {
                "id": name,
                "time": time,
                "x": 1.0 if full else draw(NUMBERS),
                "label": "low" if full else draw(LABELS),
                "flag": True if full else draw(st.none() | st.booleans()),
                "dose": -0.0 if full else draw(NUMBERS),
                "device": "pump" if full else draw(LABELS),
                "weight": 70.0 if first else weight,
                "sex": "f" if first else sex,
                "hour": 6.0 if full else draw(st.none() | st.floats(0, 23)),
                "end": row == len(times) - 1 and draw(st.booleans()),
            }
            for column, value in values.items():
                columns[column].append(value)
    return columns


def arrays(data: Episodes) -> list[np.ndarray]:
    parts = ("time", "observations", "actions", "pending", "static", "known_future")
    return [getattr(episode, part) for episode in data for part in parts]


def same_bits(one: Episodes, other: Episodes) -> bool:
    return [episode.id for episode in one] == [episode.id for episode in other] and all(
        np.array_equal(a.view(np.int64), b.view(np.int64)) for a, b in zip(arrays(one), arrays(other), strict=True)
    )


@settings(max_examples=60)
@given(table=tables(), data=st.data())
def test_the_order_of_rows_and_columns_does_not_matter(table: dict[str, list[Any]], data: st.DataObject):
    rows = data.draw(st.permutations(range(len(table["id"]))))
    names = data.draw(st.permutations(list(table)))
    shuffled = {name: [table[name][row] for row in rows] for name in names}
    straight = Episodes.from_frame(frame_from_columns(table), **EVERY_ROLE)
    other = Episodes.from_frame(frame_from_columns(shuffled), **EVERY_ROLE)
    assert same_bits(straight, other)
    assert straight.fingerprint == other.fingerprint


@settings(max_examples=60)
@given(
    table=tables(),
    backend=st.sampled_from(["pyarrow", "pandas", "polars"]),
    zone=st.sampled_from([None, "", "UTC", "Europe/Berlin"]),
)
def test_episodes_become_the_table_they_came_from(table: dict[str, list[Any]], backend: str, zone: str | None):
    columns: dict[str, Any] = dict(table)
    if zone is not None:
        columns["time"] = pa.array(np.array(table["time"]) * 1000 + 7, pa.timestamp("us", zone or None))
    before = Episodes.from_frame(frame_from_columns(columns, backend), **EVERY_ROLE)
    frame = before.to_frame()
    assert type(frame).__module__.startswith(backend)
    assert set(frame.columns if backend != "pyarrow" else frame.column_names) == set(table)
    for after in (Episodes.from_frame(frame, **EVERY_ROLE), read(frame, before.schema)):
        assert same_bits(before, after)
        assert after.schema == before.schema
        assert after.backend == backend
        assert [x.terminated for x in after] == [x.terminated for x in before]


def test_roles_kinds_units_and_bounds_reach_the_schema():
    data = Episodes.from_frame(
        pa.table(CLEAN),
        **ROLES,
        targets=["glucose"],
        units={"glucose": "mmol/L"},
        bounds={"insulin": (0.0, None)},
        time_unit="h",
    )
    glucose, mood, insulin, weight, hour = data.schema.variables
    assert [v.role for v in (glucose, mood, insulin, weight, hour)] == [
        "observation",
        "observation",
        "action",
        "static",
        "known_future",
    ]
    assert (glucose.kind, glucose.unit, glucose.target, mood.kind, mood.target) == (
        "continuous",
        "mmol/L",
        True,
        "categorical",
        False,
    )
    assert (insulin.low, insulin.high, data.schema.time_unit) == (0.0, None, "h")


def test_an_action_leaves_its_row_and_the_last_one_is_pending():
    first = Episodes.from_frame(pa.table(CLEAN), **ROLES)[0]
    assert first.actions[:, 0].tolist() == CLEAN["insulin"][:3]
    assert first.pending.tolist() == CLEAN["insulin"][3:4]
    assert first.known_future[:, 0].tolist() == CLEAN["hour"][:4]
    assert first.static.tolist() == [70.0]


def test_one_name_need_not_be_a_list():
    data = Episodes.from_frame(pa.table(CLEAN), id="id", time="time", observations="glucose", actions="insulin")
    assert [v.name for v in data.schema.variables] == ["glucose", "insulin"]


@pytest.mark.parametrize("drift", ["reordered", "extra", "shuffled"])
def test_new_data_is_matched_by_name(drift: str):
    trained = Episodes.from_frame(pa.table(CLEAN), **ROLES)
    frame = pd.DataFrame(CLEAN)
    frame = {
        "reordered": frame[list(CLEAN)[::-1]],
        "extra": frame.assign(glucose2=np.inf, note="abc"),
        "shuffled": frame.sample(frac=1, random_state=0),
    }[drift]
    assert same_bits(read(frame, trained.schema), trained)


def test_labels_keep_their_positions_when_new_data_has_fewer():
    trained = Episodes.from_frame(pa.table(CLEAN), **ROLES)
    new = read(pa.table(CLEAN | {"mood": ["good"] * 8}), trained.schema)
    assert set(new[0].observations[:, 1]) == {1.0}


def test_the_columns_that_tell_why_an_episode_ended_may_be_absent_in_new_data():
    ended = pa.table(CLEAN | {"end": [False] * 3 + [True] + [False] * 4})
    trained = Episodes.from_frame(ended, **ROLES, terminated="end")
    assert [x.terminated for x in trained] == [True, False]
    assert [x.terminated for x in read(pa.table(CLEAN), trained.schema)] == [False, False]


def test_an_infinite_bound_is_none():
    data = Episodes.from_frame(pa.table(CLEAN), **ROLES, bounds={"glucose": (-np.inf, np.inf)})
    assert (data.schema.variables[0].low, data.schema.variables[0].high) == (None, None)


def test_duplicates_name_the_first_five_keys():
    table = pa.table({"id": np.repeat(np.arange(20), 2), "time": np.zeros(40), "x": np.ones(40)})
    with pytest.raises(DataError) as caught:
        Episodes.from_frame(table, id="id", time="time", observations=["x"])
    assert str(caught.value).count(" in rows ") == 5
    assert caught.value.rows == tuple(range(2, 41, 2))
