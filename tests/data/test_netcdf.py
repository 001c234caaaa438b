from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foreworld.data.netcdf import read_netcdf
from foreworld.errors import DataError

xarray = pytest.importorskip("xarray")


@pytest.fixture(scope="module")
def scenarios() -> dict[str, Path]:
    """Air temperature over North America, 1860 to 2099, by a climate model of the Met Office under two scenarios."""
    samples = pytest.importorskip("iris_sample_data")
    folder = Path(samples.__file__).parent / "sample_data"
    return {name: folder / f"{name}_north_america.nc" for name in ("A1B", "E1")}


@pytest.fixture
def maps() -> Any:
    """Two by three cells and four days; no value ever in the last cell, and one value missing in another."""
    heat = np.arange(24.0).reshape(4, 2, 3)
    heat[:, 1, 2] = np.nan
    heat[2, 0, 1] = np.nan
    return xarray.Dataset(
        {
            "heat": (("time", "lat", "lon"), heat, {"units": "K"}),
            "co2": ("time", np.array([1.0, 2, 3, 4]), {"units": "ppm"}),
            "height": (("lat", "lon"), np.arange(6.0).reshape(2, 3), {"units": "m"}),
            "label": ("time", np.array(["a", "b", "c", "d"])),
        },
        coords={
            "time": np.array(["2000-01-01", "2000-01-02", "2000-01-03", "2000-01-04"], dtype="datetime64[ns]"),
            "lat": ("lat", [0.0, 60.0], {"units": "degrees_north"}),
            "lon": ("lon", [0.0, 10.0, 350.0], {"units": "degrees_east"}),
        },
    )


def test_a_real_map_is_an_episode_a_cell(scenarios):
    data = read_netcdf(scenarios["A1B"], observations=["air_temperature"])
    assert len(data) == 37 * 49 and all(episode.steps == 239 for episode in data)
    assert data.schema.observations[0].unit == "K"
    assert [(v.name, v.unit) for v in data.schema.static] == [
        ("latitude", "degrees_north"),
        ("longitude", "degrees_east"),
    ]
    with xarray.open_dataset(scenarios["A1B"], decode_times=False) as file:
        cell = file.air_temperature.sel(latitude=60, longitude=315)
        episode = next(episode for episode in data if episode.id == "60,315")
        assert np.array_equal(episode.observations[:, 0], cell.to_numpy()) and np.array_equal(episode.static, [60, 315])
        assert file.time.attrs["calendar"] == "360_day"
        days = file.time.to_numpy() / 24
    assert data.schema.time_kind == "number" and data.schema.time_unit == "days"
    np.testing.assert_allclose(episode.time - episode.time[0], days - days[0])
    assert np.unique(np.diff(episode.time)).tolist() == [360]


def test_the_real_pair_of_scenarios_parts_as_published(scenarios):
    everywhere = {"all": {}, "arctic": {"latitude": (55, 60)}, "gulf": {"latitude": (20, 30), "longitude": (-100, -80)}}
    data = read_netcdf(scenarios, observations=["air_temperature"], regions=everywhere)
    assert [episode.id for episode in data] == ["A1B", "E1"]
    names = [variable.name for variable in data.schema.observations]
    assert names == ["air_temperature_all", "air_temperature_arctic", "air_temperature_gulf"]
    with xarray.open_dataset(scenarios["E1"]) as file:
        area = np.cos(np.deg2rad(file.latitude.to_numpy().astype(float)))[:, None] * np.ones(49)
        expected = (file.air_temperature.to_numpy() * area).sum(axis=(1, 2)) / area.sum()
    np.testing.assert_allclose(data[1].observations[:, 0], expected, rtol=1e-5)
    strong, weak = (episode.observations for episode in data)
    early, late = slice(0, 40), slice(-20, None)
    warmer = [path[late].mean(axis=0) - path[early].mean(axis=0) for path in (strong, weak)]
    assert (warmer[0] > warmer[1] + 1).all() and (warmer[1] > 1).all()
    # Both follow the same past, and part in this century.
    np.testing.assert_allclose(strong[:100].mean(axis=0), weak[:100].mean(axis=0), atol=0.2)


def test_cells_share_what_has_no_place(maps):
    data = read_netcdf(maps, observations=["heat"], actions=["co2"], static=["height"])
    assert [episode.id for episode in data] == ["0,0", "0,10", "0,350", "60,0", "60,10"]  # land has no episode
    assert [variable.name for variable in data.schema.static] == ["lat", "lon", "height"]
    assert data.schema.time_kind == "datetime"
    cell = data[1]
    np.testing.assert_array_equal(cell.observations[:, 0], [1, 7, np.nan, 19])
    assert cell.actions[:, 0].tolist() == [1, 2, 3] and cell.pending.tolist() == [4]
    assert cell.static.tolist() == [0, 10, 1]


def test_a_regional_mean_weighs_cells_by_area_and_leaves_out_what_is_missing(maps):
    regions = {"all": {}, "east": {"lon": (-15, 5)}}
    data = read_netcdf(maps, observations=["heat", "co2"], targets=["heat"], regions=regions)
    assert len(data) == 1 and data[0].id == "series"
    assert [v.name for v in data.schema.targets] == ["heat_all", "heat_east"]
    assert [v.unit for v in data.schema.observations] == ["K", "K", "ppm"]
    first, third = data[0].observations[0], data[0].observations[2]
    assert first[0] == pytest.approx((0 + 1 + 2 + 0.5 * (3 + 4)) / 4)
    assert third[0] == pytest.approx((12 + 14 + 0.5 * (15 + 16)) / 3)
    assert first[1] == pytest.approx((0 + 2 + 0.5 * 3) / 2.5)


def test_series_alone_are_one_episode_and_so_is_each_source(maps):
    assert [e.id for e in read_netcdf(maps, observations=["co2"])] == ["series"]
    pair = read_netcdf({"low": maps, "high": maps}, observations=["heat"])
    assert len(pair) == 10 and pair[0].id == "high/0,0"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"observations": ["wind"]}, "dataset, column 'wind': there is no such variable; there are co2, heat, height"),
        ({"observations": ["height"]}, "column 'height': it does not change along 'time'"),
        ({"observations": ["label"]}, "column 'label': values of type <U1 are no numbers"),
        ({"observations": ["heat"], "static": ["co2"]}, "column 'co2': it changes along 'time'"),
        ({"observations": ["heat"], "time": "day"}, "column 'day': there is no such dimension of time; there are time"),
        ({"observations": ["heat"], "regions": {"a": {"lat": (70, 80)}}}, "region 'a' holds no cell along 'lat'"),
        (
            {"observations": ["heat"], "regions": {"a": {"depth": (0, 1)}}},
            "region 'a' bounds 'depth'; there are lat, lon",
        ),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(maps, change, problem):
    with pytest.raises(DataError, match=problem.replace("(", r"\(")):
        read_netcdf(maps, **change)


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.nc: there is no such file"):
        read_netcdf(tmp_path / "gone.nc", observations=["heat"])
    (tmp_path / "bad.nc").write_bytes(b"\x89HDF\r\n\x1a\n but nothing else")
    with pytest.raises(DataError, match=r"bad\.nc: it cannot be read as NetCDF"):
        read_netcdf(tmp_path / "bad.nc", observations=["heat"])
    with pytest.raises(DataError, match="a list is neither a path nor"):
        read_netcdf([1], observations=["heat"])


def test_other_calendars_count_days_and_do_not_mix(maps):
    cftime = pytest.importorskip("cftime")
    times = [cftime.DatetimeNoLeap(2000, 2, 28), cftime.DatetimeNoLeap(2000, 3, 1)]
    other = xarray.Dataset({"co2": ("time", [1.0, 2.0])}, coords={"time": times})
    data = read_netcdf(other, observations=["co2"])
    assert np.diff(data[0].time).tolist() == [1] and data[0].time[0] == 30 * 365 + 31 + 27
    with pytest.raises(DataError, match="do not share one calendar"):
        read_netcdf({"a": maps, "b": other}, observations=["co2"])
