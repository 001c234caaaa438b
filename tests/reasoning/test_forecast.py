"""One batched rollout: the same answer for each question as if it were asked alone, from its own noise and history."""

from typing import Any

import numpy as np
import pytest
import torch

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan, cut
from foreworld.reasoning import forecast
from foreworld.reasoning.forecast import encode_now, sample
from foreworld.world.draws import decorrelated, stratified
from foreworld.world.network import WorldNetwork
from foreworld.world.readout import Reading

from ..simulated import SCHEMA, encoding_of, episodes, tiny

DATA = episodes([25, 1, 2, 40, 13])
ENCODING = encoding_of(DATA)
NETWORK = WorldNetwork(tiny(), ENCODING, seed=1).requires_grad_(False)
CASES = cut(DATA, [(0, 0), (0, 20), (3, 5), (3, 30), (4, 8)], 4)


def answer(histories: Episodes = CASES.histories, plan: Plan = CASES.plan, seed: int = 0, draws: int = 6) -> np.ndarray:
    beliefs = encode_now(NETWORK, histories, ENCODING)
    return sample(NETWORK, beliefs, histories, plan, ENCODING, draws=draws, seed=seed)


def one(index: int) -> tuple[Episodes, Plan]:
    plan = CASES.plan
    return (
        Episodes(SCHEMA, (CASES.histories[index],)),
        Plan(plan.time[[index]], plan.actions[[index]], plan.known_future[[index]]),
    )


def test_shape_and_finiteness() -> None:
    drawn = answer()
    assert drawn.shape == (2, 6, 5, 4, 3) and np.isfinite(drawn).all()
    assert set(np.unique(drawn[..., 1])) <= {0, 1} and set(np.unique(drawn[..., 2])) <= {0, 1, 2}


def test_the_belief_of_a_short_history_is_not_changed_by_the_padding() -> None:
    together = encode_now(NETWORK, CASES.histories, ENCODING)
    for index in range(5):
        torch.testing.assert_close(together[:, [index]], encode_now(NETWORK, one(index)[0], ENCODING))


def test_a_belief_is_formed_from_the_last_rows_up_to_the_context() -> None:
    history = CASES.histories[3]
    rows = encode_history(history)
    torch.testing.assert_close(encode_now(NETWORK, one(3)[0], ENCODING), NETWORK.encoder(rows)[:, :, -1])


def encode_history(history) -> torch.Tensor:
    from foreworld.data.tabulate import encode_histories

    rows = torch.from_numpy(encode_histories([history], ENCODING)[:, -NETWORK.config.context :])
    return rows.expand(2, *rows.shape)


def test_a_history_that_is_asked_about_again_and_again_is_encoded_once() -> None:
    again = CASES.histories.take([4, 1, 4, 4, 1])
    once, place = again.distinct()
    assert [episode.id for episode in once] == [CASES.histories[4].id, CASES.histories[1].id]
    assert place.tolist() == [0, 1, 0, 0, 1]
    apart = encode_now(NETWORK, CASES.histories, ENCODING)[:, [4, 1, 4, 4, 1]]
    torch.testing.assert_close(encode_now(NETWORK, again, ENCODING), apart)


def test_questions_do_not_influence_each_other() -> None:
    together = answer()
    for index in range(5):
        np.testing.assert_allclose(together[:, :, [index]], answer(*one(index)), rtol=1e-4, atol=1e-5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answer()
    monkeypatch.setattr(forecast, "CHUNK_ROWS", 24)
    np.testing.assert_allclose(answer(), whole, rtol=1e-4, atol=1e-5)


def test_the_seed_decides() -> None:
    np.testing.assert_array_equal(answer(seed=3), answer(seed=3))
    assert not np.array_equal(answer(seed=3), answer(seed=4))


def test_two_plans_are_compared_under_the_same_noise() -> None:
    history, plan = one(1)
    twice = Episodes(SCHEMA, (history[0], history[0]))
    both = Plan(*(np.repeat(part, 2, axis=0) for part in (plan.time, plan.actions, plan.known_future)))
    drawn = answer(twice, both, draws=20)
    np.testing.assert_allclose(drawn[:, :, 0], drawn[:, :, 1], rtol=1e-4, atol=1e-5)
    assert len(np.unique(drawn[0, :, 0, 0, 0])) == 20


def test_chance_is_shared_out_evenly_over_the_draws() -> None:
    numbers = stratified((2, 40, 3, 4), torch.Generator().manual_seed(0))
    strata = (numbers * 40).long().sort(dim=1).values
    assert torch.equal(strata, torch.arange(40)[None, :, None, None].expand(2, 40, 3, 4))
    assert numbers.min() > 0 and numbers.max() < 1
    pairs = np.corrcoef(numbers.movedim(1, 0).reshape(40, -1).T)
    assert np.abs(pairs - np.eye(24)).max() < 0.6  # Steps, dimensions and members are drawn apart.


def test_draws_have_the_distribution_that_was_read() -> None:
    level = torch.tensor([2.0, np.log(np.expm1(0.5 - 1e-3))])
    outputs = torch.cat([level, torch.tensor([np.log(3.0)]), torch.log(torch.tensor([0.2, 0.5, 0.3]))])
    reading = Reading(outputs.expand(1, 20_000, 1, 6).float(), SCHEMA.targets)
    drawn = forecast.draw_reading(
        reading, torch.rand(1, 20_000, 1, 3, generator=torch.Generator().manual_seed(0))
    ).numpy()
    assert drawn[..., 0].mean() == pytest.approx(2.0, abs=0.02) and drawn[..., 0].std() == pytest.approx(0.5, abs=0.02)
    assert drawn[..., 1].mean() == pytest.approx(0.75, abs=0.02)
    shares = np.bincount(drawn[..., 2].astype(int).ravel(), minlength=3) / 20_000
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=0.02)


@pytest.mark.parametrize("draws", [2, 5, 100])
def test_decorrelated_noise_has_no_luck_in_mean_spread_and_correlation(draws: int) -> None:
    noise = torch.randn((2, draws, 9, 8), generator=torch.Generator().manual_seed(0))
    found = decorrelated(noise)
    assert found.shape == noise.shape and bool(torch.isfinite(found).all())
    if draws < 4:
        torch.testing.assert_close(found, noise)
        return
    flat = found.flatten(2)[..., : draws // 2]
    torch.testing.assert_close(flat.mean(1), torch.zeros(flat[:, 0].shape), atol=1e-4, rtol=0)
    unit = torch.eye(flat.shape[2]).expand(2, -1, -1)
    torch.testing.assert_close(flat.mT @ flat / draws, unit, atol=1e-3, rtol=0)


def test_what_adds_up_over_steps_spreads_alike_whatever_the_seed() -> None:
    def spread(seed: int, treat: Any) -> float:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.special.ndtri(stratified((1, 100, 6, 8), generator))
        return float(treat(noise).sum((2, 3)).std())

    plain, treated = (np.std([spread(seed, treat) for seed in range(30)]) for treat in (lambda x: x, decorrelated))
    assert treated < 0.1 * plain
