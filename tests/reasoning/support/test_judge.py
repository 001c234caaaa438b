"""Where a question leaves what training saw, the answer says so, from which step on, and why."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, Plan, cut
from foreworld.data.scaling import Scaling, fit_scaling
from foreworld.model import WorldModel
from foreworld.reasoning.forecast import encode_now
from foreworld.reasoning.support.judge import Support
from foreworld.reasoning.support.overlap import actions_in_range
from foreworld.reasoning.support.verdict import GROUNDS, Verdict

from ...simulated import pushed, tiny

DATA = pushed(40, 40, 0)
NEW = pushed(50, 40, 1)
LONG = pushed(40, 200, 2)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return WorldModel.fit(DATA, config=tiny(members=3, steps=60), baselines={}, progress=False)


def asked(rows: tuple[int, ...] = (3, 11, 20, 29), data: Episodes = NEW) -> Cases:
    return cut(data, [(index, row) for index in range(len(data)) for row in rows], 4)


def judged(model: WorldModel, cases: Cases, **plan: np.ndarray) -> Verdict:
    return model.judge(cases.histories, replace(cases.plan, **plan))


def offset(cases: Cases, by: float) -> Cases:
    """The same histories at levels that were never seen."""
    moved = tuple(replace(history, observations=history.observations + by) for history in cases.histories)
    return replace(cases, histories=Episodes(cases.histories.schema, moved))


def test_questions_like_those_of_training_raise_few_alarms(model: WorldModel) -> None:
    alarm = ~judged(model, asked()).supported.all(1)
    # 5% of 200, and 3 standard errors of so many that come in fours from one episode.
    assert alarm.mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 50)


def test_the_score_is_the_share_of_questions_that_are_stranger(model: WorldModel) -> None:
    score = judged(model, asked()).support[:, -1]
    assert score.min() >= 0 and score.max() <= 1
    for level in (0.25, 0.5, 0.75):
        assert (score <= level).mean() == pytest.approx(level, abs=0.17)


def test_a_plan_far_beyond_the_logged_actions_is_named(model: WorldModel) -> None:
    cases = asked()
    actions = cases.plan.actions.copy()
    actions[:, 2] = 3.0
    verdict = judged(model, cases, actions=actions)
    assert (verdict.support[:, 2:] == 0).all() and not verdict.supported[:, 2:].any()
    assert verdict.supported[:, :2].mean() > 0.8
    for reasons in verdict.reasons:
        (why,) = [reason for reason in reasons if reason.ground == "range"]
        assert (why.variable, why.step, why.times) == ("push", 3, 3.0)
        assert why.text == "push = 3 at step 3 is 2 beyond the range of training, 0 to 1"


@pytest.mark.parametrize("by", [15.0, -15.0, 60.0])
def test_an_offset_history_is_named(model: WorldModel, by: float) -> None:
    verdict = judged(model, offset(asked(), by))
    assert not verdict.supported.any()
    for reasons in verdict.reasons:
        assert reasons[0].variable == "level" and reasons[0].step == 1 and reasons[0].times > 1
        named = [reason for reason in reasons if reason.ground in ("history", "norm")]
        assert named and all("level = " in reason.text and "(training: " in reason.text for reason in named)
        assert all("nearest: " in reason.text and 1 <= len(reason.nearest) <= 3 for reason in named)


def test_the_farther_the_less_support(model: WorldModel) -> None:
    scores = [judged(model, offset(asked((20,)), by)).support[:, -1].mean() for by in (0.0, 10.0, 20.0, 40.0)]
    assert (np.diff(scores) < 0).all()
    errors = []
    for by in (0.0, 20.0, 40.0):
        cases = offset(asked((20,)), by)
        errors.append(model.follow(cases.histories, cases.plan, members=20).expected_error().mean())
    assert (np.diff(errors) > 0).all()


def test_actions_that_were_never_taken_together_are_noticed() -> None:
    """Two drugs, one of which was given at a time: each dose is in range, both at once are not supported."""
    rng = np.random.default_rng(0)
    schema = DATA.schema.model_copy(
        update={"variables": (*DATA.schema.variables, DATA.schema.variables[1].model_copy(update={"name": "pull"}))}
    )
    which = rng.random((len(DATA), 1, 1)) < 0.5
    both = [np.concatenate([e.actions * own, e.actions * ~own], 1) for e, own in zip(DATA, which[:, 0], strict=True)]
    made = tuple(replace(e, actions=a, pending=a[-1]) for e, a in zip(DATA, both, strict=True))
    fitted = WorldModel.fit(Episodes(schema, made), config=tiny(steps=5, cases=100), baselines={}, progress=False)
    cases = cut(Episodes(schema, made), [(index, 20) for index in range(20)], 4)
    apart = fitted.judge(cases.histories, cases.plan)
    together = fitted.judge(cases.histories, replace(cases.plan, actions=np.ones_like(cases.plan.actions)))
    assert apart.supported.all(1).mean() > 0.8 and not together.supported[:, -1].any()
    texts = [r.text for reasons in together.reasons for r in reasons if r.ground == "actions"]
    assert len(texts) == 20 and all("push = 1, pull = 1" in text for text in texts)


def test_channels_that_always_agreed_and_do_not_now_are_noticed() -> None:
    """Two gauges of one level, one of which has slipped: each reading is ordinary, the two together are not."""
    gauge = DATA.schema.variables[0].model_copy(update={"name": "gauge", "target": False})
    schema = DATA.schema.model_copy(update={"variables": (DATA.schema.variables[0], gauge, *DATA.schema.variables[1:])})
    rng = np.random.default_rng(0)

    def gauged(data: Episodes, slip: float) -> Episodes:
        reading = [e.observations + slip + 0.1 * rng.normal(size=e.observations.shape) for e in data]
        both = [np.concatenate([e.observations, own], axis=1) for e, own in zip(data, reading, strict=True)]
        made = (replace(e, observations=seen) for e, seen in zip(data, both, strict=True))
        return Episodes(schema, tuple(made))

    fitted = WorldModel.fit(gauged(DATA, 0.0), config=tiny(steps=5, cases=100), baselines={}, progress=False)
    usual, slipped = (fitted.judge(*_question(gauged(NEW, slip))) for slip in (0.0, 2.0))
    assert usual.supported.all(1).mean() > 0.8 and not slipped.supported.any()
    for reasons in slipped.reasons:
        (why,) = [reason for reason in reasons if reason.ground == "readings"]
        assert why.step == 1 and why.times > 1 and "do not hold together" in why.text


def test_a_sensor_that_reads_too_high_all_the_time_is_noticed() -> None:
    """Readings go up and down; each of these is within what training has, and only their mean is not."""

    def noise(data: Episodes, seed: int, by: float) -> Episodes:
        rng = np.random.default_rng(seed)
        made = (replace(e, observations=rng.normal(5 + by, 2, e.observations.shape)) for e in data)
        return Episodes(data.schema, tuple(made))

    fitted = WorldModel.fit(noise(LONG, 0, 0.0), config=tiny(steps=5, cases=400), baselines={}, progress=False)
    asked_of = cut(LONG, [(index, 150) for index in range(40)], 4)
    usual, high = (fitted.judge(noise(asked_of.histories, 1, by), asked_of.plan) for by in (0.0, 3.0))
    assert usual.supported.all(1).mean() > 0.9 and not high.supported.any()
    for reasons in high.reasons:
        (why,) = [reason for reason in reasons if reason.ground == "level"]
        assert why.variable == "level" and "on average over 151 rows" in why.text


def test_a_strong_action_without_pause_is_noticed() -> None:
    """Pushes come in short bursts, and each may be as strong as this: a plan of nothing else is not supported."""
    rng = np.random.default_rng(0)

    def bursts(data: Episodes) -> Episodes:
        calm = [np.repeat(rng.random((len(e.actions) // 2 + 1, 1)), 2, axis=0)[: len(e.actions)] for e in data]
        made = (replace(e, actions=a.astype(e.actions.dtype), pending=a[-1]) for e, a in zip(data, calm, strict=True))
        return Episodes(data.schema, tuple(made))

    small = tiny(steps=5, cases=400, horizon=24)
    fitted = WorldModel.fit(bursts(LONG), config=small, baselines={}, progress=False)
    cases = cut(bursts(LONG), [(index, 150) for index in range(40)], 24)
    usual = fitted.judge(cases.histories, cases.plan)
    held = fitted.judge(cases.histories, replace(cases.plan, actions=np.full_like(cases.plan.actions, 0.9)))
    assert usual.supported.all(1).mean() > 0.8
    assert held.supported[:, :2].mean() > 0.8 and not held.supported[:, -1].any()
    for reasons in held.reasons:
        (why,) = [reason for reason in reasons if reason.ground == "load"]
        assert why.variable == "push" and why.step > 2 and "on average over 24 steps" in why.text


def _question(data: Episodes) -> tuple[Episodes, Plan]:
    cases = asked((20,), data)
    return cases.histories, cases.plan


def test_beyond_the_calibrated_horizon_nothing_is_supported(model: WorldModel) -> None:
    cases = cut(NEW, [(0, 10), (1, 10)], 6)
    verdict = model.judge(cases.histories, cases.plan)
    assert (verdict.support[:, 4:] == 0).all()
    assert [[reason.ground for reason in reasons] for reasons in verdict.reasons] == [["horizon"]] * 2


def test_the_nearest_episodes_are_those_of_the_same_beliefs(model: WorldModel) -> None:
    """A row of training lies in its own episode; the answer names it among the nearest of most members."""
    histories = cut(DATA, [(index, 39 - 4) for index in range(40)], 4).histories
    beliefs = encode_now(model.network, histories, model.encoding)
    near = model.support.neighbours(beliefs)
    assert all(1 <= len(names) <= 3 and set(names) <= {e.id for e in DATA} for names in near)
    reference = model.support.familiar.beliefs
    white = (beliefs - reference.centre) @ reference.whitening
    for row in range(0, 40, 13):
        closest = torch.cdist(white[:, row, None], reference.references)[:, 0].argmin(-1)
        found = {DATA[int(reference.episode[member, place])].id for member, place in enumerate(closest)}
        assert found & set(near[row])


def test_an_imagined_future_is_like_the_episodes_that_went_that_way(model: WorldModel) -> None:
    """Under lasting pushes the level goes to 10, at rest to 0; training has episodes of either kind for a while."""
    cases = asked((20,))
    named = [
        model.neighbours(cases.histories, replace(cases.plan, actions=np.full_like(cases.plan.actions, push)))
        for push in (0.0, 1.0)
    ]
    assert all(1 <= len(names) <= 3 for some in named for names in some)
    # After the last row of a step of three, with pushes of one: the level three rows on, over the named episodes.
    highest = [np.mean([DATA[int(name)].observations.max() for names in some for name in names]) for some in named]
    assert highest[1] > highest[0]
    assert named[0] == model.neighbours(cases.histories, replace(cases.plan, actions=0 * cases.plan.actions))


def test_what_was_saved_judges_the_same(model: WorldModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    loaded = WorldModel.load(tmp_path / "model")
    cases = offset(asked(), 8.0)
    one, two = (fitted.judge(cases.histories, cases.plan) for fitted in (model, loaded))
    for name in ("support", "supported", "times"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.reasons == two.reasons and one.neighbours == two.neighbours
    assert (tmp_path / "model" / "support.safetensors").stat().st_size < 2e6


@pytest.mark.parametrize("objective", ["generative", "next_token", "gru_gaussian"])
def test_other_objectives_are_judged_as_well(objective: str) -> None:
    small = tiny(steps=3, draws=4, cases=40)
    fitted = WorldModel.fit(pushed(12, 20, 0), objective=objective, config=small, baselines={}, progress=False)
    cases = cut(pushed(5, 20, 1), [(index, 10) for index in range(5)], 4)
    verdict = fitted.judge(cases.histories, cases.plan)
    assert np.isfinite(verdict.support).all() and np.isfinite(verdict.times).all()
    assert not fitted.judge(cases.histories, replace(cases.plan, actions=cases.plan.actions + 9)).supported.any()


def test_one_member_has_nobody_to_disagree_with() -> None:
    fitted = WorldModel.fit(DATA, config=tiny(members=1, steps=5, cases=100), baselines={}, progress=False)
    verdict = fitted.judge(asked().histories, asked().plan)
    assert (verdict.times[GROUNDS.index("disagreement")] <= 1).all() and verdict.supported.all(1).mean() > 0.8


def test_without_actions_history_and_horizon_count() -> None:
    def without(data: Episodes) -> Episodes:
        schema = data.schema.model_copy(update={"variables": data.schema.variables[:1]})
        made = (replace(e, actions=e.actions[:, :0], pending=e.pending[:0]) for e in data)
        return Episodes(schema, tuple(made))

    fitted = WorldModel.fit(without(DATA), config=tiny(steps=5, cases=100), baselines={}, progress=False)
    cases = asked(data=without(NEW))
    assert fitted.judge(cases.histories, cases.plan).supported.all(1).mean() > 0.85
    far = offset(cases, 40.0)
    assert not fitted.judge(far.histories, far.plan).supported.any()


SCALING = fit_scaling(DATA)


def plan(*pushes: float) -> Plan:
    steps = len(pushes)
    return Plan(39 + np.arange(1.0, steps + 1)[None], np.array(pushes)[None, :, None], np.zeros((1, steps, 0)))


def history() -> Episodes:
    return Episodes(DATA.schema, (DATA[0],))


@pytest.mark.parametrize("push", [-0.2, 1.2, 1e9])
def test_an_action_out_of_range_spoils_its_step_and_all_after_it(model: WorldModel, push: float) -> None:
    assert not model.judge(history(), plan(0.5, push, 0.5, 0.5)).supported[0, 1:].any()
    assert actions_in_range(history(), plan(0.5, push, 0.5), SCALING).tolist() == [[True, False, True]]


@pytest.mark.parametrize("push", [-0.04, 1.04, np.nan])
def test_the_edge_of_the_range_has_some_slack_and_an_unknown_action_is_no_offence(push: float) -> None:
    assert actions_in_range(history(), plan(0.5, push, 0.5), SCALING).all()


@pytest.mark.parametrize("level", [0.1, -0.1, 1e-9, 3e8])
def test_an_action_that_never_changed_may_stay_as_it_was(level: float) -> None:
    scale = SCALING.variables["push"].model_copy(update={"low": level, "high": level})
    constant = Scaling(variables=SCALING.variables | {"push": scale}, step=1.0)
    for given, fits in ((level, True), (2 * level, False)):
        assert bool(actions_in_range(history(), plan(given), constant)[0, 0]) == fits


def test_the_state_is_arrays_and_json(model: WorldModel) -> None:
    arrays, settings = model.support.state()
    again = Support.from_state(arrays, settings)
    assert again.names == model.support.names == tuple(range(40))
    assert all(isinstance(value, np.ndarray) for value in arrays.values())
