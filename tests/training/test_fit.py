"""From episodes to an ensemble: who is shown what, how far one can look, and what cannot be learned from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foreworld.errors import TrainingError
from foreworld.training.fit import fitting, folds, train
from foreworld.training.progress import progress_bar

from ..simulated import episodes, pushed, tiny


@given(
    lengths=st.lists(st.integers(0, 9), min_size=2, max_size=30).filter(lambda found: sum(x > 0 for x in found) >= 2),
    members=st.integers(1, 7),
    seed=st.integers(0, 5),
)
def test_every_member_leaves_out_some_episodes_and_keeps_others(lengths: list[int], members: int, seed: int) -> None:
    steps = np.array(lengths)
    usable = set(np.flatnonzero(steps > 0))
    left_out = folds(steps, members, seed)
    assert len(left_out) == members
    for fold in left_out:
        assert 0 < len(fold) < len(usable) and set(fold) <= usable
    if members >= 2:
        assert set(np.concatenate(left_out)) == usable or members < min(len(usable), max(members, 2))


def test_with_enough_members_every_episode_is_left_out_and_a_quarter_of_them_twice() -> None:
    small, large = (np.bincount(np.concatenate(folds(np.full(size, 3), 5, 0))) for size in (17, 40))
    assert (small == 1).sum() == 15 and (small == 2).sum() == 2
    assert (large == 1).sum() == 30 and (large == 2).sum() == 10


@pytest.mark.parametrize(
    ("steps", "horizon", "context"),
    [([200] * 3, 36, 96), ([20] * 3, 10, 11), ([1, 1], 1, 1), ([1, 1, 200], 1, 1), ([0, 0, 5, 9], 4, 4)],
)
def test_horizon_and_context_fit_a_typical_episode(steps: list[int], horizon: int, context: int) -> None:
    config = fitting(tiny(horizon=36, context=96), np.array(steps))
    assert (config.horizon, config.context) == (horizon, context)


def test_a_shorter_horizon_is_kept() -> None:
    assert fitting(tiny(horizon=3, context=5), np.array([50, 50])).horizon == 3


@pytest.mark.parametrize("lengths", [[1, 1, 1], [30], [30, 1]])
def test_too_little_to_learn_from(lengths: list[int]) -> None:
    with pytest.raises(TrainingError, match="at least 2 episodes of 2 rows or more, and . is here"):
        train(episodes(lengths), tiny(), seed=0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"members": 1, "batch": 1, "anchors": 1},
        {"members": 5, "latent": 1, "noise": 1, "hidden": 4},
        {"encoder": "transformer", "regulariser": "sigreg", "score": "squared"},
        {"regulariser": "none", "memory": ()},
    ],
)
def test_two_short_episodes_are_enough_for_every_setting(changes: dict) -> None:
    trained = train(episodes([2, 3, 1]), tiny(steps=3, **changes), seed=0)
    assert trained.config.horizon == 1
    assert all(bool(torch.isfinite(value).all()) for value in trained.network.state_dict().values())
    assert all(np.isfinite(value) for row in trained.log for value in row.values())


def test_scaling_is_measured_on_the_episodes_given() -> None:
    trained = train(pushed(6, 20, 0), tiny(steps=2), seed=0)
    levels = np.concatenate([episode.observations for episode in pushed(6, 20, 0)])
    assert trained.encoding.scaling.variables["level"].centre == pytest.approx(levels.mean())


def test_a_run_with_a_checkpoint_is_the_run_without(tmp_path: Path) -> None:
    plain = train(pushed(6, 20, 0), tiny(steps=21), seed=3)
    kept = train(pushed(6, 20, 0), tiny(steps=21), seed=3, checkpoint=tmp_path / "state")
    again = train(pushed(6, 20, 0), tiny(steps=21), seed=3, checkpoint=tmp_path / "state")
    for other in (kept, again):
        assert other.log == plain.log
        for name, value in plain.network.state_dict().items():
            assert torch.equal(other.network.state_dict()[name], value)
    with pytest.raises(TrainingError, match="other data or settings"):
        train(pushed(6, 20, 1), tiny(steps=21), seed=3, checkpoint=tmp_path / "state")


def test_a_library_is_silent_and_a_terminal_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    train(pushed(3, 12, 0), tiny(steps=2), seed=0)
    assert capsys.readouterr() == ("", "")
    with progress_bar("training", 3, shown=True) as report:
        report(3, {"loss": 0.25, "rank": 4.0})
    out, told = capsys.readouterr()
    assert out == "" and "training" in told and "3/3" in told and "loss 0.250" in told
