"""Counterfactuals of a domain: the same chance, so that the same actions give back what was recorded."""

import numpy as np
import pytest

from foreworld.domains import replay as module
from foreworld.domains.collect import draw_origins, record
from foreworld.domains.replay import replay
from foreworld.domains.tumour import Tumour
from foreworld.errors import QuestionError

DOMAIN = Tumour()
ORIGINS = draw_origins(DOMAIN, ids=DOMAIN.instances[:4], per_episode=2, rows=(5, 12), seed=3)


def test_the_trajectory_is_the_one_that_is_collected() -> None:
    found = replay(DOMAIN, origins=ORIGINS, horizon=6, seed=3)
    ids = sorted({id for id, _ in ORIGINS})
    recorded = {episode.id: episode for episode in record(DOMAIN, ids=ids, steps=30, seed=3)}
    for (id, row), trajectory in zip(ORIGINS, found.trajectories, strict=True):
        assert trajectory.id == id and trajectory.steps == row + 6
        np.testing.assert_array_equal(trajectory.observations, recorded[id].observations[: row + 7])


def test_under_the_recorded_actions_the_record_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_instead", lambda domain, origins, recorded, intervention, seed: recorded)
    found = replay(DOMAIN, origins=ORIGINS, horizon=6, seed=3)
    for trajectory, row, truth in zip(found.trajectories, found.rows, found.truth, strict=True):
        np.testing.assert_allclose(truth, trajectory.observations[row + 1 :, :1])


def test_an_intervention_changes_the_recorded_actions_alone() -> None:
    found = replay(DOMAIN, origins=ORIGINS, horizon=6, intervention="chemo", seed=3)
    taken = np.stack([t.actions[row:] for t, row in zip(found.trajectories, found.rows, strict=True)])
    np.testing.assert_array_equal(found.actions, DOMAIN.interventions["chemo"].rewrite([], taken))
    factual = np.stack([t.observations[row + 1 :, :1] for t, row in zip(found.trajectories, found.rows, strict=True)])
    assert (found.truth <= factual + 1e-9).all() and (found.truth < factual).any()
    with pytest.raises(QuestionError, match="no intervention 'surgery'"):
        replay(DOMAIN, origins=ORIGINS, horizon=6, intervention="surgery")
