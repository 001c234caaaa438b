"""Any mixture of columns, gaps and irregular times: every row has what there is, under the user's names."""

from pathlib import Path

import numpy as np
import pytest

from foreworld.model import WorldModel

from ...simulated import episodes, tiny

DATA = episodes([30, 1, 2, 22, 29, 12, 46, 33])
STREAM = episodes([25, 1, 2, 40], seed=50)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return WorldModel.fit(DATA, config=tiny(), progress=False)


def test_a_row_a_step_and_unit(model: WorldModel) -> None:
    frame = model.surprise(STREAM, budget=50).to_frame("pandas")
    names = ["level", "alarm=1", "mode=idle", "mode=on", "mode=safe", "hum", "belief", "all"]
    assert frame["variable"].tolist() == names * (24 + 1 + 39)
    # The device has a channel that is called `alarm`, but no column of the answer's frame is.
    assert frame.columns[:3].tolist() == ["device", "minute", "step"]
    assert frame["device"].unique().tolist() == [STREAM[index].id for index in (0, 2, 3)]
    chances = frame[frame["variable"].str.startswith("mode=")]["expected"].to_numpy().reshape(-1, 3)
    np.testing.assert_allclose(chances.sum(1), 1.0, atol=1e-6)
    level = frame[frame["variable"] == "level"]
    assert (level["low"] >= 0).all() and (level["low"] <= level["high"]).all()
    assert (level["seen"].isna() == level["p"].isna()).all() and level["seen"].isna().any()


def test_the_same_after_a_round_trip_through_a_file(model: WorldModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    table = STREAM.to_frame()
    order = np.random.default_rng(0).permutation(table.num_rows)
    again = WorldModel.load(tmp_path / "model").surprise(table.take(order), budget=50)
    now = model.surprise(STREAM, budget=50)
    np.testing.assert_array_equal(again.p, now.p)
    assert again.summary() == now.summary()


def test_one_member_and_two_episodes_will_do() -> None:
    small = WorldModel.fit(episodes([12, 14]), config=tiny(members=1), progress=False)
    assert np.isfinite(small.surprise(STREAM, budget=50).expected).all()
