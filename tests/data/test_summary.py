"""The fingerprint changes with the data and with nothing else; the description can be read as JSON."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from foreworld.data.episodes import Episodes

from .cases import CLEAN, ROLES


def load(**change: object) -> Episodes:
    return Episodes.from_frame(pa.table(CLEAN | change), **ROLES)


CHANGES = {
    "one value by one bit": {"glucose": [np.nextafter(5.5, 6), *CLEAN["glucose"][1:]]},
    "a pending action": {"insulin": [*CLEAN["insulin"][:3], 9.0, *CLEAN["insulin"][4:]]},
    "a value goes missing": {"glucose": [None, *CLEAN["glucose"][1:]]},
    "a value moves to the other episode": {"weight": [82.5] * 4 + [70.0] * 4},
    "a time": {"time": [0, 1, 2, 4, 0, 1, 2, 3]},
    "an id": {"id": ["a"] * 4 + ["c"] * 4},
    "numbers as ids": {"id": [1] * 4 + [2] * 4},
    "a label": {"mood": ["fine" if label == "good" else label for label in CLEAN["mood"]]},
}


def test_every_change_of_the_data_changes_the_fingerprint():
    prints = [load().fingerprint, *(load(**change).fingerprint for change in CHANGES.values())]
    assert len(set(prints)) == len(prints)


def test_a_change_of_meaning_changes_the_fingerprint():
    roles: dict[str, Any] = ROLES | {"units": {"glucose": "mg/dL"}}
    assert Episodes.from_frame(pa.table(CLEAN), **roles).fingerprint != load().fingerprint


def test_what_means_the_same_has_the_same_fingerprint():
    data = load()
    assert data.take([1, 0]).fingerprint == data.fingerprint
    assert data.take([0]).fingerprint != data.fingerprint
    assert load(insulin=[-0.0 if dose == 0 else dose for dose in CLEAN["insulin"]]).fingerprint == data.fingerprint
    moments = pa.array(np.array(CLEAN["time"]) * 10**6, pa.timestamp("us", "UTC"))
    elsewhere = moments.cast(pa.timestamp("ms", "Asia/Tokyo"))
    assert load(time=moments).fingerprint == load(time=elsewhere).fingerprint


def test_the_description_counts_what_is_there():
    data = load(glucose=[5.5, None, None, 8.0, 4.5, 5.0, 6.0, 9.0], time=[0, 1, 2, 10, 0, 1, 2, 3])
    told = json.loads(json.dumps(data.describe(), allow_nan=False))
    assert (told["episodes"], told["rows"], told["steps"]) == (2, 8, 6)
    assert told["time_step"] == {"min": 1, "median": 1, "max": 8, "unit": ""}
    columns = told["columns"]
    assert columns["glucose"] | {"role": 0} == {
        "role": 0,
        "kind": "continuous",
        "unit": "",
        "missing": 0.25,
        "min": 4.5,
        "max": 9,
    }
    assert columns["mood"]["shares"] == {"bad": 0.5, "good": 0.5}
    # The pending actions, 2.5 and 0.5, have no outcome yet and are not counted.
    assert columns["insulin"]["max"] == 1.0
    assert list(columns) == ["glucose", "mood", "insulin", "weight", "hour"]


def test_the_description_of_single_rows_has_no_time_step():
    told = Episodes.from_frame(pa.table(CLEAN | {"id": list("abcdefgh")}), **ROLES).describe()
    assert (told["steps"], told["time_step"]["median"], told["columns"]["insulin"]["min"]) == (0, None, None)
    assert told["columns"]["insulin"]["missing"] == pytest.approx(0)
