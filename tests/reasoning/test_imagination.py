"""Answers come in the user's own terms, in every kind of frame, with one row for each thing asked about."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.reasoning.imagination import Imagination

from ..simulated import SCHEMA, episodes, verdict

QUANTILES = ["q05", "q10", "q25", "q50", "q75", "q90", "q95"]
NAMES = ["level", "alarm=1", "mode=idle", "mode=on", "mode=safe"]
MEMBERS, STEPS = 40, 3


def imagination(**schema: Any) -> Imagination:
    """Two histories, three steps, three targets: continuous, binary, categorical."""
    given = SCHEMA.model_copy(update=schema)
    histories = Episodes(given, tuple(episodes([5, 3])))
    rng = np.random.default_rng(0)
    samples = np.stack(
        [
            rng.normal(50, 10, (MEMBERS, 2, STEPS)),
            rng.integers(0, 2, (MEMBERS, 2, STEPS)),
            rng.integers(0, 3, (MEMBERS, 2, STEPS)),
        ],
        axis=-1,
    ).astype(float)
    now = np.array([[episode.time[-1]] for episode in histories])
    plan = Plan(now + 5.0 * np.arange(1, STEPS + 1), np.zeros((2, STEPS, 3)), np.zeros((2, STEPS, 1)))
    supported = np.array([[True, True, False], [True, False, False]])
    return Imagination(samples, verdict(supported), histories, plan)


def test_the_frame_has_a_row_for_each_id_step_and_variable() -> None:
    answer = imagination()
    frame = answer.to_frame("pandas")
    assert list(frame) == ["device", "minute", "step", "variable", "mean", *QUANTILES, "unit", "supported"]
    assert len(frame) == 2 * STEPS * len(NAMES)
    assert frame["device"].tolist() == ["unit 00"] * 15 + ["unit 01"] * 15
    assert frame["variable"].tolist() == NAMES * 6
    assert frame["step"].tolist() == ([1] * 5 + [2] * 5 + [3] * 5) * 2
    np.testing.assert_array_equal(frame["minute"], np.repeat(answer.plan.time.ravel(), 5))
    np.testing.assert_array_equal(frame["supported"], np.repeat(answer.supported.ravel(), 5))
    assert frame["unit"].tolist() == ["cm", *["probability"] * 4] * 6


def test_beyond_the_border_an_answer_is_not_surer_than_usual() -> None:
    answer = imagination()
    certain = replace(answer, samples=np.ones_like(answer.samples))
    for times, expected in ((1.0, (0.0, 0.0, 0.0)), (4.0, (6.0, 0.4, 0.4)), (100.0, (30.0, 1.0, 1.0))):
        far = np.full_like(answer.verdict.times, times)
        verdict = replace(answer.verdict, times=far, usual_error=np.tile([3.0, 0.2, 0.2], (STEPS, 1)))
        found = replace(certain, verdict=verdict).expected_error()
        np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape))


def test_the_numbers_are_those_of_the_samples() -> None:
    answer = imagination()
    frame = answer.to_frame("pandas").set_index(["device", "step", "variable"])
    level = answer.samples[:, 1, 2, 0]
    row = frame.loc[("unit 01", 3, "level")]
    assert row["mean"] == pytest.approx(level.mean(), rel=1e-6)
    assert [row[name] for name in QUANTILES] == pytest.approx(
        np.quantile(level, [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95], method="weibull"), rel=1e-6
    )
    assert frame.loc[("unit 00", 2, "mode=on"), "mean"] == pytest.approx((answer.samples[:, 0, 1, 2] == 1).mean())
    assert frame.loc[("unit 00", 2, "alarm=1"), "mean"] == pytest.approx(answer.samples[:, 0, 1, 1].mean())


def test_quantiles_rise_with_their_level() -> None:
    frame = imagination().to_frame("pandas")
    assert (np.diff(frame[QUANTILES].to_numpy(), axis=1) >= 0).all()
    np.testing.assert_array_equal(
        imagination().quantiles([0.5])[0, ..., 0], np.quantile(imagination().samples[..., 0], 0.5, axis=0)
    )


def test_the_probabilities_of_the_categories_sum_to_one() -> None:
    frame = imagination().to_frame("pandas")
    modes = frame[frame["variable"].str.startswith("mode=")]
    np.testing.assert_allclose(modes.groupby(["device", "step"])["mean"].sum(), 1)


def test_the_members_frame_holds_every_future() -> None:
    answer = imagination()
    frame = answer.members_frame("pandas")
    assert list(frame) == ["device", "minute", "step", "variable", "member", "value"]
    assert len(frame) == 2 * STEPS * len(NAMES) * MEMBERS
    level = frame[(frame["device"] == "unit 01") & (frame["variable"] == "level") & (frame["step"] == 2)]
    assert level["member"].tolist() == list(range(MEMBERS))
    np.testing.assert_allclose(level["value"], answer.samples[:, 1, 1, 0], rtol=1e-6)
    assert (level["minute"] == answer.plan.time[1, 1]).all()


@pytest.mark.parametrize(
    ("backend", "kind"), [("pyarrow", pa.Table), ("pandas", pd.DataFrame), ("polars", pl.DataFrame)]
)
def test_frames_come_in_the_kind_asked_for_or_in_that_of_the_history(backend: str, kind: type) -> None:
    answer = imagination()
    assert isinstance(answer.to_frame(backend), kind) and isinstance(answer.members_frame(backend), kind)
    histories = Episodes(answer.histories.schema, answer.histories.episodes, backend)
    assert isinstance(Imagination(answer.samples, answer.verdict, histories, answer.plan).to_frame(), kind)
    assert isinstance(imagination().to_frame(), pa.Table)


def test_a_column_of_ours_gives_way_to_the_users_own() -> None:
    frame = imagination(id="variable", time="step").to_frame("pandas")
    assert list(frame)[:4] == ["variable", "step", "step_", "variable_"]
    np.testing.assert_array_equal(frame["step"], np.repeat(imagination().plan.time.ravel(), 5))
    assert frame["step_"].tolist() == ([1] * 5 + [2] * 5 + [3] * 5) * 2
    assert list(imagination(time="value").members_frame("pandas"))[-1] == "value_"


@pytest.mark.parametrize("zone", ["", "UTC", "Europe/Berlin"])
def test_datetimes_come_back_in_their_zone(zone: str) -> None:
    answer = imagination(time_kind="datetime", time_zone=zone)
    time = answer.to_frame().column("minute")
    assert time.type == pa.timestamp("us", zone or None)
    expected = answer.plan.time.ravel()[0]
    assert time[0].value == round(expected * 1e6)
    assert answer.members_frame().column("minute").type == time.type


def test_xarray_has_dimensions_units_and_coordinates() -> None:
    answer = imagination()
    cube = answer.to_xarray()
    assert dict(cube.sizes) == {"member": MEMBERS, "episode": 2, "step": STEPS}
    assert set(cube.data_vars) == {"level", "alarm", "mode"} and cube["level"].attrs["units"] == "cm"
    np.testing.assert_array_equal(cube["level"].sel(step=2).isel(episode=1), answer.samples[:, 1, 1, 0])
    np.testing.assert_array_equal(cube["minute"], answer.plan.time)
    np.testing.assert_array_equal(cube["supported"], answer.supported)
    assert cube["device"].values.tolist() == ["unit 00", "unit 01"]


def test_xarray_dimensions_give_way_to_the_users_own_names() -> None:
    cube = imagination(time="step").to_xarray()
    assert set(cube.sizes) == {"member", "episode", "step_"}
    np.testing.assert_array_equal(cube["step"], imagination().plan.time)
    named = imagination(id="episode").to_xarray()
    assert named["level"].sel(episode="unit 01").sizes == {"member": MEMBERS, "step": STEPS}


def test_xarray_datetimes_are_utc() -> None:
    answer = imagination(time_kind="datetime", time_zone="Europe/Berlin")
    stamp = answer.to_xarray()["minute"].values[0, 0]
    assert stamp == np.datetime64("1970-01-01", "ns") + np.timedelta64(round(answer.plan.time[0, 0] * 1e9), "ns")
