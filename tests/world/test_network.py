"""Rolling forward: no time, no move; any time, a bounded step; two short steps of a relaxation are one long one."""

import torch
from torch import Tensor

from foreworld.data.tabulate import move_width
from foreworld.world.network import WorldNetwork

from ..simulated import encoding_of, episodes, tiny

ENCODING = encoding_of(episodes([12, 20]))
WIDTH = move_width(ENCODING)


def network() -> WorldNetwork:
    return WorldNetwork(tiny(), ENCODING, seed=0).requires_grad_(False)


def inputs(steps: int = 1, batch: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Beliefs, moves and noise of two members."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, batch, 10), (2, batch, steps, WIDTH), (2, batch, steps, 2))
    belief, moves, noise = (torch.randn(*shape, generator=generator) for shape in shapes)
    return belief, moves, noise


def spans(*times: float) -> Tensor:
    return torch.tensor(times, dtype=torch.float32).expand(2, 6, -1)


def test_a_step_of_no_time_stays_put() -> None:
    belief, moves, noise = inputs()
    assert torch.equal(network().rollout(belief, moves, spans(0.0), noise)[:, :, 0], belief)


def test_a_step_is_longer_in_more_time_and_bounded() -> None:
    belief, moves, noise = inputs()
    ends = [network().rollout(belief, moves, spans(time), noise)[:, :, 0] for time in (0.1, 1.0, 10.0, 1e3, 1e9)]
    # A level is drawn to its mean as well, and may come back.
    sizes = [(end - belief)[..., 2:].norm(dim=-1) for end in ends]
    assert all(bool((short < long).all()) for short, long in zip(sizes[:2], sizes[1:3], strict=True))
    torch.testing.assert_close(ends[-1], ends[-2])


def test_short_steps_of_a_relaxation_add_up_to_a_long_one() -> None:
    model = network()
    predictor = model.predictor
    for parameter in (predictor.exit.weight, predictor.exit.bias, predictor.linear.weight):
        parameter.zero_()
    predictor.linear.weight[:, : predictor.width] = -torch.eye(predictor.width)
    predictor.linear.bias.fill_(3.0)
    belief, moves, noise = inputs(3)
    whole = model.rollout(belief, moves[:, :, :1], spans(2.0), noise[:, :, :1])[:, :, -1]
    parts = model.rollout(belief, moves, spans(0.5, 0.25, 1.25), noise)[:, :, -1]
    torch.testing.assert_close(parts[..., 2:], whole[..., 2:])  # A level does not relax at one rate.


def test_belief_move_time_and_noise_all_matter() -> None:
    belief, moves, noise = inputs()
    plain = network().rollout(belief, moves, spans(1.0), noise)[:, :, 0] - belief
    for start, along, time, chance in (
        (belief + 1, moves, 1.0, noise),
        (belief, moves + 1, 1.0, noise),
        (belief, moves, 2.0, noise),
        (belief, moves, 1.0, noise + 1),
    ):
        assert not torch.allclose(network().rollout(start, along, spans(time), chance)[:, :, 0] - start, plain)


def test_a_step_depends_on_the_moves_up_to_its_own() -> None:
    belief, moves, noise = inputs(5)
    changed = moves.clone()
    changed[:, :, 3:] += 1
    before, after = (network().rollout(belief, plan, spans(1, 1, 2, 1, 1), noise) for plan in (moves, changed))
    torch.testing.assert_close(before[:, :, :3], after[:, :, :3])
    assert not torch.allclose(before[:, :, 3], after[:, :, 3])


def test_a_batch_is_the_same_as_one_question_after_the_other() -> None:
    belief, moves, noise = inputs(4)
    model = network()
    alone = [
        model.rollout(belief[:, [index]], moves[:, [index]], torch.ones(2, 1, 4), noise[:, [index]])
        for index in range(6)
    ]
    torch.testing.assert_close(model.rollout(belief, moves, torch.ones(2, 6, 4), noise), torch.cat(alone, dim=1))


def test_several_draws_of_a_plan_are_followed_at_once() -> None:
    belief, moves, noise = inputs(4)
    model, other = network(), noise.flip(2)
    both = model.rollout(belief, moves, torch.ones(2, 6, 4), torch.cat([noise, other], dim=1))
    alone = [model.rollout(belief, moves, torch.ones(2, 6, 4), draws) for draws in (noise, other)]
    torch.testing.assert_close(both, torch.cat(alone, dim=1))


def test_the_seed_decides_the_initial_weights() -> None:
    def weights(seed: int) -> Tensor:
        return torch.cat([p.flatten() for p in WorldNetwork(tiny(), ENCODING, seed=seed).parameters()])

    assert torch.equal(weights(3), weights(3)) and not torch.equal(weights(3), weights(4))
