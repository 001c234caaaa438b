"""What is seen through noise and gaps is what an episode with these readings would have been encoded as."""

from dataclasses import replace

import numpy as np
import torch

from foreworld.data.batches import Batch, Sampler
from foreworld.data.corruption import Corruption
from foreworld.data.episodes import Episode
from foreworld.data.layout import observed_columns, read_values
from foreworld.data.tabulate import encode_histories, tabulate

from ..simulated import encoding_of, episodes

DATA = episodes([60, 9, 45], missing=0.1)
ENCODING = encoding_of(DATA)
TABLE = tabulate(DATA, ENCODING)
COLUMNS = observed_columns(ENCODING)
CONTINUOUS = [column.variable.kind == "continuous" for column in COLUMNS]


def batch(noisy: float, gappy: float, step: int = 0) -> Batch:
    folds = [np.arange(3), np.arange(3)]
    corruption = Corruption(ENCODING, noisy=noisy, gappy=gappy)
    sampler = Sampler(
        TABLE, folds, batch=16, anchors=2, context=20, horizon=4, seed=0, jitter=0.3, corruption=corruption
    )
    return sampler.batch(step, 4)


def readings(rows: torch.Tensor) -> np.ndarray:
    return read_values(rows, COLUMNS).numpy()


def test_nothing_but_what_is_seen_changes_and_what_came_true_stays() -> None:
    plain, worse = batch(0.0, 0.0), batch(1.0, 1.0)
    assert torch.equal(plain.history, plain.recorded) and torch.equal(worse.recorded, plain.recorded)
    for name in ("valid", "targets", "anchors", "moves", "elapsed", "reached"):
        torch.testing.assert_close(getattr(worse, name), getattr(plain, name), rtol=0, atol=0, equal_nan=True)
    seen, changes = ENCODING.width("observation"), Corruption(ENCODING, noisy=1.0, gappy=1.0).changes
    assert torch.equal(worse.history[..., seen:-changes], plain.history[..., seen:-changes])
    assert not torch.equal(worse.history[..., :seen], plain.history[..., :seen])
    assert torch.equal(TABLE_BEFORE, torch.from_numpy(TABLE.history))


def test_noise_is_of_another_size_in_every_history_and_channel() -> None:
    worse = batch(1.0, 0.0)
    before, after = readings(worse.recorded), readings(worse.history)
    np.testing.assert_array_equal(np.isnan(before), np.isnan(after))
    assert np.array_equal(before[..., ~np.array(CONTINUOUS)], after[..., ~np.array(CONTINUOUS)], equal_nan=True)
    sizes = np.nanstd((after - before)[..., CONTINUOUS], axis=2).ravel()
    quiet = sizes == 0
    assert 0.1 < quiet.mean() < 0.5
    assert 0.005 < sizes[~quiet].min() < 0.08 and 0.5 < sizes.max() < 1.6


def test_gaps_leave_the_rest_as_it_was() -> None:
    worse = batch(0.0, 1.0)
    before, after = readings(worse.recorded), readings(worse.history)
    kept = ~np.isnan(after)
    np.testing.assert_array_equal(before[kept], after[kept])
    share = (np.isnan(after) & ~np.isnan(before)).mean(axis=2)
    assert share.max() < 0.8 and 0.15 < share.mean() < 0.3


def test_only_so_many_histories_are_corrupted() -> None:
    drawn = [batch(0.2, 0.0, step) for step in range(10)]
    differs = torch.stack([(one.history != one.recorded).flatten(2).any(-1) for one in drawn])
    assert 0.1 < float(differs.float().mean()) < 0.3
    assert torch.equal(batch(0.2, 0.1).history, batch(0.2, 0.1).history)


def test_a_corrupted_history_is_encoded_as_an_episode_with_these_readings_would_be() -> None:
    """Noise and gaps are seen alike in levels, presence flags and increments, from the first row of an episode on."""
    corruption = Corruption(ENCODING, noisy=1.0, gappy=1.0)
    episode = DATA[0]
    rows = torch.from_numpy(np.concatenate([np.zeros((12, TABLE.history.shape[1]), np.float32), TABLE.history[:60]]))
    exists = np.arange(72)[None] >= 12
    seen, changes = corruption(rows[None], exists, np.array([True]), np.array([True]), np.random.default_rng(0))
    again = encode_histories((seen_as(episode, seen[0]),), ENCODING)[0]
    np.testing.assert_allclose(seen[0], again[:, : corruption.seen], atol=1e-5)
    np.testing.assert_allclose(changes[0], again[:, -corruption.changes :], atol=2e-4)


def test_readings_stay_within_their_physical_bounds() -> None:
    centre, scale = ENCODING.scaling.of(ENCODING.schema.observations[:1])
    after = readings(batch(1.0, 0.0).history)[..., 0]
    assert np.nanmin(after) >= (0 - centre[0]) / scale[0] - 1e-5  # `level` has the lower bound 0.


def seen_as(episode: Episode, seen: torch.Tensor) -> Episode:
    """The episode with the readings of an encoded history in native units."""
    centre, scale = ENCODING.scaling.of(ENCODING.schema.observations)
    values = readings(seen).astype(np.float64)
    return replace(episode, observations=np.where(CONTINUOUS, values * scale + centre, values))


TABLE_BEFORE = torch.from_numpy(TABLE.history.copy())
