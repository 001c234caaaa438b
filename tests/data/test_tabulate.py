"""What the networks see: nothing of the future, the same numbers in training and in use, whatever the window."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.increments import increments_width
from foreworld.data.plan import cut
from foreworld.data.tabulate import Table, encode_histories, encode_plan, history_width, move_width, tabulate

from ..simulated import SCHEMA, encoding_of, episode, episodes

DATA = episodes([25, 1, 2, 40, 13])
ENCODING = encoding_of(DATA)
TABLE = tabulate(DATA, ENCODING)
SEEN = ENCODING.width("observation")


def close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def rows_of(table: Table, index: int) -> slice:
    return slice(int(table.starts[index]), int(table.starts[index] + table.lengths[index]))


def test_every_row_of_every_episode_is_there_in_order() -> None:
    assert TABLE.history.shape == (81, history_width(ENCODING)) and TABLE.moves.shape == (81, move_width(ENCODING))
    assert TABLE.starts.tolist() == [0, 25, 26, 28, 68] and TABLE.lengths.tolist() == [25, 1, 2, 40, 13]
    flags = SEEN - len(SCHEMA.observations)
    for index, made in enumerate(DATA):
        seen, present = TABLE.history[rows_of(TABLE, index), :SEEN], np.isfinite(made.observations)
        np.testing.assert_array_equal(seen[:, flags:], present)
        whole = present.all(1)
        np.testing.assert_array_equal(seen[whole], ENCODING(made.observations, "observation")[whole])
    assert all(np.isfinite(part).all() for part in (TABLE.history, TABLE.moves, TABLE.elapsed))


def test_the_last_value_seen_stands_in_for_a_missing_one_which_a_flag_tells() -> None:
    """Of every kind of variable, before the first value what is usual; a value that is held does not change."""
    observed = episode("gaps", 5, 3, missing=0.0).observations
    observed[1:4, :3] = observed[0, 2] = np.nan
    made = replace(episode("gaps", 5, 3, missing=0.0), observations=observed)
    found = encode_histories([made], ENCODING)[0]
    values, flags = np.split(found[:, :SEEN], [SEEN - len(SCHEMA.observations)], axis=1)
    np.testing.assert_array_equal(flags, np.isfinite(observed))
    held = observed.copy()
    held[1:4, :2] = observed[0, :2]
    np.testing.assert_array_equal(values, ENCODING(held, "observation")[:, : values.shape[1]])
    first = history_width(ENCODING) - increments_width(ENCODING)  # of `level`, over one row and over two
    assert (found[1:4, first : first + 2] == 0).all() and (found[4, first : first + 2] != 0).all()


def test_what_is_seen_by_row_is_that_of_the_history_up_to_it() -> None:
    """The inputs in training are those in use, where the rest of the episode does not exist yet."""
    for index, made in enumerate(DATA):
        for row in range(0, made.steps + 1, 3):
            alone = encode_histories([made.until(row)], ENCODING)
            close(alone[0], TABLE.history[rows_of(TABLE, index)][: row + 1])


@given(row=st.integers(0, 19), seed=st.integers(0, 5))
def test_the_future_leaves_no_trace_in_earlier_rows(row: int, seed: int) -> None:
    made = episode("x", 20, seed)
    other = episode("x", 20, seed + 100)
    changed = Episode(
        id="x",
        time=np.concatenate([made.time[: row + 1], made.time[row] + (other.time - other.time[0] + 1)[: 19 - row]]),
        observations=np.concatenate([made.observations[: row + 1], other.observations[row + 1 :]]),
        actions=np.concatenate([made.actions[:row], other.actions[row:]]),
        static=made.static,
        known_future=np.concatenate([made.known_future[: row + 1], other.known_future[row + 1 :]]),
        pending=other.pending,
    )
    before, after = (encode_histories([history], ENCODING)[0, : row + 1] for history in (made, changed))
    np.testing.assert_array_equal(before, after)


def test_an_observation_enters_its_own_row_and_no_move() -> None:
    made = DATA[0]
    values = made.observations.copy()
    values[10] = 7.0, 1.0, 0.0, 3.0
    changed = tabulate(Episodes(SCHEMA, (replace(made, observations=values),)), ENCODING)
    rows = rows_of(TABLE, 0)
    np.testing.assert_array_equal(changed.moves, TABLE.moves[rows])
    differs = (changed.history != TABLE.history[rows]).any(1)
    assert differs[10] and not differs[:10].any()


@pytest.mark.parametrize("rows", [1, 2, 8, 25, 60])
def test_a_window_is_the_tail_of_the_whole(rows: int) -> None:
    windowed = encode_histories(tuple(DATA), ENCODING, rows)
    for index, made in enumerate(DATA):
        whole = TABLE.history[rows_of(TABLE, index)]
        kept = min(rows, len(made.time))
        close(windowed[index, :kept], whole[len(whole) - kept :])


def test_the_company_of_other_histories_changes_nothing() -> None:
    together = encode_histories(tuple(DATA), ENCODING, 8)
    for index, made in enumerate(DATA):
        alone = encode_histories([made], ENCODING, 8)[0]
        np.testing.assert_array_equal(together[index, : len(alone)], alone)


def test_the_plan_of_a_recorded_future_is_encoded_as_its_moves() -> None:
    origins = [(0, 0), (0, 7), (3, 30), (4, 5)]
    cases = cut(DATA, origins, 7)
    moves, elapsed = encode_plan(cases.histories, cases.plan, ENCODING)
    for case, (index, row) in enumerate(origins):
        recorded = slice(int(TABLE.starts[index]) + row, int(TABLE.starts[index]) + row + 7)
        close(moves[case], TABLE.moves[recorded])
        close(elapsed[case], TABLE.elapsed[recorded])


def test_a_move_tells_what_is_known_of_the_row_it_leads_to() -> None:
    made = DATA[0]
    hour = ENCODING.scaling.variables["hour"]
    place = ENCODING.width("action") + len(ENCODING.memory) * 4 + ENCODING.width("static")
    leading = TABLE.moves[rows_of(TABLE, 0)][:-1, place]
    close(leading, np.nan_to_num((made.known_future[1:, 0] - hour.centre) / hour.scale))


def test_time_gaps_reach_encoder_and_predictor() -> None:
    gaps = np.diff(DATA[0].time) / ENCODING.scaling.step
    rows = rows_of(TABLE, 0)
    close(TABLE.elapsed[rows], np.append(gaps, 1.0))
    close(TABLE.moves[rows][:-1, -1], np.log(gaps))
    close(TABLE.history[rows][:, SEEN + move_width(ENCODING) - 1], np.append(0.0, np.log(gaps)))


def test_the_first_row_is_told_from_one_where_a_window_begins() -> None:
    flag = SEEN + move_width(ENCODING)
    whole, window = (encode_histories([DATA[0]], ENCODING, rows)[0, :, flag] for rows in (25, 8))
    assert whole[0] == 1 and not window[0]


def test_the_static_facts_stand_where_it_is_said() -> None:
    size = ENCODING.scaling.variables["size"]
    for index, made in enumerate(DATA):
        expected = np.nan_to_num((made.static[0] - size.centre) / size.scale)
        close(TABLE.history[rows_of(TABLE, index)][:, TABLE.facts.history], expected)
        close(TABLE.moves[rows_of(TABLE, index)][:-1, TABLE.facts.moves], expected)


def test_targets_keep_their_gaps() -> None:
    assert np.isnan(TABLE.targets[rows_of(TABLE, 0)]).tolist() == np.isnan(DATA[0].observations[:, :3]).tolist()
