"""Every rule by which a question becomes a plan, and every question that has no answer."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Scale, Scaling
from foreworld.data.schema import Schema, Variable
from foreworld.errors import QuestionError
from foreworld.reasoning.question import build_plan

NAN = np.nan
SCHEMA = Schema(
    id="id",
    time="t",
    variables=(
        Variable(name="x", role="observation", target=True),
        Variable(name="basal", role="action", low=0, high=5),
        Variable(name="carbs", role="action", low=0),
        Variable(name="pump", role="action", kind="categorical", categories=("1", "2", "auto")),
        Variable(name="on", role="action", kind="binary"),
    ),
)
SCALING = Scaling(
    variables={
        "x": Scale(),
        "basal": Scale(centre=1.5, scale=0.5, low=0, high=3),
        "carbs": Scale(centre=0.0, scale=40, low=0, high=90, impulse=True),
        "pump": Scale(high=2),
        "on": Scale(high=1),
    },
    step=5.0,
)
KNOWN = SCHEMA.model_copy(update={"variables": (*SCHEMA.variables, Variable(name="hour", role="known_future"))})
SCALING_KNOWN = Scaling(variables=SCALING.variables | {"hour": Scale()}, step=5.0)


def episode(
    actions: Any,
    pending: Any = (NAN,) * 4,
    *,
    id: str = "a",
    known: int = 0,
    start: float = 100.0,
    step: float = 5.0,
) -> Episode:
    """A history (or a future) with these actions, a row every five minutes."""
    rows = len(actions) + 1
    return Episode(
        id=id,
        time=start + step * np.arange(rows),
        observations=np.zeros((rows, 1)),
        actions=np.array(actions, float).reshape(rows - 1, 4),
        static=np.zeros(0),
        known_future=np.arange(rows * known, dtype=float).reshape(rows, known),
        pending=np.array(pending, float),
    )


PAST = episode([[1.0, 0.0, 0.0, 1.0], [2.0, 30.0, 1.0, 1.0], [NAN, 0.0, 1.0, 0.0]])  # now is 115


def ask(do: Any = None, horizon: int = 3, history: Episode = PAST, **more: Any) -> Plan:
    return build_plan(Episodes(SCHEMA, (history,)), SCALING, do=do, horizon=horizon, **more)


def column(plan: Plan, name: str, which: int = 0) -> list[float]:
    return plan.actions[which, :, [v.name for v in SCHEMA.actions].index(name)].tolist()


def test_the_steps_follow_the_usual_time_step() -> None:
    assert ask().time.tolist() == [[120.0, 125.0, 130.0]]


def test_what_is_not_mentioned_goes_on_and_an_impulse_rests() -> None:
    plan = ask()
    assert column(plan, "basal") == [2.0, 2.0, 2.0]  # The last value that is known.
    assert column(plan, "carbs") == [0.0, 0.0, 0.0]
    assert column(plan, "pump") == [1.0, 1.0, 1.0]
    assert column(plan, "on") == [0.0, 0.0, 0.0]


def test_an_action_never_seen_starts_from_the_usual() -> None:
    assert column(ask(history=episode([])), "basal") == [1.5, 1.5, 1.5]


def test_the_action_of_the_last_row_is_taken_and_goes_on_unless_it_is_an_impulse() -> None:
    plan = ask(history=replace(PAST, pending=np.array([3.0, 20.0, NAN, NAN])))
    assert column(plan, "basal") == [3.0, 3.0, 3.0]
    assert column(plan, "carbs") == [20.0, 0.0, 0.0]
    assert column(plan, "pump") == [1.0, 1.0, 1.0]


def test_do_has_the_last_word_also_about_the_first_step() -> None:
    plan = ask({"carbs": 0.0, "basal": 1}, history=replace(PAST, pending=np.array([3.0, 20.0, NAN, NAN])))
    assert column(plan, "carbs") == [0.0, 0.0, 0.0] and column(plan, "basal") == [1.0, 1.0, 1.0]


def test_hold_keeps_the_last_value_even_of_an_impulse() -> None:
    history = episode([[1.0, 0.0, 0.0, 1.0], [1.0, 45.0, 0.0, 1.0]])
    assert column(ask({"carbs": "hold"}, history=history), "carbs") == [45.0] * 3


@pytest.mark.parametrize(("when", "step"), [("0", 0), ("5", 1), ("10", 2), ("10.0", 2), (" 5 ", 1)])
def test_an_action_at_a_time_leaves_in_that_step_alone(when: str, step: int) -> None:
    expected = [0.0, 0.0, 0.0]
    expected[step] = 45.0
    assert column(ask({f"carbs@{when}": 45.0}), "carbs") == expected


def test_an_action_at_a_time_leaves_the_others_as_they_were() -> None:
    plan = ask({"carbs@5": 45.0}, history=replace(PAST, pending=np.array([NAN, 20.0, NAN, NAN])))
    assert column(plan, "carbs") == [20.0, 45.0, 0.0]


def test_later_keys_win() -> None:
    assert column(ask({"basal": 1.0, "basal@5": 3.0}), "basal") == [1.0, 3.0, 1.0]
    assert column(ask({"basal@5": 3.0, "basal": 1.0}), "basal") == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("given", [[1.0, 2.0, 3.0], (1, 2, 3), np.array([1.0, 2.0, 3.0])])
def test_a_sequence_has_a_value_a_step(given: Any) -> None:
    assert column(ask({"basal": given}), "basal") == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("given", "code"), [("auto", 2), ("2", 1), (2, 1), (2.0, 1)])
def test_categories_are_given_by_label(given: Any, code: float) -> None:
    assert column(ask({"pump": given}), "pump") == [code] * 3


def test_a_sequence_of_labels() -> None:
    assert column(ask({"pump": ["1", "auto", "2"]}), "pump") == [0.0, 2.0, 1.0]


@pytest.mark.parametrize("given", [True, 1, 1.0, "true", "1"])
def test_a_binary_is_given_as_a_number_or_as_a_truth(given: Any) -> None:
    assert column(ask({"on": given}), "on") == [1.0] * 3


def test_numbers_may_come_as_text() -> None:
    assert column(ask({"basal": "2.5"}), "basal") == [2.5] * 3


def test_each_history_has_its_own_time_and_its_own_last_value() -> None:
    other = episode([[3.0, 0.0, 0.0, 1.0]], id="b", start=7.0)
    plan = build_plan(Episodes(SCHEMA, (PAST, other)), SCALING, do={"carbs@5": 9.0}, horizon=2)
    assert plan.time.tolist() == [[120.0, 125.0], [17.0, 22.0]]
    assert column(plan, "basal", 0) == [2.0, 2.0] and column(plan, "basal", 1) == [3.0, 3.0]
    assert column(plan, "carbs", 0) == column(plan, "carbs", 1) == [0.0, 9.0]


def test_datetimes_take_a_time_with_a_unit() -> None:
    clock = SCHEMA.model_copy(update={"time_kind": "datetime", "time_unit": "s"})
    minutes = Scaling(variables=SCALING.variables, step=900.0)
    history = Episodes(clock, (replace(PAST, time=1.7e9 + 900 * np.arange(4)),))
    for when, step in (("30min", 2), ("0.25h", 1), ("900 s", 1), ("0d", 0)):
        plan = build_plan(history, minutes, do={f"carbs@{when}": 9.0}, horizon=4)
        assert column(plan, "carbs")[step] == 9.0 and sum(column(plan, "carbs")) == 9.0
    with pytest.raises(QuestionError, match="30min"):
        build_plan(history, minutes, do={"carbs@30": 9.0}, horizon=4)


# --- planned rows ---------------------------------------------------------------------------------------------------


def ask_future(future: Episode, horizon: int = 3, history: Episode | None = None, do: Any = None) -> Plan:
    past = episode(PAST.actions, known=1) if history is None else history
    return build_plan(
        Episodes(KNOWN, (past,)), SCALING_KNOWN, do=do, horizon=horizon, future=Episodes(KNOWN, (future,))
    )


ROWS = [[1.0, 10.0, 0.0, 1.0], [NAN, 20.0, NAN, 1.0], [3.0, NAN, 2.0, 1.0]]


def test_future_rows_that_begin_now_drive_every_step() -> None:
    plan = ask_future(episode(ROWS, known=1, start=115.0, step=7.0))
    assert plan.time.tolist() == [[122.0, 129.0, 136.0]]
    assert plan.known_future[0, :, 0].tolist() == [1.0, 2.0, 3.0]
    assert column(plan, "basal") == [1.0, 2.0, 3.0]
    assert column(plan, "carbs") == [10.0, 20.0, 0.0]
    assert column(plan, "pump") == [0.0, 1.0, 2.0]


def test_future_rows_after_now_leave_the_first_step_to_the_rules() -> None:
    plan = ask_future(episode(ROWS, known=1, start=120.0))
    assert plan.time.tolist() == [[120.0, 125.0, 130.0]]
    assert column(plan, "basal") == [2.0, 1.0, 2.0]
    assert column(plan, "carbs") == [0.0, 10.0, 20.0]


def test_the_pending_action_drives_the_first_step_if_the_future_says_nothing_of_it() -> None:
    history = replace(episode(PAST.actions, known=1), pending=np.array([4.0, 8.0, NAN, NAN]))
    assert column(ask_future(episode(ROWS, known=1, start=120.0), history=history), "carbs") == [8.0, 10.0, 20.0]


def test_earlier_future_rows_and_further_ones_are_passed_over() -> None:
    plan = ask_future(episode([[5.0] + [0.0] * 3] * 9, known=1, start=105.0), horizon=2)
    assert plan.time.tolist() == [[120.0, 125.0]] and column(plan, "basal") == [5.0, 5.0]


def test_do_wins_over_future_rows_and_may_use_their_times() -> None:
    plan = ask_future(episode(ROWS, known=1, start=115.0, step=7.0), do={"carbs@14": 50.0, "basal": 0.0})
    assert column(plan, "carbs") == [10.0, 20.0, 50.0] and column(plan, "basal") == [0.0] * 3


def test_one_future_row_is_enough_for_one_step() -> None:
    plan = ask_future(episode([], known=1, start=121.0), horizon=1)
    assert plan.time.tolist() == [[121.0]] and column(plan, "basal") == [2.0]


def test_known_future_values_are_asked_for() -> None:
    with pytest.raises(QuestionError, match="hour"):
        build_plan(Episodes(KNOWN, (episode(PAST.actions, known=1),)), SCALING_KNOWN, do=None, horizon=2)


def test_too_few_future_rows() -> None:
    with pytest.raises(QuestionError, match="'a' has 2 future rows after its last one, and 3 steps"):
        ask_future(episode(ROWS[:1], known=1, start=120.0))


def test_future_rows_of_somebody_else() -> None:
    with pytest.raises(QuestionError, match="nothing about 'a'"):
        ask_future(episode(ROWS, known=1, start=120.0, id="b"))


# --- questions without an answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "says"),
    [
        ({"basall": 1.0}, "no action 'basall'; did you mean 'basal'"),
        ({"zzz": 1.0}, "the actions are: basal, carbs, pump, on"),
        ({"x": 1.0}, "no action 'x'"),
        ({"basal": 6.0}, r"basal = 6.0 is outside its bounds \[0, 5\]"),
        ({"basal": -1.0}, "outside its bounds"),
        ({"basal": np.nan}, "outside its bounds"),
        ({"carbs": np.inf}, "outside its bounds"),
        ({"on": 0.5}, "outside its bounds"),
        ({"basal": "much"}, "'much' is not a number"),
        ({"pump": "3"}, "one of 1, 2, auto, not '3'"),
        ({"pump": 1.5}, "one of 1, 2, auto, not '1.5'"),
        ({"basal": [1.0, 2.0]}, "2 values for 3 steps"),
        ({"basal@5": [1.0, 2.0, 3.0]}, "3 values for 1 steps"),
        ({"carbs@7": 1.0}, "no step leaves at 7 from now; the steps leave at 0, 5, 10, ... up to 10"),
        ({"carbs@15": 1.0}, "no step leaves at 15"),
        ({"carbs@-5": 1.0}, "'@-5' is not a time from now"),
        ({"carbs@": 1.0}, "'@' is not a time from now"),
        ({"carbs@5min": 1.0}, "such as @30$"),
        ({"carbs@soon": 1.0}, "'@soon' is not a time from now"),
    ],
)
def test_questions_without_an_answer(do: dict[str, Any], says: str) -> None:
    with pytest.raises(QuestionError, match=says):
        ask(do)


def test_nothing_to_hold() -> None:
    with pytest.raises(QuestionError, match="'basal' has no past value to hold"):
        ask({"basal": "hold"}, history=episode([]))


def test_an_action_whose_name_has_an_at_in_it() -> None:
    variables = tuple(v.model_copy(update={"name": "carbs@home"}) if v.name == "carbs" else v for v in SCHEMA.variables)
    scaling = Scaling(variables=SCALING.variables | {"carbs@home": SCALING.variables["carbs"]}, step=5.0)
    history = Episodes(SCHEMA.model_copy(update={"variables": variables}), (PAST,))
    for do, expected in (({"carbs@home": 1.0}, [1.0, 1.0]), ({"carbs@home@5": 2.0}, [0.0, 2.0])):
        assert build_plan(history, scaling, do=do, horizon=2).actions[0, :, 1].tolist() == expected


@given(
    past=st.lists(st.tuples(*[st.sampled_from([NAN, 0.0, 1.0])] * 4), max_size=4),
    pending=st.tuples(*[st.sampled_from([NAN, 0.0, 1.0])] * 4),
    do=st.dictionaries(st.sampled_from(["basal", "carbs", "carbs@5", "on", "on@0"]), st.sampled_from([0.0, 1.0])),
    horizon=st.integers(2, 6),
)
def test_every_action_of_every_step_is_known(past: Any, pending: Any, do: Any, horizon: int) -> None:
    plan = ask(do, horizon, episode(past, pending))
    assert np.isfinite(plan.actions).all() and np.isfinite(plan.time).all()
    assert plan.horizon == horizon and (np.diff(plan.time) > 0).all()
