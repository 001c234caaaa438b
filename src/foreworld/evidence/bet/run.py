"""Runs the bet cell by cell: what is there already is not run again, and a killed run loses no more than one cell."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from foreworld.domains import registry
from foreworld.domains.engine import open_workers
from foreworld.errors import TrainingError
from foreworld.evidence.bet import (
    cells,
    cheaper,
    contenders,
    hallucination,
    identifiability,
    interventions,
    noise_map,
    shift,
    trust,
    tuning,
)
from foreworld.evidence.bet.asking import ask, fewer
from foreworld.evidence.bet.cells import Cell
from foreworld.evidence.bet.rows import Rows
from foreworld.evidence.bet.scale import Scale
from foreworld.evidence.bet.scoreboard import OURS
from foreworld.evidence.bet.store import Store
from foreworld.evidence.bet.worlds import FAMILIAR, World, policies
from foreworld.training.progress import progress_bar

TUNING_SEED = 0
TUNED = ("world", "cheaper")
"""Kinds of cells that ask for what tuning chose; the others are asked of the defaults."""


class Bench:
    """Runs cells and keeps what comes of them.

    Args:
        scale: size of the run.
        folder: of the results.
    """

    def __init__(self, scale: Scale, folder: Path):
        torch.set_num_threads(cells.THREADS)
        self.scale, self.folder = scale, folder
        self.store = Store(folder / "simulated")

    def do(self, cell: Cell) -> None:
        """Run a cell. One that cannot be trained is kept as failed, and counts as that."""
        try:
            found = self._run(cell)
        except TrainingError as error:
            found = Rows()
            found.one("failed", str(error), "failed", 1.0)
        cells.write(cell, self.scale, found.table(), self.folder)

    def _run(self, cell: Cell) -> Rows:
        scale = self.scale
        if cell.kind == "map":
            return noise_map.run(cell.contender, cell.variant, scale, seed=cell.seed)
        if cell.kind == "mixing":
            return identifiability.run(cell.contender, cell.variant, scale, seed=cell.seed)
        world = World(cell.domain, cell.variant, cell.seed, scale, self.store)
        if cell.kind == "tuning":
            return tuning.run(world, cell.contender, scale)
        changes = self._tuned(cell)
        if cell.kind == "cheaper":
            plain = World(cell.domain, world.domain.policies[0], cell.seed, scale, self.store)
            return cheaper.run(plain, cell.contender, cell.variant, scale, changes=changes)
        return ask_world(world, cell.contender, changes)

    def _tuned(self, cell: Cell) -> Mapping[str, Any]:
        if not self.scale.trials or not contenders.of(cell.contender).network:
            return {}
        first = registry.simulator(cell.domain).policies[0]
        # A part is taken out of the world model, and all else left as it is.
        whose = OURS if contenders.of(cell.contender).family == "ablation" else cell.contender
        table = cells.read(Cell("tuning", cell.domain, whose, TUNING_SEED, first), self.scale, self.folder)
        assert table is not None, "tuning comes first"
        return {} if "failed" in table["question"].to_pylist() else tuning.chosen(table)


def ask_world(world: World, contender: str, changes: Mapping[str, Any]) -> Rows:
    """Questions 3 to 6 in one world."""
    scale, seed = world.scale, world.seed
    fitted = contenders.fit(
        contender, world.training, world.horizon, scale, seed=seed, domain=world.domain, changes=changes
    )
    few = scale.few if contenders.of(contender).slow else scale.cases
    rows, spent = Rows(), []
    for setting, every in world.settings():
        cases, places = fewer(every, few)
        began = time.perf_counter()
        answer = ask(fitted, cases, members=scale.futures, seed=seed)
        spent.append((time.perf_counter() - began) / len(cases.truth))
        if setting == FAMILIAR:
            interventions.score_levels(rows, world.policy, answer, cases, places, world.unit)
        shift.score(rows, _named(world, setting), answer, cases, places, world.unit)
        hallucination.score(rows, _named(world, setting), answer, cases, places, world.domain)
        trust.score(rows, _named(world, setting), answer, cases, places, world.unit)
    done, undone = world.effects()
    if len(done.truth):
        both = [fewer(cases, few) for cases in (done, undone)]
        answers = [ask(fitted, cases, members=scale.futures, seed=seed) for cases, _ in both]
        interventions.score_effects(
            rows, world.policy, (answers[0], answers[1]), (both[0][0], both[1][0]), both[0][1], world.unit
        )
    for name, value in {**fitted.facts, "seconds a question": float(np.median(spent))}.items():
        rows.one("cost", world.policy, name, value)
    return rows


def _named(world: World, setting: str) -> str:
    """A setting of another training policy than the first is told apart."""
    return setting if world.policy == world.domain.policies[0] else f"{setting} (trained on {world.policy})"


def plan(
    scale: Scale, seeds: Sequence[int], kinds: Sequence[str] = (), domains: Sequence[str] = ()
) -> tuple[list[Cell], list[Cell]]:
    """The cells of a run, of some kinds and domains or of all: those of tuning, if any need it, and the others."""
    tuned, others = [], []
    every = contenders.names(scale)
    whole = [name for name in every if contenders.of(name).family != "ablation"]
    for domain in scale.domains:
        simulator = registry.simulator(domain)
        first, *rest = policies(domain, simulator)[: scale.policies]
        if scale.trials:
            tuned += [Cell("tuning", domain, name, TUNING_SEED, first) for name in whole if contenders.of(name).network]
        field = contenders.field_of(simulator)
        pieces = cheaper.pieces(scale, simulator.schema)
        for seed in seeds:
            others += [Cell("world", domain, name, seed, first) for name in (*every, *field)]
            others += [Cell("world", domain, name, seed, policy) for policy in rest for name in (*whole, *field)]
            others += [
                Cell("cheaper", domain, name, seed, piece)
                for piece in pieces
                for name in whole
                if contenders.of(name).everywhere
            ]
    probed = [name for name in every if contenders.of(name).network and contenders.of(name).everywhere]
    for seed in seeds:
        places = [noise_map.place(a, p) for a in scale.grid[0] for p in scale.grid[1]]
        others += [Cell("map", "oscillator", name, seed, place) for place in places for name in probed]
        others += [
            Cell("mixing", "latents", name, seed, piece)
            for piece in identifiability.pieces(scale)
            for name in (identifiability.ISOTROPIC, *probed)
        ]
    others = [cell for cell in others if (not kinds or cell.kind in kinds) and (not domains or cell.domain in domains)]
    needed = {cell.domain for cell in others if cell.kind in TUNED}
    tuned = [cell for cell in tuned if cell.domain in needed]
    # Seed by seed, so that a run that is stopped has whole tables; in each the long ones first, lest one is left alone.
    return tuned, sorted(others, key=lambda cell: (cell.seed, not contenders.of(cell.contender).slow))


def run(
    folder: Path,
    scale: Scale,
    seeds: Sequence[int],
    *,
    engine: str = "serial",
    workers: int | None = None,
    kinds: Sequence[str] = (),
    domains: Sequence[str] = (),
    progress: bool | None = None,
) -> pa.Table:
    """Run what is missing, and give all results that there are of these seeds, also those that were not asked for.

    Args:
        folder: of the results: `cells/` with one Parquet file a cell, `results.parquet` with all of them.
        scale: size of the run.
        seeds: of the cells.
        engine, workers: where cells run, see `foreworld.domains.engine`; each cell runs in one thread.
        kinds, domains: of the cells that are run; all by default.
        progress: a bar; by default on a terminal.
    """
    wanted = plan(scale, seeds, kinds, domains)
    total, done = sum(map(len, wanted)), 0
    make = partial(Bench, scale, folder)
    with open_workers(make, engine, workers) as (work, _), progress_bar("cells", total, progress) as report:
        for stage in wanted:
            missing = [cell for cell in stage if not cell.path(folder, scale).exists()]
            done += len(stage) - len(missing)
            # Closed, and not only left, if this is interrupted: cells that have not begun are dropped.
            with closing(work(Bench.do, [{"cell": cell} for cell in missing])) as finished:
                for _ in finished:
                    done += 1
                    report(done, {})
    return gather(folder, scale, [cell for stage in plan(scale, seeds) for cell in stage])


def gather(folder: Path, scale: Scale, wanted: Sequence[Cell]) -> pa.Table:
    """All results of some cells in one table, which is also written to `results.parquet`."""
    found = [cells.read(cell, scale, folder) for cell in wanted]
    table = pa.concat_tables([part for part in found if part is not None])
    pq.write_table(table, folder / "results.parquet")
    return table
