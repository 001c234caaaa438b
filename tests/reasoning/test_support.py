"""Where a question leaves what training saw, the answer says so, from that step on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan, cut
from foreworld.data.scaling import Scaling, fit_scaling
from foreworld.reasoning.forecast import encode_now
from foreworld.reasoning.held_out import fit_support
from foreworld.reasoning.support import Support, actions_in_range
from foreworld.training.fit import train

from ..simulated import pushed, tiny

DATA = pushed(4, 12, 0)
SCALING = fit_scaling(DATA)


def plan(*pushes: float) -> Plan:
    steps = len(pushes)
    return Plan(np.arange(1.0, steps + 1)[None], np.array(pushes)[None, :, None], np.zeros((1, steps, 0)))


def history() -> Episodes:
    return Episodes(DATA.schema, (DATA[0],))


def support(horizon: int = 10) -> Support:
    return Support(torch.zeros(2, 3, 4), threshold=1.0, horizon=horizon)


def check(asked: Plan, belief: float = 0.0, horizon: int = 10) -> list[bool]:
    return support(horizon).check(torch.full((2, 1, 4), belief), history(), asked, SCALING)[0].tolist()


def test_what_training_saw_is_supported() -> None:
    assert check(plan(0.0, 1.0, 0.5)) == [True] * 3


@pytest.mark.parametrize("push", [-0.2, 1.2, 1e9])
def test_an_action_out_of_range_spoils_its_step_and_all_after_it(push: float) -> None:
    assert check(plan(0.5, push, 0.5, 0.5)) == [True, False, False, False]


@pytest.mark.parametrize("push", [-0.04, 1.04, np.nan])
def test_the_edge_of_the_range_has_some_slack_and_an_unknown_action_is_no_offence(push: float) -> None:
    assert check(plan(0.5, push, 0.5)) == [True] * 3


@pytest.mark.parametrize("level", [0.1, -0.1, 1e-9, 3e8])
def test_an_action_that_never_changed_may_stay_as_it_was(level: float) -> None:
    scale = SCALING.variables["push"].model_copy(update={"low": level, "high": level})
    constant = Scaling(variables=SCALING.variables | {"push": scale}, step=1.0)
    for given, fits in ((level, True), (2 * level, False)):
        assert bool(actions_in_range(history(), plan(given), constant)[0, 0]) == fits


def test_beyond_the_calibrated_horizon_nothing_is_supported() -> None:
    assert check(plan(0.5, 0.5, 0.5), horizon=2) == [True, True, False]


def test_a_belief_far_from_those_of_training_supports_nothing() -> None:
    assert check(plan(0.5, 0.5), belief=0.4) == [True, True]
    assert check(plan(0.5, 0.5), belief=0.6) == [False, False]


def test_without_actions_only_history_and_horizon_count() -> None:
    schema = DATA.schema.model_copy(update={"variables": DATA.schema.variables[:1]})
    asked = Plan(np.ones((1, 2)), np.zeros((1, 2, 0)), np.zeros((1, 2, 0)))
    assert actions_in_range(Episodes(schema, (DATA[0],)), asked, SCALING).tolist() == [[True, True]]


def test_new_histories_like_those_of_training_are_supported_and_strange_ones_not() -> None:
    data, new = pushed(24, 40, 0), pushed(20, 40, 1)
    trained = train(data, tiny(steps=30), seed=0)
    fitted = fit_support(trained.network, trained.encoding, data, trained.held_out, seed=0)
    cases = cut(new, [(index, row) for index in range(20) for row in range(0, 36, 5)], 4)
    beliefs = encode_now(trained.network, cases.histories, trained.encoding)
    familiar = fitted.check(beliefs, cases.histories, cases.plan, trained.encoding.scaling)
    assert familiar.all(1).mean() > 0.97
    strange = encode_now(trained.network, episodes_at(new, 60.0), trained.encoding)
    assert not (fitted.distance(strange).mean(0) <= fitted.threshold).any()


def episodes_at(data: Episodes, offset: float) -> Episodes:
    """The same trajectories at levels that were never seen."""
    return Episodes(data.schema, tuple(replace(e, observations=e.observations + offset) for e in data))
