"""Effects: known ones are found where the model alone is wrong, none where there is none, and doubt is said."""

import numpy as np
import pytest
import statsmodels.api as sm
from econml.dml import LinearDML
from sklearn.linear_model import RidgeCV

from foreworld.data.episodes import Episodes
from foreworld.errors import QuestionError
from foreworld.model import WorldModel
from foreworld.reasoning.effect.arms import roll_arms
from foreworld.reasoning.effect.record import unseen
from foreworld.reasoning.question import build_plan

from ...confounded import SETTINGS, confounded
from ...simulated import SCHEMA, episodes, tiny

TIMELESS = SCHEMA.model_copy(update={"variables": tuple(v for v in SCHEMA.variables if v.role != "known_future")})
TRUTH = np.array([1.0, 1.5, 1.75])  # Of a dose of 1 held for 1, 2 and 3 steps.


@pytest.fixture(scope="module")
def record() -> Episodes:
    return confounded(120, 10, seed=1, effect=1.0)


@pytest.fixture(scope="module")
def model(record: Episodes) -> WorldModel:
    return WorldModel.fit(record, config=SETTINGS, progress=False)


def test_a_known_effect_is_found_where_the_model_alone_is_wrong(model: WorldModel, record: Episodes) -> None:
    found = model.effect(record, {"dose": 1.0}, {"dose": 0.0})
    assert found.method == "debiased" and found.debiased == 3
    assert (np.abs(found.plug_in[:, 0] - TRUTH) > 0.15).all()  # This model was hardly trained.
    low, high = found.average_levels[0, :, 0], found.average_levels[-1, :, 0]
    assert ((low <= TRUTH) & (high >= TRUTH)).all() and found.found.all()
    np.testing.assert_allclose(found.average[:, 0], TRUTH, atol=0.2)
    assert found.controls_pass


def test_no_effect_is_found_where_there_is_none() -> None:
    """In a record in which least squares on the true causes finds none either (t = -0.12)."""
    record = confounded(120, 10, seed=5, effect=0.0)
    naive = np.polyfit(
        np.concatenate([e.actions[:, 0] for e in record]), np.concatenate([e.observations[1:, 0] for e in record]), 1
    )
    assert naive[0] > 0.5
    found = WorldModel.fit(record, config=SETTINGS, progress=False).effect(record, {"dose": 1.0}, {"dose": 0.0})
    assert not found.found.any()
    assert np.abs(found.average).max() < 0.25


def test_one_step_agrees_with_partialled_out_least_squares_and_econml(model: WorldModel, record: Episodes) -> None:
    rows = [(e, t) for e in record for t in range(e.steps)]
    known = np.array([e.observations[t] for e, t in rows])
    dose = np.array([e.actions[t, 0] for e, t in rows])
    after = np.array([e.observations[t + 1, 0] for e, t in rows])
    owner = np.repeat(np.arange(len(record)), [e.steps for e in record])
    ols = sm.OLS(after, sm.add_constant(np.column_stack([dose, known]))).fit(
        cov_type="cluster", cov_kwds={"groups": owner}
    )
    found = model.effect(record, {"dose": 1.0}, {"dose": 0.0}, horizon=1)
    low, high = found.average_levels[[1, 2], 0, 0]
    error = (high - low) / 2 / 1.645
    assert found.average[0, 0] == pytest.approx(ols.params[1], abs=ols.bse[1])
    assert error == pytest.approx(ols.bse[1], rel=0.35)
    learner = LinearDML(model_y=RidgeCV(), model_t=RidgeCV(), cv=5, random_state=0)  # pyright: ignore[reportArgumentType]
    learner.fit(after, dose, X=None, W=known)
    assert found.average[0, 0] == pytest.approx(float(learner.const_marginal_effect()[0]), abs=2 * ols.bse[1])


def test_a_single_decision_agrees_with_econml() -> None:
    """No time at all: what was seen, one dose, and what came of it."""
    record = confounded(400, 1, seed=3, effect=1.0)
    model = WorldModel.fit(record, config=SETTINGS, progress=False)
    now = Episodes(record.schema, tuple(e.until(0) for e in record))
    found = model.effect(now, {"dose": 1.0}, {"dose": 0.0}, data=record)
    assert found.method == "debiased" and found.controls == ()
    seen, after = np.stack([e.observations[0] for e in record]), np.stack([e.observations[1, 0] for e in record])
    learner = LinearDML(model_y=RidgeCV(), model_t=RidgeCV(), cv=5, random_state=0)  # pyright: ignore[reportArgumentType]
    learner.fit(after, np.stack([e.actions[0, 0] for e in record]), X=None, W=seen, inference="statsmodels")
    low, high = (float(np.squeeze(end)) for end in learner.const_marginal_ate_interval(alpha=0.05))
    assert found.average[0, 0] == pytest.approx(float(np.squeeze(learner.const_marginal_ate())), abs=(high - low) / 4)
    width = found.average_levels[-1, 0, 0] - found.average_levels[0, 0, 0]
    assert width == pytest.approx(high - low, rel=0.35)
    assert found.average_levels[0, 0, 0] < 1 < found.average_levels[-1, 0, 0]


def test_new_episodes_correct_as_well_and_members_are_told_apart(model: WorldModel, record: Episodes) -> None:
    new = confounded(60, 10, seed=9, effect=1.0)
    assert unseen(model, new).all()
    mine = unseen(model, record)
    assert mine.any(0).all() and not mine.all(0).all()
    now = Episodes(new.schema, tuple(e.until(5) for e in new))
    found = model.effect(now, {"dose": 1.0}, {"dose": 0.0}, data=new)
    low, high = found.average_levels[0, :, 0], found.average_levels[-1, :, 0]
    assert ((low <= TRUTH) & (high >= TRUTH)).all()


def test_few_episodes_or_an_arm_that_was_never_tried_leave_the_model_as_it_is(
    model: WorldModel, record: Episodes
) -> None:
    few = model.effect(record.take(range(5)), {"dose": 1.0}, {"dose": 0.0})
    assert few.method == "plug-in" and "5 recorded episodes" in few.reason
    np.testing.assert_allclose(few.average, few.plug_in)
    far = model.effect(record, {"dose": 60.0}, {"dose": 0.0})
    assert far.method == "plug-in" and "hardly ever done" in far.reason
    assert not far.overlap["do"].enough and far.overlap["versus"].enough
    assert not far.supported.any()


def test_plans_are_compared_under_the_same_chance_all_at_once(model: WorldModel, record: Episodes) -> None:
    now = Episodes(record.schema, tuple(e.until(6) for e in record.take(range(7))))
    scaling = model.encoding.scaling
    plans = [build_plan(now, scaling, do={"dose": value}, horizon=3) for value in (0.0, 1.0, 0.0)]
    together = roll_arms(model, now, plans, seed=3)
    assert together.shape == (3, 2, 7, 3, 1)
    np.testing.assert_allclose(together[0], together[2], atol=1e-6)
    apart = np.stack([roll_arms(model, now, [plan], seed=3)[0] for plan in plans])
    np.testing.assert_allclose(together, apart, atol=1e-5)
    one, many = (
        model.effect(histories, {"dose": 1.0}, {"dose": 0.0}, data=record) for histories in (now.take([4]), now)
    )
    np.testing.assert_allclose(one.effect[0], many.effect[4], atol=1e-5)
    np.testing.assert_allclose(one.average, one.effect[0])


def test_what_is_hidden_is_sized_and_what_comes_before_is_free_of_the_action(
    model: WorldModel, record: Episodes
) -> None:
    found = model.effect(record, {"dose": 1.0}, {"dose": 0.0}, confounder="cause")
    value = found.sensitivity["robustness_value"][0, 0]
    # One step, unit variances of what is left: f = 1, so that R = (sqrt(5) - 1) / 2.
    assert value == pytest.approx((np.sqrt(5) - 1) / 2, abs=0.03)
    assert (found.sensitivity["robustness_value_interval"] < found.sensitivity["robustness_value"]).all()
    assert found.benchmark["explains_of_the_action"] > 0.3
    summary = found.summary()
    assert summary["negative_controls_pass"] and len(summary["negative_controls"]) == 8
    with pytest.raises(QuestionError, match="confounder: 'weather' is not among"):
        model.effect(record, {"dose": 1.0}, {"dose": 0.0}, confounder="weather")


def test_an_action_that_history_does_not_explain_fails_its_negative_control() -> None:
    """The dose answers to what y was five rows before, which no feature holds."""
    record = confounded(100, 14, seed=4, effect=0.5, late=1.0)
    model = WorldModel.fit(record, config=SETTINGS, progress=False)
    found = model.effect(record, {"dose": 1.0}, {"dose": 0.0}, horizon=1)
    assert found.controls_pass is False
    worst = min(found.controls, key=lambda control: control["p"])
    assert worst["rows_before"] >= 5


def test_every_kind_of_action_and_target_is_answered_in_a_frame() -> None:
    data = episodes([14] * 40, missing=0.02, schema=TIMELESS)
    model = WorldModel.fit(data, config=tiny(), progress=False)
    found = model.effect(data.take([0, 1]), {"pump": "b"}, {"pump": "a"}, data=data)
    assert found.method == "debiased", found.reason
    rows = found.to_frame().to_pylist()
    assert list(rows[0]) == [
        "device",
        "step",
        "variable",
        "effect",
        "q025",
        "q05",
        "q95",
        "q975",
        "unit",
        "supported",
        "debiased",
    ]
    assert {row["device"] for row in rows} == {"all", "unit 00", "unit 01"}
    assert {row["variable"]: row["unit"] for row in rows}["mode=on"] == "probability"
    assert all(
        row["q025"] <= row["q05"] <= row["effect"] + 1 and row["q05"] <= row["q95"] <= row["q975"] for row in rows
    )
    assert len(rows) == 3 * 4 * len(found.names)


def test_what_cannot_be_asked_is_one_line(model: WorldModel, record: Episodes) -> None:
    now = record.take([0])
    for do, versus, said in (
        ({}, {"dose": 0.0}, "say what is done"),
        ({"dose": 1.0}, {"dose": 1.0}, "both plans do the same"),
        ({"dsoe": 1.0}, None, "did you mean 'dose'"),
    ):
        with pytest.raises(QuestionError, match=said):
            model.effect(now, do, versus)
    with pytest.raises(QuestionError, match="horizon of 0"):
        model.effect(now, {"dose": 1.0}, horizon=0)
