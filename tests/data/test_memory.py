"""The memory of past actions is the leaky sum that it is documented as, however it is computed."""

import numpy as np
import pytest

from foreworld.data.memory import decay, doses, memories, memory_width, run_memory, stack_padded

from ..simulated import encoding_of, episodes

TAUS = (3.0, 9.0)
DATA = episodes([25, 25, 25], missing=0.1)
ENCODING = encoding_of(DATA, TAUS)


def direct(row: int) -> np.ndarray:
    """Sum over past actions of exp(-age / tau) times what each adds, for the first episode."""
    episode = DATA[0]
    columns = []
    for tau in TAUS:
        for name, share in (("dose", 1.0), ("rate", 1 - np.exp(-1 / tau)), ("a", None), ("b", None)):
            total = 0.0
            for past in range(row):
                age = (episode.time[row - 1] - episode.time[past]) / ENCODING.scaling.step
                if share is None:
                    size = float(episode.actions[past, 2] == "ab".index(name)) * (1 - np.exp(-1 / tau))
                else:
                    scale, value = ENCODING.scaling.variables[name], episode.actions[past, int(name == "rate")]
                    size = np.nan_to_num((value - scale.centre) / scale.scale) * share
                total += np.exp(-age / tau) * size
            columns.append(total)
    return np.array(columns)


@pytest.mark.parametrize("row", [0, 1, 2, 17, 24])
def test_it_is_the_leaky_sum_at_irregular_times(row: int) -> None:
    assert ENCODING.scaling.variables["dose"].impulse and not ENCODING.scaling.variables["rate"].impulse
    np.testing.assert_allclose(memories([DATA[0]], ENCODING, [row])[0], direct(row), rtol=1e-4, atol=1e-5)


def test_running_along_gives_the_closed_form_at_every_row() -> None:
    actions = np.stack([episode.actions for episode in DATA])
    gaps = np.stack([np.diff(episode.time) for episode in DATA]) / ENCODING.scaling.step
    since = np.concatenate([np.ones((3, 1)), gaps[:, :-1]], axis=1)
    start = np.zeros((3, memory_width(ENCODING)), np.float32)
    memory = run_memory(start, actions, since, ENCODING)
    for index, episode in enumerate(DATA):
        expected = memories([episode] * 24, ENCODING, range(1, 25))
        np.testing.assert_allclose(memory[index], expected, rtol=1e-4, atol=1e-5)


def test_it_can_be_taken_up_in_the_middle() -> None:
    episode = DATA[1]
    gaps = np.diff(episode.time) / ENCODING.scaling.step
    middle = memories([episode], ENCODING, [10])
    rest = run_memory(middle, episode.actions[None, 10:], gaps[None, 9:-1], ENCODING)
    np.testing.assert_allclose(rest[0, -1], memories([episode], ENCODING)[0], rtol=1e-4, atol=1e-5)


def test_a_long_gap_forgets_and_no_gap_keeps() -> None:
    left = decay(np.array([0.0, 3.0, 1e9]), ENCODING)
    np.testing.assert_allclose(left[:, 0], [1, np.exp(-1), 0], rtol=1e-6)
    np.testing.assert_allclose(left[:, -1], [1, np.exp(-1 / 3), 0], rtol=1e-6)


def test_a_missing_action_adds_nothing() -> None:
    assert not doses(np.full((1, 3), np.nan), ENCODING).any()


def test_without_actions_or_time_constants_there_is_none() -> None:
    encoding = encoding_of(DATA, ())
    assert memory_width(encoding) == 0
    assert memories(DATA, encoding).shape == (3, 0)
    assert decay(np.ones(4), encoding).shape == (4, 0)


def test_padding_is_at_the_end() -> None:
    stacked = stack_padded([np.ones((2, 3)), np.full((4, 3), 2.0), np.zeros((0, 3))])
    assert stacked.shape == (3, 4, 3)
    assert stacked[:, :, 0].tolist() == [[1, 1, 0, 0], [2, 2, 2, 2], [0, 0, 0, 0]]
