"""Inputs of order one, measured on the episodes given and on nothing else; finite whatever a column holds."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.increments import increments
from foreworld.data.scaling import INCREMENT_LAGS, LIMIT, Encoding, fit_scaling
from foreworld.data.schema import Schema, Variable
from foreworld.data.tabulate import encode_histories, encode_targets

from ..simulated import SCHEMA, encoding_of, episodes


def with_actions(actions: list[float]) -> Episodes:
    """One episode with these actions."""
    rows = len(actions) + 1
    schema = Schema(
        id="id",
        time="t",
        variables=(Variable(name="x", role="observation", target=True), Variable(name="a", role="action")),
    )
    made = Episode(
        id=0,
        time=np.arange(rows, dtype=float),
        observations=np.arange(rows, dtype=float)[:, None],
        actions=np.array(actions)[:, None],
        static=np.zeros(0),
        known_future=np.zeros((rows, 0)),
        pending=np.full(1, np.nan),
    )
    return Episodes(schema, (made,))


def test_it_is_measured_over_all_rows_of_the_episodes_given() -> None:
    data = episodes([30, 5, 12])
    levels = np.concatenate([episode.observations[:, 0] for episode in data])
    scale = fit_scaling(data).variables["level"]
    assert scale.centre == pytest.approx(np.nanmean(levels)) and scale.scale == pytest.approx(np.nanstd(levels))
    assert (scale.low, scale.high) == (np.nanmin(levels), np.nanmax(levels))
    steps = np.concatenate([np.diff(episode.time) for episode in data])
    assert fit_scaling(data).step == np.median(steps)


def test_the_training_inputs_are_centred_and_of_unit_spread() -> None:
    data = episodes([200, 300], missing=0.0)
    encoded = encoding_of(data)(np.concatenate([episode.observations for episode in data]), "observation")
    assert encoded[:, 0].mean() == pytest.approx(0, abs=1e-5) and encoded[:, 0].std() == pytest.approx(1, abs=1e-5)


def test_an_action_at_rest_most_of_the_time_is_an_impulse_with_rest_at_zero() -> None:
    data = with_actions([2.0, 2.0, 2.0, 12.0, 2.0, 2.0, 8.0, 2.0])
    scale = fit_scaling(data).variables["a"]
    assert scale.impulse and scale.centre == 2 and scale.scale == pytest.approx(np.sqrt((100 + 36) / 2))
    encoding = encoding_of(data)
    assert encoding(np.array([[2.0]]), "action").tolist() == [[0.0, 1.0]]


def test_an_action_that_moves_is_none() -> None:
    scale = fit_scaling(with_actions([1.0, 2.0, 3.0, 4.0, 1.0, 2.0])).variables["a"]
    assert not scale.impulse and scale.centre == pytest.approx(13 / 6)
    assert not fit_scaling(episodes([60])).variables["rate"].impulse


@given(
    centre=st.floats(-1e30, 1e30),
    spread=st.floats(0, 1e30),
    missing=st.booleans(),
)
def test_any_column_gives_finite_inputs_within_the_limit(centre: float, spread: float, missing: bool) -> None:
    values = np.clip(centre + spread * np.linspace(-1, 1, 9), -1e30, 1e30)
    if missing:
        values[::2] = np.nan
    with warnings.catch_warnings(action="error"):
        encoding = encoding_of(with_actions(values.tolist()))
        encoded = encoding(np.array([[0.0], [1e30], [-1e30], [centre], [np.nan]]), "action")
    assert np.isfinite(encoded).all() and np.abs(encoded).max() <= LIMIT


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7e8, np.nan])
def test_a_column_without_variation_is_zero_and_finite(value: float) -> None:
    data = with_actions([value] * 6)
    encoded = encoding_of(data)(data[0].actions, "action")
    assert encoded[:, 0].tolist() == [0.0] * 6
    assert encoded[:, 1].tolist() == [float(np.isfinite(value))] * 6


@pytest.mark.parametrize("unit", [1e-25, 1e-9, 1.0, 1e25])
def test_the_unit_of_a_column_does_not_matter(unit: float) -> None:
    plain, other = (with_actions((factor * np.array([1.0, 5, 2, 8, 3, 1])).tolist()) for factor in (1.0, unit))
    np.testing.assert_allclose(
        encoding_of(other)(other[0].actions, "action"), encoding_of(plain)(plain[0].actions, "action"), rtol=1e-5
    )


def test_a_small_variation_about_a_large_level_survives() -> None:
    data = with_actions([1e9 + value for value in (0.0, 1.0, 2.0, 3.0, 4.0)])
    encoded = encoding_of(data)(data[0].actions, "action")[:, 0]
    np.testing.assert_allclose(np.diff(encoded), 1 / np.sqrt(2), rtol=1e-4)


def test_kinds_and_missing_values_are_encoded_as_documented() -> None:
    encoding = encoding_of(episodes([40, 40]))
    centre, scale = encoding.scaling.variables["level"].centre, encoding.scaling.variables["level"].scale
    rows = np.array([[centre + 2 * scale, 1.0, 2.0, np.nan], [np.nan, 0.0, np.nan, np.nan]])
    expected = [
        # level, alarm, mode = idle, on, safe, hum, then the flags of the four
        [2.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
    ]
    np.testing.assert_allclose(encoding(rows, "observation"), expected, rtol=1e-6)
    assert encoding.width("observation") == len(expected[0])


def test_targets_are_scaled_but_not_cut_and_categories_stay_indices() -> None:
    encoding = encoding_of(episodes([40]))
    scale = encoding.scaling.variables["level"]
    given = np.array([[scale.centre + 100 * scale.scale, 1.0, 2.0], [np.nan, np.nan, np.nan]])
    encoded = encode_targets(given, encoding)
    np.testing.assert_allclose(encoded, [[100, 1, 2], [np.nan] * 3], rtol=1e-5)


def test_increments_are_the_changes_over_each_lag_in_their_usual_size() -> None:
    data = episodes([60, 50, 3], missing=0.2)
    encoding = encoding_of(data)
    for index, name in ((0, "level"), (3, "hum")):
        for lag, usual in zip(INCREMENT_LAGS, encoding.scaling.variables[name].increments, strict=True):
            changes = np.concatenate([e.observations[lag:, index] - e.observations[:-lag, index] for e in data])
            assert usual == pytest.approx(np.sqrt(np.nanmean(changes**2)))
    values = data[0].observations
    encoded = increments(values, encoding)
    np.testing.assert_array_equal(increments(np.stack([values[:50], data[1].observations]), encoding)[0], encoded[:50])
    assert encoded.shape == (60, 2 * len(INCREMENT_LAGS)) and np.isfinite(encoded).all()
    usual = encoding.scaling.variables["hum"].increments[2]
    expected = np.nan_to_num((values[10, 3] - values[7, 3]) / usual)
    assert encoded[10, len(INCREMENT_LAGS) + 2] == pytest.approx(expected, rel=1e-5)
    assert not encoded[0].any()


def test_roles_without_columns_take_no_inputs() -> None:
    data = with_actions([1.0, 2.0, 3.0])
    encoding = encoding_of(data)
    assert encoding.width("static") == encoding.width("known_future") == 0
    assert np.isfinite(encode_histories(tuple(data), encoding)).all()


def test_an_encoding_of_the_full_schema_has_a_place_for_everything() -> None:
    encoding = encoding_of(episodes([20]))
    assert isinstance(encoding, Encoding) and set(encoding.scaling.variables) == {v.name for v in SCHEMA.variables}
