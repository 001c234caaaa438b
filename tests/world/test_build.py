"""Every objective gives a model that keeps the contract; what is predicted differs, and how, not what is answered."""

from pathlib import Path

import numpy as np
import pytest
import torch

from foreworld.data.layout import observed_columns, read_values
from foreworld.data.plan import Plan, cut
from foreworld.data.tabulate import tabulate
from foreworld.errors import QuestionError
from foreworld.model import WorldModel
from foreworld.nets.cached import Continuation, attend
from foreworld.nets.transformer import Block, Transformer
from foreworld.reasoning.forecast import draw
from foreworld.training.fit import train
from foreworld.world.build import OBJECTIVES, build_network, parameters
from foreworld.world.generative import GatedNetwork
from foreworld.world.network import WorldNetwork
from foreworld.world.next_token import TokenNetwork
from foreworld.world.teacher import TeacherNetwork
from foreworld.world.tokens import MINUS, Bins, Digits

from ..simulated import SCHEMA, encoding_of, episodes, pushed, tiny

DATA = episodes([14, 3, 22, 9, 12, 16])
ENCODING = encoding_of(DATA)
TABLE = tabulate(DATA, ENCODING)
CASES = cut(DATA, [(0, 0), (2, 9), (5, 8)], 4)
NAMES = tuple(OBJECTIVES)


def small(objective: str, **changes):
    return tiny(objective=objective, hidden=8, steps=4, memory=(3.0, 9.0), draws=8, cases=8, **changes)


@pytest.mark.parametrize("objective", NAMES)
def test_every_objective_fits_answers_saves_and_loads(objective: str, tmp_path: Path) -> None:
    model = WorldModel.fit(DATA, config=small(objective), objective=objective, progress=False)
    answer = model.follow(CASES.histories, CASES.plan, members=10, seed=3)
    assert answer.samples.shape == (10, 3, 4, 3) and np.isfinite(answer.samples).all()
    assert set(np.unique(answer.samples[..., 2])) <= {0, 1, 2}
    again = train(DATA, small(objective), seed=0).network.state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.network.state_dict().items())
    model.save(tmp_path / "model")
    loaded = WorldModel.load(tmp_path / "model")
    assert loaded.config.objective == objective
    np.testing.assert_array_equal(loaded.forecast(CASES.histories, CASES.plan, members=10, seed=3), answer.samples)


@pytest.mark.parametrize("objective", NAMES)
def test_a_future_depends_on_the_actions_before_it_alone(objective: str) -> None:
    network = build_network(small(objective), ENCODING, seed=0, table=TABLE)
    actions = np.array(CASES.plan.actions)
    actions[:, 2:, 0] += 40.0
    actions[:, 2:, 1] -= 40.0
    other = Plan(CASES.plan.time, actions, CASES.plan.known_future)
    one, two = (draw(network, CASES.histories, plan, ENCODING, draws=40, seed=1) for plan in (CASES.plan, other))
    np.testing.assert_allclose(one[:, :, :, :2], two[:, :, :, :2], rtol=0, atol=1e-5)
    assert not np.allclose(one[:, :, :, 2:, 0], two[:, :, :, 2:, 0])


@pytest.mark.parametrize("objective", NAMES)
def test_each_question_is_answered_by_itself(objective: str) -> None:
    network = build_network(small(objective), ENCODING, seed=0, table=TABLE)
    together = draw(network, CASES.histories, CASES.plan, ENCODING, draws=5, seed=1)
    for index in range(3):
        plan = Plan(*(part[[index]] for part in (CASES.plan.time, CASES.plan.actions, CASES.plan.known_future)))
        alone = draw(network, CASES.histories.take([index]), plan, ENCODING, draws=5, seed=1)
        np.testing.assert_allclose(alone[:, :, 0], together[:, :, index], rtol=0, atol=1e-4)


def test_the_values_of_a_row_are_read_back() -> None:
    read = read_values(torch.from_numpy(TABLE.history), observed_columns(ENCODING)).numpy()
    seen = np.concatenate([episode.observations for episode in DATA])
    centre, scale = ENCODING.scaling.of(SCHEMA.observations)
    np.testing.assert_allclose(read, (seen - centre) / scale, rtol=0, atol=1e-5)


def test_a_network_tells_every_channel_and_answers_the_targets() -> None:
    network = build_network(small("jepa"), ENCODING, seed=0)
    assert isinstance(network, WorldNetwork)
    beliefs = network.encoder(torch.zeros(2, 1, 1, TABLE.history.shape[1]))
    everything, asked = network.readout.everything(beliefs), network.readout(beliefs)
    assert [v.name for v in everything.variables] == ["level", "alarm", "mode", "hum"]
    assert [v.name for v in asked.variables] == ["level", "alarm", "mode"]
    for one, other in zip(asked.parts(), everything.parts()[:3], strict=True):
        torch.testing.assert_close(one, other)


def test_gates_close_what_does_not_pay() -> None:
    data = pushed(8, 20, 0)
    model = WorldModel.fit(
        data,
        objective="generative_gated",
        config=tiny(steps=150, learning_rate=0.02, cases=20, draws=8),
        progress=False,
    )
    assert isinstance(model.network, GatedNetwork)
    assert model.log[-1]["gates"] < model.log[0]["gates"]


def test_a_teacher_follows_slowly_and_is_no_parameter() -> None:
    model = WorldModel.fit(DATA, objective="jepa_ema", config=small("jepa_ema"), progress=False)
    network = model.network
    assert isinstance(network, TeacherNetwork)
    gap = [(a - b).abs().max() for a, b in zip(network.teacher.parameters(), network.encoder.parameters(), strict=True)]
    assert 0 < max(gap) < 0.2
    assert parameters(network) == parameters(build_network(small("jepa"), ENCODING, seed=0))


def test_a_memoryless_encoder_sees_the_observations_of_a_row_alone() -> None:
    network = build_network(small("jepa_memoryless"), ENCODING, seed=0)
    rows = torch.from_numpy(TABLE.history[:6].copy()).expand(2, 1, -1, -1).clone()
    before = network.encoder(rows)
    rows[:, :, :5] += 1.0
    rows[:, :, 5, ENCODING.width("observation") :] += 1.0
    torch.testing.assert_close(network.encoder(rows)[:, :, 5], before[:, :, 5])
    rows[:, :, 5, 0] += 1.0
    assert not torch.allclose(network.encoder(rows)[:, :, 5], before[:, :, 5])


def test_plans_are_for_models_with_beliefs() -> None:
    model = WorldModel.fit(DATA, config=small("gru_gaussian"), objective="gru_gaussian", progress=False)
    with pytest.raises(QuestionError, match="objective jepa"):
        model.plan(DATA.take([0]), "level < 3")


def test_bins_hold_equal_shares_and_give_back_what_recurs_exactly() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random((4000, 1)) < 0.5, 0.25, rng.normal(size=(4000, 1)))
    bins = Bins((SCHEMA.observations[0],), 32, 1)
    bins.fit(values)
    told = torch.from_numpy(values).float()
    tokens = bins.encode(told)
    back, broken = bins.decode(tokens, torch.full(told.shape, 0.5))
    assert not broken.any()
    assert (back[told == 0.25] == 0.25).all()
    assert (back - told).abs().mean() < 0.1 and (back - told).abs().max() < 2
    assert np.bincount(tokens.flatten())[[0, -1]].max() <= 4000 / 32 + 2
    assert bins.encode(torch.tensor([[torch.nan]]))[0, 0, 0] == 32


def test_digits_are_read_back_and_bad_ones_found() -> None:
    variables = (SCHEMA.observations[0], SCHEMA.observations[2])
    digits = Digits(variables)
    told = torch.tensor([[-1.234, 2.0], [0.0, 0.0], [12.0, 1.0]])
    tokens = digits.encode(told)
    back, broken = digits.decode(tokens, torch.full(told.shape, 0.5))
    torch.testing.assert_close(back, torch.tensor([[-1.23, 2.0], [0.0, 0.0], [9.99, 1.0]]))
    assert not broken.any()
    tokens[0, 0, 2] = MINUS  # a sign in the place of a digit
    tokens[1, 1, 3] = 2 + 7  # there is no category 7
    back, broken = digits.decode(tokens, torch.full(told.shape, 0.5))
    assert broken.tolist() == [[True, False], [False, True], [False, False]]
    assert back.isnan().equal(broken)


def test_kept_keys_change_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    network = Transformer(2, 8, 8, generator=generator)
    x = torch.randn(2, 3, 12, 8, generator=generator)
    torch.testing.assert_close(attend(network.blocks, network.read(x), 12), network(x))
    for reach in (12, 4):
        whole = attend(network.blocks, x, reach)
        with torch.no_grad():
            going = Continuation(
                network.blocks, x[:, :, :5], torch.ones(3, 5, dtype=torch.bool), draws=2, room=7, reach=reach
            )
            parts = [going.extend(x[:, :, None, a:b].expand(-1, -1, 2, -1, -1)) for a, b in ((5, 7), (7, 8), (8, 12))]
        found = torch.cat(parts, dim=3)
        for copy in range(2):
            torch.testing.assert_close(found[:, :, copy], whole[:, :, 5:])
    assert isinstance(network.blocks[0], Block)


def test_a_token_network_samples_what_it_scores() -> None:
    """The first value of the next row is drawn with the probabilities that training gives to its bins."""
    network = build_network(small("next_token", members=1), ENCODING, seed=0, table=TABLE)
    assert isinstance(network, TokenNetwork) and isinstance(network.codec, Bins)
    episode, row = 2, 9
    case = cut(DATA, [(episode, row)], 1)
    sampled = draw(network, case.histories, case.plan, ENCODING, draws=4000, seed=0)[0, :, 0, 0, 0]
    place = TABLE.starts[episode] + row + 1
    bins = int(network.codec.used[0, 0])
    rows = torch.from_numpy(TABLE.history[place - network.reach : place + 1].copy()).expand(1, bins, -1, -1).clone()
    column = observed_columns(ENCODING)[0]
    rows[0, :, -1, column.start], rows[0, :, -1, column.flag] = network.codec.high[0, 0, :bins], 1.0
    # One row more than is read at once: the attention's reach leaves the first one out.
    probability = torch.exp(-network.scores(rows)[0][0, :, -1, 0]).detach()
    assert abs(float(probability.sum()) - 1) < 1e-4
    middle = (network.codec.low[0, 0, :bins] + network.codec.high[0, 0, :bins]) / 2
    expected = float((probability * middle).sum())
    assert abs(sampled.mean() - expected) < 0.03
