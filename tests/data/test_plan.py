"""Cases cut out of recorded episodes: what was known, what was done then, and what came."""

import numpy as np
import pytest

from foreworld.data.plan import Forecaster, Plan, cut
from foreworld.evidence.baselines import Persistence
from foreworld.model import WorldModel

from ..simulated import episodes

DATA = episodes([12, 3, 20])


def test_a_case_is_a_piece_of_its_episode() -> None:
    cases = cut(DATA, [(2, 7), (0, 0), (2, 15)], 4)
    assert cases.group == ("unit 02", "unit 00", "unit 02") and cases.plan.horizon == 4
    episode, history = DATA[2], cases.histories[0]
    assert len(history.time) == 8 and history.actions.shape[0] == 7
    np.testing.assert_array_equal(history.observations, episode.observations[:8])
    np.testing.assert_array_equal(history.pending, episode.actions[7])
    np.testing.assert_array_equal(cases.plan.time[0], episode.time[8:12])
    np.testing.assert_array_equal(cases.plan.actions[0], episode.actions[7:11])
    np.testing.assert_array_equal(cases.plan.known_future[0], episode.known_future[8:12])
    np.testing.assert_array_equal(cases.truth[0], episode.observations[8:12, :3])


def test_the_last_possible_origin_and_the_one_after_it() -> None:
    assert cut(DATA, [(0, 7)], 4).truth.shape == (1, 4, 3)
    with pytest.raises(ValueError, match="'unit 00' has 3 rows after row 8, not 4"):
        cut(DATA, [(0, 8)], 4)


def test_model_and_baselines_are_forecasters() -> None:
    assert issubclass(WorldModel, Forecaster) and issubclass(Persistence, Forecaster)
    assert not issubclass(Plan, Forecaster)
