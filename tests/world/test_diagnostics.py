"""A collapsed or deaf model says so."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from foreworld.data.batches import Batch, Sampler
from foreworld.data.tabulate import tabulate
from foreworld.world.diagnostics import _effective_rank, diagnose
from foreworld.world.network import WorldNetwork

from ..simulated import encoding_of, episodes, tiny

DATA = episodes([6, 9, 4, 7, 14], missing=0.0)
ENCODING = encoding_of(DATA)


@pytest.fixture
def batch() -> Batch:
    folds = [np.arange(len(DATA))] * 2
    return Sampler(tabulate(DATA, ENCODING), folds, batch=6, anchors=2, context=8, horizon=4, seed=0).batch(0, 4)


@pytest.fixture
def network() -> WorldNetwork:
    return WorldNetwork(tiny(), ENCODING, seed=1).requires_grad_(False)


def test_effective_rank_counts_the_dimensions_in_use() -> None:
    cloud = torch.randn(1, 5000, 6, generator=torch.Generator().manual_seed(0))
    plane = cloud * torch.tensor([1.0, 1.0, 0, 0, 0, 0])
    assert float(_effective_rank(cloud)) == pytest.approx(6, abs=0.05)
    assert float(_effective_rank(plane)) == pytest.approx(2, abs=0.05)


def test_a_collapsed_encoder_shows(network: WorldNetwork, batch: Batch) -> None:
    sane = diagnose(network, batch)
    for parameter in network.encoder.parameters():
        parameter.zero_()
    collapsed = diagnose(network, batch)
    assert collapsed["std_min"] == collapsed["std_mean"] == pytest.approx(0, abs=1e-6)
    assert collapsed["probe_r2"] < sane["probe_r2"]  # Levels stay: they are observed.
    assert sane["rank"] > 1.5 > collapsed["rank"]
    assert sane["std_min"] > 0 and sane["probe_r2"] > 0.05


def test_a_predictor_that_does_not_listen_shows(network: WorldNetwork, batch: Batch) -> None:
    class Deaf(WorldNetwork):
        def rollout(self, belief: Tensor, moves: Tensor, elapsed: Tensor, noise: Tensor) -> Tensor:
            return super().rollout(belief, torch.zeros_like(moves), elapsed, noise)

    deaf = Deaf(tiny(), ENCODING, seed=1).requires_grad_(False)
    assert diagnose(network, batch)["action_sensitivity"] > 0 == diagnose(deaf, batch)["action_sensitivity"]


def test_rows_past_the_end_do_not_count(network: WorldNetwork, batch: Batch) -> None:
    assert not bool(batch.valid.all())
    junk = replace(batch, history=torch.where(batch.valid[..., None], batch.history, 99.0))
    assert diagnose(network, junk) == pytest.approx(diagnose(network, batch), rel=1e-4)


def test_what_cannot_be_measured_is_left_out(network: WorldNetwork, batch: Batch) -> None:
    unseen = replace(batch, targets=torch.full_like(batch.targets, torch.nan))
    assert "probe_r2" not in diagnose(network, unseen)
    constant = replace(batch, targets=torch.ones_like(batch.targets))
    assert "probe_r2" not in diagnose(network, constant)
    some = batch.targets.clone()
    some[..., 0] = torch.nan
    assert np.isfinite(diagnose(network, replace(batch, targets=some))["probe_r2"])
