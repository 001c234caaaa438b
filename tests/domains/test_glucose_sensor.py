import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from foreworld.domains import glucose_sensor as sensor


def test_noise_is_that_of_the_package_for_the_same_seed(original):
    seeds = [0, 1, 42, 2**32 - 1]
    ours = sensor.noise(sensor.draw_innovations(seeds, 700))
    for row, seed in zip(ours, seeds, strict=True):
        theirs = original.sensor("GuardianRT", seed=seed)._noise_generator
        np.testing.assert_allclose(row[:700], [next(theirs) for _ in range(700)], rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), others=st.integers(1, 9), sample=st.integers(0, 119))
def test_redrawing_keeps_what_is_settled_and_changes_the_rest(seed, others, sample):
    seeds = [seed, *range(others)]
    innovations = sensor.draw_innovations(seeds, 120)
    again = sensor.redraw(innovations, np.full(len(seeds), sample), [old ^ 2**31 for old in seeds])
    before, after = sensor.noise(innovations), sensor.noise(again)
    last = min(sample + 1 + 3 * sensor.AHEAD, before.shape[1])
    settled = np.arange(2, last, 3)  # samples at knots; the others bend a little towards the next ones
    assert np.array_equal(before[:, settled], after[:, settled])
    later = slice(sample + 3 * (1 + sensor.AHEAD), None)
    assert (before[:, later] != after[:, later]).all()
    assert np.array_equal(before[0], sensor.noise(innovations[:1])[0])


def test_new_errors_go_on_from_the_present_one():
    innovations = sensor.draw_innovations(range(300), 120)
    now = sensor.noise(innovations)[:, 59]
    after = sensor.noise(sensor.redraw(innovations, np.full(300, 59), range(300, 600)))
    assert np.corrcoef(now, after[:, 60])[0, 1] > 0.7
    assert abs(np.corrcoef(now, after[:, 90])[0, 1]) < 0.2


def test_futures_begin_at_the_reading_that_their_history_ends_with():
    innovations, now = sensor.draw_innovations(range(900), 120), 30 + np.arange(900) % 60
    before = sensor.noise(innovations)
    after = sensor.noise(sensor.redraw(innovations, now, range(900, 1800)))
    place = np.arange(900)
    assert np.std((after - before)[place, now]) < 0.02 * before.std()
    steps = [values[place, now + 1] - before[place, now] for values in (before, after)]
    assert np.std(steps[1]) < 1.05 * np.std(steps[0])
    assert abs(np.corrcoef(before[place, now], after[place, now + 30])[0, 1]) < 0.1
