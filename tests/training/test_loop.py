"""Training is a function of seed, data and settings, and interrupting it changes no bit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foreworld.data.episodes import Episodes
from foreworld.data.tabulate import tabulate
from foreworld.errors import ArtifactError, TrainingError
from foreworld.training import loop
from foreworld.training.checkpoint import Checkpoint, run_key
from foreworld.training.fit import folds
from foreworld.training.loop import Trainer
from foreworld.world.config import FitConfig

from ..simulated import encoding_of, episodes, tiny

DATA = episodes([25, 2, 40, 13, 9])
CONFIG = tiny(steps=23)


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    monkeypatch.setattr(loop, "DIAGNOSE_EVERY", 10)
    monkeypatch.setattr(loop, "SELECT_EVERY", 4)
    monkeypatch.setattr(loop, "PATIENCE", 1.0)


def trainer(config: FitConfig = CONFIG, *, seed: int = 0, data: Episodes = DATA) -> Trainer:
    encoding = encoding_of(data, config.memory)
    held_out = folds(np.array([e.steps for e in data]), config.members, seed)
    seen = [np.setdiff1d(np.arange(len(data)), fold) for fold in held_out]
    return Trainer(config, encoding, tabulate(data, encoding), seen, held_out, seed=seed)


def state(trained: Trainer) -> dict[str, Any]:
    """Every number that a run leaves behind, as bytes."""
    tensors: dict[Any, dict] = {"network": trained.network.state_dict(), "average": trained.average.state_dict()}
    tensors["best"] = trained.best.state_dict()
    for place, optimiser in enumerate(trained.optimisers):
        tensors |= {(place, index): values for index, values in optimiser.state_dict()["state"].items()}
    numbers = {
        (part, name): torch.as_tensor(value).numpy().tobytes()
        for part, values in tensors.items()
        for name, value in values.items()
    }
    best = (trained.best_step, trained.best_score)
    return {"step": trained.step, "best": best, "log": trained.log, "numbers": numbers}


class Interrupt(Exception):
    pass


def interrupted(at: int) -> Any:
    def report(step: int, metrics: dict[str, float]) -> None:
        if step == at:
            raise Interrupt

    return report


@pytest.fixture(scope="module")
def whole() -> Iterator[dict[str, Any]]:
    """An undisturbed run."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(loop, "LOG_EVERY", 5)
        changed.setattr(loop, "DIAGNOSE_EVERY", 10)
        changed.setattr(loop, "SELECT_EVERY", 4)
        changed.setattr(loop, "PATIENCE", 1.0)
        trained = trainer()
        trained.run()
    yield state(trained)


def test_the_same_seed_gives_the_same_bits_and_another_others(whole: dict[str, Any]) -> None:
    torch.manual_seed(123)  # No global state has a say.
    np.random.seed(5)
    again, other = trainer(), trainer(seed=1)
    again.run()
    other.run()
    assert state(again) == whole
    assert state(other)["log"] != whole["log"]


def test_training_does_not_depend_on_whether_the_caller_has_gradients_on(whole: dict[str, Any]) -> None:
    with torch.no_grad():
        again = trainer()
        again.run()
    assert state(again) == whole


@pytest.mark.parametrize("stops", [[1], [5], [7], [3, 12, 13], [23]])
def test_an_interrupted_run_resumes_to_the_same_bits(whole: dict[str, Any], stops: list[int], tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state", "this run")
    for stop in stops:
        with pytest.raises(Interrupt):
            trainer().run(checkpoint, interrupted(stop))
    resumed = trainer()
    resumed.run(checkpoint)
    assert state(resumed) == whole


def test_a_finished_run_is_taken_as_it_is(whole: dict[str, Any], tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state", "this run")
    trainer().run(checkpoint)
    steps: list[int] = []
    again = trainer()
    again.run(checkpoint, lambda step, metrics: steps.append(step))
    assert state(again) == whole and steps == []


def test_the_log_has_means_over_the_steps_and_diagnostics_now_and_then(whole: dict[str, Any]) -> None:
    log = whole["log"]
    assert [row["step"] for row in log] == [5, 10, 15, 20, 23]
    assert ["rank" in row for row in log] == [False, True, False, True, True]
    shown = {"validation", "rank", "std_min", "std_mean", "probe_r2", "action_sensitivity"}
    assert shown <= set(log[-1]) and all(np.isfinite(value) for row in log for value in row.values())
    one_by_one = trainer()
    losses = [one_by_one._update()["loss"] for one_by_one.step in range(23)]
    for row, part in zip(log, (slice(0, 5), slice(5, 10), slice(10, 15), slice(15, 20), slice(20, 23)), strict=True):
        assert row["loss"] == pytest.approx(np.mean(losses[part]), rel=1e-6)


def test_the_loss_falls() -> None:
    trained = trainer(tiny(steps=100))
    trained.run()
    # Term by term: what is not asked is scaled to what is, so that the loss itself says nothing of it.
    terms = ("prediction", "grounding", "encoding", "regulariser")
    first, last = (sum(row[name] for name in terms) for row in (trained.log[0], trained.log[-1]))
    assert last < 0.8 * first


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupt):
        trainer().run(Checkpoint(tmp_path / "state", "this run"), interrupted(12))
    fresh = trainer()
    before = state(fresh)
    with pytest.raises(TrainingError, match="other data or settings"):
        fresh.run(Checkpoint(tmp_path / "state", "that run"))
    assert state(fresh) == before


@pytest.mark.parametrize("file", ["state.safetensors", "progress.json", "manifest.json"])
def test_a_damaged_checkpoint_is_refused(file: str, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state", "this run")
    with pytest.raises(Interrupt):
        trainer().run(checkpoint, interrupted(12))
    path = tmp_path / "state" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=file):
        trainer().run(checkpoint)


def test_everything_that_decides_the_bits_is_in_the_key() -> None:
    other = episodes([25, 2, 40, 13, 9], seed=7)
    shuffled = Episodes(DATA.schema, DATA.episodes, "pandas")
    key = run_key(CONFIG, DATA, 0)
    assert key == run_key(tiny(steps=23), shuffled, 0)
    assert len({key, run_key(tiny(steps=24), DATA, 0), run_key(CONFIG, DATA, 1), run_key(CONFIG, other, 0)}) == 4


def test_training_ends_when_the_episodes_left_out_gain_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PATIENCE", 0.2)
    trained = trainer(tiny(steps=100))
    scores = iter([3.0, 1.0, 2.0] + [1.5] * 100)

    def select() -> None:
        score = next(scores)
        if score < trained.best_score:
            trained.best_score, trained.best_step = score, trained.step

    monkeypatch.setattr(trained, "_select", select)
    trained.run()
    assert trained.finished and trained.best_step == 8 and trained.step == 29
    assert trained.log[-1]["step"] == 29 and "rank" in trained.log[-1]


def test_the_weights_kept_are_those_that_did_best(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = trainer()
    seen: dict[int, dict[str, torch.Tensor]] = {}
    select = trained._select

    def watched() -> None:
        seen[trained.step] = {name: value.clone() for name, value in trained.average.state_dict().items()}
        select()

    monkeypatch.setattr(trained, "_select", watched)
    trained.run()
    for name, value in trained.best.state_dict().items():
        assert torch.equal(value, seen[trained.best_step][name]), name


def test_a_diverged_run_stops_with_a_word() -> None:
    with pytest.raises(TrainingError, match="loss is not finite at step .*lower learning rate"):
        trainer(tiny(steps=50, learning_rate=1e12)).run()


def test_members_are_trained_apart() -> None:
    """Clipping, batches and the optimiser treat each member as if the others were not there."""
    one, two = trainer(tiny(steps=5)), trainer(tiny(steps=5))
    with torch.no_grad():
        for parameter in two.network.parameters():
            parameter[1] *= 3
    one.run()
    two.run()
    for name, value in one.network.state_dict().items():
        torch.testing.assert_close(two.network.state_dict()[name][0], value[0], msg=name)


def test_the_learning_rate_warms_up_and_ends_near_zero() -> None:
    schedule = trainer(tiny(steps=100, learning_rate=1.0))
    rates = [schedule._learning_rate() for schedule.step in range(100)]
    assert rates[0] == pytest.approx(1 / 3) and max(rates) == rates[2] == 1.0
    assert rates[-1] < 0.01 and all(later <= earlier for earlier, later in zip(rates[3:], rates[4:], strict=False))
