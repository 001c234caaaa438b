"""The four mazes of PointMaze: where there is a floor, how far the walls are, and the ball in one of them."""

import runpy
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from foreworld.domains.mujoco import robotics

LAYOUTS = {"open": "OPEN", "u": "U_MAZE", "medium": "MEDIUM_MAZE", "large": "LARGE_MAZE"}
WALL_HEIGHT = 0.4  # m, as in PointMazeEnv; a cell is one metre wide
DIRECTIONS = ("east", "north", "west", "south")


@cache
def floor(layout: str) -> Bool[np.ndarray, "row column"]:
    """Where a layout of the package is open, row 0 at the largest y.

    Raises:
        MissingExtraError: gymnasium-robotics or MuJoCo is not installed.
    """
    maps = runpy.run_path(str(robotics("the maze domain") / "maze" / "maps.py"))
    return np.array(maps[LAYOUTS[layout]]) == 0


def centres(layout: str, open_: bool) -> Float[np.ndarray, "cell 2"]:
    """The centres (m) of the cells with a floor, or of those with a wall; the origin is in the middle of the maze."""
    cells = floor(layout)
    row, column = np.nonzero(cells == open_)
    return np.stack([column + 0.5 - cells.shape[1] / 2, cells.shape[0] / 2 - row - 0.5], axis=1)


def on_floor(place: Float[np.ndarray, "*batch 2"], layout: str) -> Bool[np.ndarray, "*batch"]:
    """Whether a place (m) is on a layout's floor, or not known. The ball has a radius, so its centre meets no wall."""
    row, column = _cell(np.where(np.isfinite(place), place, 0), layout)
    return np.pad(floor(layout), 1)[row, column] | np.isnan(place).any(-1)


def ranges(place: Float[np.ndarray, "*batch 2"], layout: str) -> Float[np.ndarray, "*batch 4"]:
    """How far (m) it is from a place on the floor to the next wall, to the east, north, west and south."""
    row, column = _cell(place, layout)
    cells = _open_cells(layout)[row, column]
    east, north = np.mod(place - np.array(floor(layout).shape[::-1]) / 2, 1.0).T.reshape(2, *place.shape[:-1])
    within = np.stack([1 - east, 1 - north, east, north], axis=-1)
    return cells + within


def build(layout: str, mass: float, damping: float) -> Any:
    """The package's ball in one of its mazes, as PointMazeEnv makes it, with another mass (kg) and damping (N s/m)."""
    mujoco = import_module("mujoco")
    spec = mujoco.MjSpec.from_file(str(robotics("the maze domain") / "assets" / "point" / "point.xml"))
    spec.geom("particle_geom").mass = mass
    for joint in spec.joints:
        joint.damping = [damping, 0, 0]
    for x, y in centres(layout, open_=False):
        size = [0.5, 0.5, WALL_HEIGHT / 2]
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, pos=[x, y, WALL_HEIGHT / 2], size=size, contype=1, conaffinity=1
        )
    return spec.compile()


def _cell(
    place: Float[np.ndarray, "*batch 2"], layout: str
) -> tuple[Int64[np.ndarray, "*batch"], Int64[np.ndarray, "*batch"]]:
    """Row and column in the layout with a border of one cell around it; what is farther out is in the border."""
    rows, columns = floor(layout).shape
    row = np.clip(np.floor(rows / 2 - place[..., 1]).astype(np.int64) + 1, 0, rows + 1)
    column = np.clip(np.floor(place[..., 0] + columns / 2).astype(np.int64) + 1, 0, columns + 1)
    return np.asarray(row), np.asarray(column)


@cache
def _open_cells(layout: str) -> Float[np.ndarray, "row column 4"]:
    """From each cell (with the border), how many open ones follow before a wall in each of DIRECTIONS."""
    cells = np.pad(floor(layout), 1)
    counts = np.zeros((*cells.shape, 4))
    for direction, (down, right) in enumerate([(0, 1), (-1, 0), (0, -1), (1, 0)]):
        for row, column in np.argwhere(cells):
            step = 1
            while cells[row + step * down, column + step * right]:
                step += 1
            counts[row, column, direction] = step - 1
    return counts
