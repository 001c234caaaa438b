"""Episodes of xarray datasets and NetCDF files: a map is an episode for each of its cells, or a column a region."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from foreworld.data.episodes import Episodes
from foreworld.errors import DataError, MissingExtraError

ID = "episode"
Region = Mapping[str, tuple[int | float, int | float]]
"""Coordinate to lowest and highest value; longitudes may go through 0 or 180. Empty for everywhere."""


@dataclass(frozen=True)
class Roles:
    """The variables of a dataset by role, and how it is read; see `read_netcdf`."""

    observations: Sequence[str]
    actions: Sequence[str]
    known_future: Sequence[str]
    static: Sequence[str]
    time: str
    regions: Mapping[str, Region] | None

    @property
    def changing(self) -> list[str]:
        """Variables along time."""
        return [*self.observations, *self.actions, *self.known_future]


def read_netcdf(
    source: Any,
    *,
    observations: Sequence[str],
    actions: Sequence[str] = (),
    known_future: Sequence[str] = (),
    static: Sequence[str] = (),
    targets: Sequence[str] | None = None,
    time: str = "time",
    regions: Mapping[str, Region] | None = None,
) -> Episodes:
    """Read variables along time, with units from their attributes and missing values as they are.

    Without `regions` every cell (a place, a level, a run: whatever dimensions there are beside time) is an episode, its
    numeric coordinates are static facts, and a variable without these dimensions is the same in all cells. A cell with
    no observation at all, as land has in a file about the sea, is no episode. With `regions` a source is one episode,
    and a map becomes one column a region, `temperature_north`: the mean over its cells, weighted by their area (the
    cosine of latitude) where there is a latitude.

    Times of the standard calendar are datetimes; those of another (`360_day`, `noleap`) are days since 1970-01-01 in
    that calendar.

    Args:
        source: a path, an `xarray.Dataset`, or several of either by name: runs under different scenarios, say. The
            names begin the ids of their episodes.
        observations, actions, known_future: variables along time.
        static: variables without time.
        targets: observations of interest, all by default; a map stands for all of its regions.
        time: name of the time dimension.
        regions: by name.

    Raises:
        DataError: naming the file and the variable: an unreadable file, an unknown variable, one without time or with
            text, a region without cells, and all that `Episodes.from_frame` refuses.
        MissingExtraError: xarray, or what reads the file, is not installed.
    """
    xarray = _xarray()
    roles = Roles(observations, actions, known_future, static, time, regions)
    several = isinstance(source, Mapping) and not isinstance(source, xarray.Dataset)
    parts = []
    for label, item in source.items() if several else [("", source)]:
        data, name = _open(xarray, item, label)
        parts.append(_part(xarray, data, name, str(label), roles))
    if not parts:
        raise DataError("there is no dataset", source="netcdf")
    first = parts[0]
    if any(part.time_unit != first.time_unit for part in parts):
        raise DataError("the datasets do not share one calendar", source="netcdf", column=time)

    def wide(names: Sequence[str]) -> list[str]:
        return [column for name in names for column in first.maps.get(name, [name])]

    table = {name: np.concatenate([part.table[name] for part in parts]) for name in first.table}
    return Episodes.from_frame(
        pa.table({name: pa.array(values, from_pandas=True) for name, values in table.items()}),
        id=ID,
        time=time,
        observations=wide(observations),
        actions=wide(actions),
        known_future=wide(known_future),
        static=[*first.coordinates, *static],
        targets=None if targets is None else wide(targets),
        units=first.units,
        kinds=dict.fromkeys([*wide(roles.changing), *first.coordinates, *static], "continuous"),
        time_unit=first.time_unit,
        source=os.fspath(source) if isinstance(source, str | os.PathLike) else "dataset",
    )


def _xarray() -> Any:
    try:
        import xarray
    except ImportError:
        raise MissingExtraError("reading NetCDF and xarray datasets", "netcdf") from None
    return xarray


def _open(xarray: Any, item: Any, label: str) -> tuple[Any, str]:
    """A dataset, and what errors call it."""
    if isinstance(item, xarray.Dataset):
        return item, label or "dataset"
    if not isinstance(item, str | os.PathLike):
        raise DataError(f"a {type(item).__name__} is neither a path nor an xarray.Dataset", source=label or "dataset")
    name = os.fspath(item)
    if not os.path.exists(name):
        raise DataError("there is no such file", source=name)
    try:
        with xarray.open_dataset(name, decode_timedelta=False) as file:
            return file.load(), name
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        if "cftime" in str(error) or "installed" in str(error):
            raise MissingExtraError(f"reading '{name}'", "netcdf") from None
        raise DataError(f"it cannot be read as NetCDF: {error}", source=name) from None


@dataclass(frozen=True)
class Part:
    """One dataset as rows.

    Attributes:
        table: columns, with the id and the time of each row among them.
        units: by column, where there are any.
        maps: the columns that a map became, region by region.
        coordinates: names of the columns that say where a cell is.
        time_unit: of times that are numbers.
    """

    table: dict[str, np.ndarray]
    units: dict[str, str]
    maps: dict[str, list[str]]
    coordinates: list[str]
    time_unit: str


def _part(xarray: Any, data: Any, source: str, label: str, roles: Roles) -> Part:
    if roles.time not in data.dims or roles.time not in data.coords:
        problem = f"there is no such dimension of time; there are {', '.join(map(str, data.dims))}"
        raise DataError(problem, source=source, column=roles.time)
    maps: dict[str, list[str]] = {}
    fields: dict[str, Any] = {}
    for name in [*roles.changing, *roles.static]:
        _check(data, source, name, name not in roles.static, roles.time)
        if roles.regions is None or data[name].ndim == 1 or name in roles.static:
            fields[name] = data[name]
            continue
        maps[name] = [f"{name}_{region}" for region in roles.regions]
        for column, (region, box) in zip(maps[name], roles.regions.items(), strict=True):
            fields[column] = _mean(data[name], source, region, box, roles.time)
    units = {column: str(field.attrs.get("units", "")) for column, field in fields.items()}
    times, time_unit = _times(data[roles.time], source, roles.time)
    whole = dict(zip(fields, xarray.broadcast(*fields.values()), strict=True))
    space = [dim for dim in next(iter(whole.values())).dims if dim != roles.time]
    table = {name: field.transpose(*space, roles.time).to_numpy().astype(np.float64) for name, field in whole.items()}
    table = {name: values.reshape(-1, len(times)) for name, values in table.items()}
    seen = [column for name in roles.observations for column in maps.get(name, [name])]
    kept = np.any([np.isfinite(table[column]).any(axis=1) for column in seen], axis=0)
    places = {dim: data[dim].to_numpy() if dim in data.coords else np.arange(data.sizes[dim]) for dim in space}
    grid = dict(zip(space, np.meshgrid(*places.values(), indexing="ij"), strict=True))
    ids = [_id(label, values) for values in zip(*(values.ravel() for values in grid.values()), strict=True)]
    ids = ids or [label or "series"]
    rows = {name: values[kept].ravel() for name, values in table.items()}
    rows[ID] = np.repeat(np.array(ids)[kept], len(times))
    rows[roles.time] = np.tile(times, int(kept.sum()))
    coordinates = [dim for dim in space if places[dim].dtype.kind in "fiu"]
    for dim in coordinates:
        rows[dim] = np.repeat(grid[dim].ravel()[kept].astype(np.float64), len(times))
        units[dim] = str(data[dim].attrs.get("units", ""))
    return Part(rows, {name: unit for name, unit in units.items() if unit}, maps, coordinates, time_unit)


def _id(label: str, values: Sequence[Any]) -> str:
    place = ",".join(f"{value:g}" if np.issubdtype(type(value), np.number) else str(value) for value in values)
    return f"{label}/{place}" if label else place


def _check(data: Any, source: str, name: str, changing: bool, time: str) -> None:
    if name not in data:
        known = ", ".join(sorted(map(str, data.data_vars)))
        raise DataError(f"there is no such variable; there are {known}", source=source, column=name)
    if data[name].dtype.kind not in "fiub":
        raise DataError(f"values of type {data[name].dtype} are no numbers", source=source, column=name)
    if changing and time not in data[name].dims:
        raise DataError(f"it does not change along '{time}': declare it as static", source=source, column=name)
    if not changing and time in data[name].dims:
        raise DataError(f"it changes along '{time}', so it is not static", source=source, column=name)


def _times(values: Any, source: str, name: str) -> tuple[np.ndarray, str]:
    """Datetimes, or numbers with their unit."""
    times = values.to_numpy()
    if times.dtype.kind == "M":
        return times, ""
    if times.dtype.kind in "fiu":
        return times.astype(np.float64), str(values.attrs.get("units", ""))
    if times.dtype.kind == "O" and len(times) and hasattr(times[0], "calendar"):
        epoch = type(times[0])(1970, 1, 1)
        return np.array([(moment - epoch).total_seconds() / 86400 for moment in times]), "days"
    raise DataError(f"values of type {times.dtype} are no times", source=source, column=name)


def _mean(field: Any, source: str, region: str, box: Region, time: str) -> Any:
    """The mean of a map over the cells of a region that have a value, by area where there is a latitude."""
    name, unit = str(field.name), field.attrs.get("units", "")
    for dim, (low, high) in box.items():
        if dim not in field.dims or dim not in field.coords:
            known = ", ".join(str(dim) for dim in field.dims if dim != time)
            raise DataError(f"region '{region}' bounds '{dim}'; there are {known}", source=source, column=name)
        place = field[dim]
        inside = (place >= low) & (place <= high)
        if _is(place, "longitude", "degrees_east"):
            inside = (place - low) % 360 <= high - low
        if not inside.any():
            raise DataError(f"region '{region}' holds no cell along '{dim}'", source=source, column=name)
        field = field.isel({dim: np.flatnonzero(inside.to_numpy())})
    space = [dim for dim in field.dims if dim != time]
    weights = field.isel({time: 0}, drop=True).isnull() * 0.0 + 1.0
    for dim in space:
        if dim in field.coords and _is(field[dim], "latitude", "degrees_north"):
            weights = weights * np.cos(np.deg2rad(field[dim]))
    return field.weighted(weights).mean(space).assign_attrs(units=unit)


def _is(coordinate: Any, name: str, unit: str) -> bool:
    """Whether a coordinate is latitude or longitude, by the CF conventions or by its name."""
    declared = coordinate.attrs.get("standard_name") == name or coordinate.attrs.get("units") == unit
    return declared or str(coordinate.name) in (name, name[:3])
