"""Which observations have a level, where it is read from, and how near steps are weighted."""

import numpy as np
import pytest

from foreworld.data.tabulate import encode_histories
from foreworld.world.levels import Levels, step_weights

from ..simulated import encoding_of, episodes

DATA = episodes([25, 40, 13], missing=0.0)
ENCODING = encoding_of(DATA)


def test_the_levels_are_the_continuous_observations_and_their_columns_hold_the_scaled_observations() -> None:
    levels = Levels.of(ENCODING)
    assert levels.count == 2 and levels.places == [0, 3]  # `level` and `hum`; `alarm` and `mode` are not continuous.
    rows = encode_histories((DATA[0],), ENCODING)[0]
    for level, name in enumerate(("level", "hum")):
        scale = ENCODING.scaling.variables[name]
        expected = (DATA[0].observations[:, levels.places[level]] - scale.centre) / scale.scale
        np.testing.assert_allclose(rows[:, levels.columns[level]], expected, rtol=1e-5, atol=1e-5)


def test_a_change_is_what_is_left_of_the_variance() -> None:
    levels = Levels.of(ENCODING)
    assert 0 < levels.kept[0] < 1 and levels.kept[0] ** 2 + levels.change[0] ** 2 == pytest.approx(1)


def test_weights_have_mean_one_and_fall_as_changes_grow() -> None:
    walk = ENCODING.scaling.variables["level"].model_copy(update={"increments": (1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 12.0)})
    scaling = ENCODING.scaling.model_copy(update={"variables": ENCODING.scaling.variables | {"level": walk}})
    weights = step_weights(type(ENCODING)(ENCODING.schema, scaling, ENCODING.memory), 12)
    np.testing.assert_allclose(weights.mean(0), 1, rtol=1e-6)
    np.testing.assert_allclose(weights[[0, 1, 3], 0] / weights[0, 0], [1, 1 / 2, 1 / 4], rtol=1e-6)
    np.testing.assert_array_equal(weights[:, 1:3], 1)  # Binary and categorical targets.
