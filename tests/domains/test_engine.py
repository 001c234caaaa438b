import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foreworld.domains import engine as engines
from foreworld.domains import registry
from foreworld.domains.collect import branch, branch_effects, collect
from foreworld.domains.engine import Engine, open_engine
from foreworld.domains.glucose import Glucose
from foreworld.errors import MissingExtraError, QuestionError

PATIENTS = ("adult#003", "child#002", "child#007")
ORIGINS = [("child#002", 4), ("adult#003", 9), ("child#002", 7)]
EFFECT: dict[str, Any] = {"interventions": ["correction"], "origins": ORIGINS, "horizon": 5, "seed": 2}


def check_against_this_process(engine: Engine) -> None:
    """Every kind of answer has the bits, and the order, that the functions of `collect` give."""
    domain = Glucose()
    ours = engine.collect(instances=PATIENTS, episodes_per_instance=2, steps=12, seed=2)
    theirs = collect(domain, instances=PATIENTS, episodes_per_instance=2, steps=12, seed=2)
    assert ours.fingerprint == theirs.fingerprint and [e.id for e in ours] == [e.id for e in theirs]
    ours[0].observations[0] = 0  # memory of our own
    pairs = [
        (
            engine.branch(origins=ORIGINS, horizon=5, alternatives=3, seed=2),
            branch(domain, origins=ORIGINS, horizon=5, alternatives=3, seed=2),
        ),
        *zip(engine.branch_effects(**EFFECT), branch_effects(domain, **EFFECT), strict=True),
    ]
    for left, right in pairs:
        assert left.group == right.group
        assert left.histories.fingerprint == right.histories.fingerprint
        assert np.array_equal(left.truth, right.truth)
        assert np.array_equal(left.plan.actions, right.plan.actions)
        assert np.array_equal(left.plan.time, right.plan.time)


@pytest.mark.parametrize("shares", [1, 2, 5])
def test_the_bits_do_not_depend_on_how_the_work_is_shared(shares: int) -> None:
    domain = Glucose()
    check_against_this_process(Engine(domain, lambda task, jobs: (task(domain, **job) for job in jobs), shares))


def test_processes_give_the_same_bits() -> None:
    with open_engine(partial(registry.simulator, "glucose"), "process", 2) as engine:
        check_against_this_process(engine)
        # What goes wrong in a worker is told as if it had gone wrong here.
        with pytest.raises(QuestionError, match="no meal to halve"):
            engine.branch_effects(interventions=["half meal"], origins=ORIGINS, horizon=5, seed=2)


def test_a_regime_can_be_spread_over_processes() -> None:
    with open_engine(partial(Glucose, "noisier sensor"), "process", 1) as engine:
        spread = engine.collect(instances=PATIENTS[:1], steps=6)
    assert spread.fingerprint == collect(Glucose("noisier sensor"), instances=PATIENTS[:1], steps=6).fingerprint


@pytest.mark.filterwarnings("default")
def test_ray_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with open_engine(partial(registry.simulator, "glucose"), "ray", 2) as engine:
        check_against_this_process(engine)


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    begin = f"from tests.domains.test_engine import keep_beating; keep_beating({str(beat)!r})"
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", begin], cwd=root, stderr=subprocess.DEVNULL) as parent:
        while not beat.exists():
            assert parent.poll() is None
            time.sleep(0.1)
        parent.kill()
    for _ in range(20):
        before = beat.read_text()
        time.sleep(1)
        if beat.read_text() == before:
            return
    raise AssertionError("a worker outlived its parent")


def keep_beating(path: str) -> None:
    """In a worker, until somebody stops it."""
    with engines.open_workers(dict, "process", 1) as (run, _):
        list(run(_beat, [{"path": path}]))


def _beat(_: Any, path: str) -> None:
    for count in range(1200):
        Path(path).write_text(str(count))
        time.sleep(0.1)


def test_engines_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(QuestionError, match="no engine 'spark'; there are serial, process, ray"),
        open_engine(Glucose, "spark"),
    ):
        pass
    with pytest.raises(QuestionError, match="0 workers"), open_engine(Glucose, "process", 0):
        pass
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'foreworld\[ray\]'"), open_engine(Glucose, "ray"):
        pass
