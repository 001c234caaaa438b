"""Batches hold what they say: own episodes, real anchors, and the moves and rows that follow them."""

import numpy as np
import pytest
import torch

from foreworld.data.batches import Sampler
from foreworld.data.tabulate import tabulate

from ..simulated import encoding_of, episodes

LENGTHS = [25, 1, 2, 40, 13, 6]
DATA = episodes(LENGTHS, missing=0.2)
TABLE = tabulate(DATA, encoding_of(DATA))
FOLDS = [np.array([0, 1, 3]), np.array([1, 2, 4, 5])]


def sampler(seed: int = 0, folds: list[np.ndarray] = FOLDS) -> Sampler:
    return Sampler(TABLE, folds, batch=16, anchors=3, context=8, horizon=4, seed=seed)


def places(rows: torch.Tensor) -> np.ndarray:
    """Which row of the table each input is; rows are told apart by their random values."""
    same = (rows.numpy()[..., None, :] == TABLE.history).all(-1)
    assert (same.sum(-1) == 1).all()
    return same.argmax(-1)


def owner(place: np.ndarray) -> np.ndarray:
    return np.searchsorted(TABLE.starts, place, side="right") - 1


@pytest.mark.parametrize("horizon", [1, 3, 4])
def test_a_batch_is_made_of_stretches_of_the_members_own_episodes(horizon: int) -> None:
    for step in range(5):
        batch = sampler().batch(step, horizon)
        place = places(batch.history)
        for member, fold in enumerate(FOLDS):
            assert set(owner(place[member]).ravel()) <= set(fold) - {1}  # Episode 1 has one row and no transition.
        follows = np.diff(place, axis=-1)
        valid = batch.valid.numpy()
        assert (follows[valid[..., 1:]] == 1).all() and (follows[~valid[..., 1:]] == 0).all()
        # A stretch is shorter than asked for only where its episode is.
        for member, which in np.ndindex(valid.shape[:2]):
            length = LENGTHS[owner(place)[member, which, 0]]
            assert valid[member, which].sum() == min(length, 12)


@pytest.mark.parametrize("horizon", [1, 3, 4])
def test_rollouts_start_and_end_at_real_rows(horizon: int) -> None:
    for step in range(5):
        batch = sampler().batch(step, horizon)
        place, anchors = places(batch.history), batch.anchors.numpy()
        for index in np.ndindex(anchors.shape):
            member, which, _ = index
            rows = int(batch.valid[member, which].sum())
            anchor = int(anchors[index])
            assert 0 <= anchor <= rows - 2
            for ahead in range(horizon):
                exists = anchor + ahead + 1 < rows
                assert bool(batch.reached[index][ahead]) == exists
                if exists:
                    row = place[member, which, anchor + ahead]
                    np.testing.assert_array_equal(batch.moves[index][ahead], TABLE.moves[row])
                    assert batch.elapsed[index][ahead] == TABLE.elapsed[row]
                    np.testing.assert_array_equal(
                        batch.ahead(batch.targets)[index][ahead].numpy(), TABLE.targets[row + 1]
                    )


def test_every_rollout_reaches_its_end_where_the_episode_is_long_enough() -> None:
    batch = sampler(folds=[np.array([0, 3]), np.array([3])]).batch(0, 4)
    assert bool(batch.reached.all()) and bool(batch.valid.all())


def test_every_row_with_a_future_comes_up_as_an_anchor() -> None:
    anchors: set[int] = set()
    for step in range(60):
        batch = sampler(folds=[np.array([4]), np.array([4])]).batch(step, 2)
        anchors |= set(np.take_along_axis(places(batch.history), batch.anchors.numpy(), -1).ravel() - 68)
    assert anchors == set(range(11))


def test_seed_and_step_decide_the_batch() -> None:
    one, again, other, elsewhere = (sampler(seed).batch(step, 4) for seed, step in ((0, 3), (0, 3), (0, 4), (1, 3)))
    assert torch.equal(one.history, again.history) and torch.equal(one.anchors, again.anchors)
    assert not torch.equal(one.history, other.history) and not torch.equal(one.history, elsewhere.history)


def test_the_rows_that_exist_are_found_in_order() -> None:
    batch = sampler().batch(0, 4)
    rows = batch.existing(batch.history)
    count = int(batch.valid.flatten(1).sum(1).min())
    assert rows.shape[1] == count
    for member in range(2):
        np.testing.assert_array_equal(rows[member], batch.history[member][batch.valid[member]][:count])


def test_jitter_moves_the_static_facts_of_a_stretch_alone_and_alike() -> None:
    plain = sampler().batch(0, 4)
    moved = Sampler(TABLE, FOLDS, batch=16, anchors=3, context=8, horizon=4, seed=0, jitter=0.3).batch(0, 4)
    history, moves = moved.history - plain.history, moved.moves - plain.moves
    offset = history[:, :, :1, TABLE.facts.history]
    assert offset.shape[-1] == 1 and 0.2 < float(offset.std()) < 0.4
    torch.testing.assert_close(history[..., TABLE.facts.history], offset.expand(2, 16, 12, 1))
    torch.testing.assert_close(moves[..., TABLE.facts.moves], offset[:, :, None].expand(2, 16, 3, 4, 1))
    history[..., TABLE.facts.history] = moves[..., TABLE.facts.moves] = 0
    assert not history.any() and not moves.any()
    assert torch.equal(sampler().batch(0, 4).history, plain.history)  # The table itself is not changed.


def test_all_members_draw_differently() -> None:
    same = np.array([0, 3])
    batch = sampler(folds=[same, same]).batch(0, 4)
    assert not torch.equal(batch.history[0], batch.history[1])
