"""The same budget for all, the same questions to all, and a run that goes on where it stopped."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from foreworld.data.plan import cut
from foreworld.domains.tumour import Tumour
from foreworld.evidence.baselines import Persistence
from foreworld.evidence.bet import cells, contenders, identifiability, run, states, systems
from foreworld.evidence.bet.boosted import Boosted
from foreworld.evidence.bet.budget import TOLERANCE, matched, training_flops
from foreworld.evidence.bet.cells import Cell
from foreworld.evidence.bet.page import page
from foreworld.evidence.bet.rows import Rows
from foreworld.evidence.bet.scale import QUICK
from foreworld.evidence.bet.store import Store
from foreworld.evidence.bet.worlds import COMBINED, FAMILIAR, SEPARATE, World
from foreworld.evidence.evaluate import evaluate, origins

from ...simulated import episodes, pushed

TINY = replace(
    QUICK, domains=("tumour",), steps=3, batch=4, anchors=2, draws=2, futures=4, calibration=4, cases=24, few=4
)
DATA = episodes([14, 9, 22, 12, 16])
NETWORKS = [name for name, contender in contenders.CONTENDERS.items() if contender.network]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_the_parameters_of_jepa_within_a_tenth(name: str) -> None:
    config = contenders.configuration(name, TINY, DATA, 4)
    facts = matched(config, DATA)[1]
    assert abs(facts["parameters_share"] - 1) <= TOLERANCE
    if name.startswith("jepa"):
        assert facts["parameters_share"] == 1


def test_compute_is_counted() -> None:
    config = contenders.configuration("jepa", TINY, DATA, 4)
    single = training_flops(config, DATA)
    double = training_flops(config.model_copy(update={"batch": 2 * config.batch}), DATA)
    assert 1.9 * single < double < 2.1 * single


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bet")


def test_a_cell_is_kept_with_what_it_was_run_with_and_not_run_again(folder: Path, monkeypatch) -> None:
    scale = replace(TINY, policies=1)
    monkeypatch.setattr(Tumour, "study", replace(Tumour.study, episodes=1))
    wanted = [Cell("world", "tumour", name, 0, "courses") for name in ("jepa", "next token", "persistence")]
    monkeypatch.setattr(run, "plan", lambda *_: ([], wanted))
    found = run.run(folder, scale, [0], progress=False).to_pandas()
    assert set(found.question) == {"levels", "effects", "shift", "hallucination", "trust", "cost"}
    assert set(found.setting) >= {FAMILIAR, "late", "another policy", "noisier sensors", "missing values"}
    times = {path: path.stat().st_mtime_ns for path in folder.glob("cells/*.parquet")}
    again = run.run(folder, scale, [0], progress=False).to_pandas()
    pd.testing.assert_frame_equal(found, again)
    assert times == {path: path.stat().st_mtime_ns for path in folder.glob("cells/*.parquet")}
    facts = pq.read_schema(wanted[0].path(folder, scale)).metadata
    assert b'"contender": "jepa"' in facts[b"cell"] and facts[b"hash"].decode() in set(found["hash"])
    assert wanted[0].digest(scale) != wanted[0].digest(replace(scale, steps=4))
    # Cells run with a thread each, and are found again by a process with more.
    threads, here = torch.get_num_threads(), wanted[0].digest(scale)
    torch.set_num_threads(threads + 1)
    assert wanted[0].digest(scale) == here
    torch.set_num_threads(threads)
    crps = found[(found.question == "levels") & (found.metric == "crps")]
    assert crps.groupby("contender").case.nunique()["next token"] < crps.groupby("contender").case.nunique()["jepa"]
    report = page(found, scale, [0], {}).html()
    assert "Where JEPA loses" in report and "next token" in report and "<script" not in report


def test_only_cells_that_use_it_are_tuned_for() -> None:
    scale = replace(TINY, trials=2)
    tuned, others = run.plan(scale, [0], ["map"])
    assert not tuned and others and all(cell.kind == "map" for cell in others)
    tuned, others = run.plan(scale, [0], ["cheaper", "map"])
    assert {cell.kind for cell in tuned} == {"tuning"} and {cell.kind for cell in others} == {"cheaper", "map"}
    tuned, others = run.plan(replace(scale, domains=("tumour", "glucose")), [0], domains=["tumour"])
    assert {cell.domain for cell in tuned + others} == {"tumour"}
    assert {cell.kind for cell in others} == {"world", "cheaper"}


def test_who_is_asked_what() -> None:
    tuned, others = run.plan(replace(TINY, trials=2, ablations=True, policies=5, domains=("tumour",)), [0])
    asked = {kind: {cell.contender for cell in others if cell.kind == kind} for kind in ("world", "map", "cheaper")}
    assert "next token, text" in asked["world"] - asked["map"] - asked["cheaper"]
    ablations = {name for name in NETWORKS if contenders.of(name).family == "ablation"}
    assert ablations <= asked["map"] and not ablations & (asked["cheaper"] | {cell.contender for cell in tuned})
    first = Tumour().policies[0]
    assert {c.variant for c in others if c.kind == "world" and c.contender in ablations} == {first}
    assert {c.variant for c in others if c.kind == "world" and c.contender == "jepa"} > {first, SEPARATE}


def test_a_contender_that_cannot_be_trained_is_said_so(folder: Path) -> None:
    bench = run.Bench(TINY, folder)
    cell = Cell("map", "oscillator", "jepa", 0, "amplitude 8, persistence 0")
    bench.scale = replace(TINY, worlds=(30, 1))
    bench.do(cell)
    table = cells.read(cell, bench.scale, folder)
    assert table is not None and table["question"].to_pylist() == ["failed"]


def test_what_was_simulated_is_read_back_as_it_was(folder: Path) -> None:
    world = World("tumour", "gamma4", 1, TINY, Store(folder / "simulated"))
    other = World("tumour", "gamma4", 1, TINY, Store(folder / "simulated"))
    assert world.training.fingerprint == other.training.fingerprint
    (_, first), (_, second) = next(iter(world.settings())), next(iter(other.settings()))
    np.testing.assert_array_equal(first.truth, second.truth)
    np.testing.assert_array_equal(first.plan.actions, second.plan.actions)
    assert first.group == second.group and first.histories[3].steps == second.histories[3].steps
    assert {e.id for e in world.training}.isdisjoint(set(first.group))


def test_nobody_is_given_both_treatments_until_the_question(folder: Path) -> None:
    world = World("tumour", SEPARATE, 0, TINY, Store(folder / "simulated"))
    for episode in world.training:
        assert (episode.actions.sum(0) > 0).sum() <= 1
    combined = dict(world.settings())[COMBINED]
    assert (combined.plan.actions.sum(1) > 0).all()


def test_the_map_and_the_latents_are_what_they_say() -> None:
    for persistence in (0.0, 0.999):
        data, state = systems.oscillator(8.0, persistence, rows=40, episodes=6, seed=0, world=0)
        assert state.shape == (6, 40, 2) and [v.name for v in data.schema.targets] == ["o0"]
        values = np.stack([episode.observations[:, 1:] for episode in data])
        step = np.diff(values, axis=1).std() / values.std()
        assert step < 0.2 if persistence else step > 1
    for shape in (2.0, 8.0):
        _, state = systems.latents("swirl", shape=shape, rows=400, episodes=20, seed=0)
        assert abs(state.std() - 1) < 0.1
        assert abs(np.mean(state**4) / np.mean(state**2) ** 2 - (3.0 if shape == 2 else 1.9)) < 0.4
    assert "swirl, with actions" in identifiability.pieces(QUICK)


def test_a_state_that_is_held_linearly_is_read_without_loss() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(5, 40, 2))
    held = truth @ rng.normal(size=(2, 6)) + 3
    told = states._apply(states._probe(held, truth), held)
    assert np.square(told - truth).mean() < 1e-3


def test_a_nuisance_is_worth_probing_through(folder: Path) -> None:
    found = run.Bench(replace(TINY, worlds=(30, 8), grid=((1.0,), (0.0,))), folder)._run(
        Cell("map", "oscillator", "jepa", 0, "amplitude 1, persistence 0")
    )
    frame = found.table().to_pandas()
    assert set(frame[frame.question == "map"].metric) == {"lost, encoded", "lost, imagined", "lost, frozen"}
    assert np.isfinite(frame.value).all()


def test_boosted_trees_learn_what_a_push_does() -> None:
    train, test = pushed(30, 40, 0), pushed(8, 40, 7)
    model = Boosted.fit(train, 6)
    cases = cut(test, origins(test, context=3, horizon=6, limit=60), 6)
    scores = evaluate({"boosted": model, "persistence": Persistence.fit(train, 6)}, cases, members=50)
    boosted, persistence = scores.overall("crps").mean[:, 0]
    assert boosted < 0.5 * persistence
    assert abs(scores.overall("coverage_90").mean[0, 0] - 0.9) < 0.1


def test_rows_leave_out_what_is_not_known() -> None:
    rows = Rows()
    rows.add("q", "s", "m", [1.0, np.nan, 3.0], ["a", "b", "c"], cases=np.array([5, 6, 7]))
    assert rows.table().to_pydict()["case"] == [5, 7]


def test_the_command_refuses_what_there_is_not(tmp_path: Path) -> None:
    for words in (
        ["bench", "chess"],
        ["bench", "bet", "--only", "chess"],
        ["bench", "bet", "--domain", "chess"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "foreworld", *words, "--out", str(tmp_path)], capture_output=True, text=True
        )
        assert done.returncode == 2 and "chess" in done.stderr
    assert Tumour().policies[0] == "courses"
