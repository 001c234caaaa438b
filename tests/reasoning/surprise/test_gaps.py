"""Missing values: filled only for the network, and never judged."""

import numpy as np

from foreworld.data.episodes import Episodes
from foreworld.reasoning.surprise.gaps import carry

from ...simulated import SCHEMA, episode


def test_a_channel_that_was_never_missing_is_carried_on_and_not_judged() -> None:
    whole = episode("a", 8, seed=0, missing=0.0)
    whole.observations[3:5, 0] = np.nan
    whole.observations[6, 3] = np.nan
    carried, unjudged = carry(Episodes(SCHEMA, (whole,)), (True, True, True, False))
    assert carried[0].observations[3:5, 0].tolist() == [whole.observations[2, 0]] * 2
    assert np.isnan(carried[0].observations[6, 3])
    # Steps lead to rows 1 to 7. The level is missing in rows 3 and 4; the forecast of row 3 knows it yet, those of
    # rows 4 to 6 rest on what was carried on, or on changes since.
    assert np.flatnonzero(unjudged[:, 0]).tolist() == [2, 3, 4, 5] == np.flatnonzero(unjudged[:, -1]).tolist()
    assert np.flatnonzero(unjudged[:, 3]).tolist() == [3, 4, 5]
    assert np.flatnonzero(unjudged[:, 1]).tolist() == [3, 4, 5] == np.flatnonzero(unjudged[:, 2]).tolist()


def test_a_row_in_which_nothing_is_seen_is_not_judged() -> None:
    blind = episode("a", 6, seed=1, missing=0.0)
    blind.observations[2] = np.nan
    carried, unjudged = carry(Episodes(SCHEMA, (blind,)), (False,) * 4)
    assert carried[0] is blind
    assert unjudged[1].all() and not unjudged[[0, 2, 3, 4]].any()
