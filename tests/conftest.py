"""A small table and a small model of it, for everything that needs a model but not a good one."""

import os
from collections.abc import Iterator
from pathlib import Path

# One thread a process, before anything starts a pool: the same bits everywhere, and no threads fighting for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings
from pyarrow import csv, parquet

settings.register_profile("foreworld", deadline=None, print_blob=True)
settings.load_profile("foreworld")

SMALL = {
    "members": 2,
    "latent": 8,
    "hidden": 16,
    "noise": 2,
    "context": 12,
    "horizon": 6,
    "steps": 40,
    "batch": 4,
    "anchors": 2,
}
TANK_ROLES = {"id": "run", "time": "minute", "observations": ["level"], "actions": ["valve"], "static": ["size"]}


def tank_table(runs: int, rows: int, seed: int) -> pa.Table:
    """A leaking tank filled through a valve that someone turns at random: level in cm, every five minutes."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(1, 2, runs)
    valve = np.repeat(rng.uniform(0, 1, (runs, -(-rows // 4))), 4, axis=1)[:, :rows]
    level = np.empty((runs, rows))
    level[:, 0] = rng.uniform(20, 60, runs)
    for row in range(1, rows):
        noise = rng.normal(0, 0.5, runs)
        level[:, row] = np.clip(0.8 * level[:, row - 1] + 20 * valve[:, row - 1] / size + noise, 0, None)
    return pa.table(
        {
            "run": np.repeat([f"tank {number}" for number in range(runs)], rows),
            "minute": np.tile(np.arange(rows) * 5.0, runs),
            "level": level.reshape(-1),
            "valve": valve.reshape(-1),
            "size": np.repeat(size, rows),
        }
    )


@pytest.fixture(scope="session")
def tank_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight runs of forty rows, as CSV."""
    path = tmp_path_factory.mktemp("tables") / "tank.csv"
    csv.write_csv(tank_table(8, 40, seed=0), path)
    return path


@pytest.fixture(scope="session")
def new_tanks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two further runs of thirty rows, as Parquet."""
    path = tmp_path_factory.mktemp("tables") / "new.parquet"
    parquet.write_table(tank_table(2, 30, seed=1), path)
    return path


@pytest.fixture(scope="session")
def tank_model(tank_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model of the tank. It was trained for a second, so its answers have the right form and no merit."""
    import foreworld as fw
    from foreworld.world.config import FitConfig

    data = fw.Episodes.from_file(tank_csv, **TANK_ROLES, units={"level": "cm"}, bounds={"level": (0.0, None)})
    folder = tmp_path_factory.mktemp("models") / "tank"
    fw.WorldModel.fit(data, config=FitConfig.model_validate(SMALL), progress=False).save(folder)
    return folder


@pytest.fixture
def small_defaults(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Models made with the default configuration are small and trained for a second."""
    from foreworld.world.config import FitConfig

    with monkeypatch.context() as changed:
        for name, value in SMALL.items():
            changed.setattr(FitConfig.model_fields[name], "default", value)
        FitConfig.model_rebuild(force=True)
        yield
    FitConfig.model_rebuild(force=True)
