"""The loss counts what exists, each member for itself, and its terms reach the parts that they are meant to teach."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from foreworld.data.batches import Batch, Sampler
from foreworld.data.tabulate import tabulate
from foreworld.world.config import FitConfig
from foreworld.world.network import WorldNetwork
from foreworld.world.objective import imagine, jepa
from foreworld.world.scores import energy_score

from ..simulated import encoding_of, episodes, tiny

DATA = episodes([6, 9, 4, 7, 14])
ENCODING = encoding_of(DATA)


def batch(config: FitConfig) -> Batch:
    folds = [np.arange(len(DATA))] * config.members
    size = config.model_dump(include={"batch", "anchors", "context", "horizon"})
    return Sampler(tabulate(DATA, ENCODING), folds, **size, seed=0).batch(0, config.horizon)


def network(config: FitConfig) -> WorldNetwork:
    return WorldNetwork(config, ENCODING, seed=1)


def terms(config: FitConfig, rows: Batch, model: WorldNetwork) -> dict[str, torch.Tensor]:
    return jepa(model, rows, config, torch.Generator().manual_seed(2))


def gradients(model: WorldNetwork, part: str) -> list[torch.Tensor]:
    return [p.grad for name, p in model.named_parameters() if name.startswith(part) and p.grad is not None]


def test_what_is_not_asked_counts_as_a_multiple_of_what_is() -> None:
    config = tiny(latent_weight=0.5, observed_weight=0.25, regulariser_weight=3.0)
    model = network(config)
    found = terms(config, batch(config), model)
    asked = found["grounding"] + found["encoding"]
    torch.testing.assert_close(found["loss"], 1.75 * asked)
    assert found["loss"].shape == (2,)
    hidden = found["prediction"] + 3 * found["regulariser"]
    one, other = (0.5 * asked / hidden).detach(), (0.25 * asked / found["observed"]).detach()
    whole = asked + one * hidden + other * found["observed"]
    weights = list(model.encoder.parameters())
    got = torch.autograd.grad(found["loss"].sum(), weights, retain_graph=True)
    for first, second in zip(got, torch.autograd.grad(whole.sum(), weights), strict=True):
        torch.testing.assert_close(first, second)


def test_nothing_but_what_is_asked_counts_where_the_weights_are_zero() -> None:
    config = tiny(latent_weight=0.0, observed_weight=0.0)
    found = terms(config, batch(config), network(config))
    torch.testing.assert_close(found["loss"], found["grounding"] + found["encoding"])


def test_the_prediction_is_scored_against_the_belief_of_the_row_it_leads_to() -> None:
    config = tiny()
    rows, model = batch(config), network(config)
    beliefs = model.encoder(rows.history)
    imagined = imagine(model, beliefs, rows, torch.Generator().manual_seed(2))
    total, count = torch.zeros(2), torch.zeros(2)
    for member, which, anchor, step in rows.reached.nonzero().tolist():
        row = int(rows.anchors[member, which, anchor]) + step + 1
        draws = imagined[:, member, which, anchor, step]
        weight = model.weights[step, :3].mean()  # of the targets
        total[member] += weight * energy_score(draws[0], draws[1], beliefs[member, which, row]).detach()
        count[member] += 1
    torch.testing.assert_close(terms(config, rows, model)["prediction"].detach(), total / count)


def test_what_lies_beyond_the_end_of_an_episode_has_no_say() -> None:
    config = tiny()
    rows, model = batch(config), network(config)
    assert not bool(rows.valid.all()) and not bool(rows.reached.all())
    junk = torch.where(rows.valid[..., None], rows.history, 50.0)
    elsewhere = torch.where(rows.valid[..., None], rows.targets, 1.0)
    moves = torch.where(rows.reached[..., None], rows.moves, 9.0)
    changed = replace(rows, history=junk, targets=elsewhere, moves=moves)
    for name, value in terms(config, changed, model).items():
        torch.testing.assert_close(value, terms(config, rows, model)[name], msg=name)


def test_a_member_is_taught_by_its_own_batch_alone() -> None:
    config = tiny()
    model = network(config)
    terms(config, batch(config), model)["loss"][0].backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad[1].abs().max() == 0


def test_every_part_is_taught() -> None:
    config = tiny()
    model = network(config)
    terms(config, batch(config), model)["loss"].sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters())


def test_without_grounding_the_readout_is_a_probe() -> None:
    config = tiny(grounding=False, latent_weight=0.0)
    model = network(config)
    terms(config, batch(config), model)["loss"].sum().backward()
    assert sum(float(g.abs().sum()) for g in gradients(model, "readout")) > 0
    assert not any(float(g.abs().sum()) for g in gradients(model, "encoder") + gradients(model, "predictor"))


def test_stop_gradient_makes_the_encoded_belief_a_fixed_target() -> None:
    found = {}
    for stop in (False, True):
        config = tiny(stop_gradient=stop)
        model = network(config)
        terms(config, batch(config), model)["prediction"].sum().backward()
        found[stop] = torch.cat([g.flatten() for g in gradients(model, "encoder")])
    assert not torch.allclose(found[True], found[False])


@pytest.mark.parametrize("change", [{"score": "squared"}, {"regulariser": "sigreg"}, {"encoder": "transformer"}])
def test_every_choice_has_finite_gradients(change: dict[str, str]) -> None:
    config = tiny(**change)
    model = network(config)
    terms(config, batch(config), model)["loss"].sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())
