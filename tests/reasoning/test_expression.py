"""Goals and limits as text: what they mean, and what is said about those that mean nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foreworld.data.schema import Schema, Variable
from foreworld.errors import QuestionError
from foreworld.reasoning.expression import Condition, Number, parse
from foreworld.reasoning.limit import goal_cost, goal_observation, parse_goal, parse_limit

SCHEMA = Schema(
    id="id",
    time="t",
    variables=(
        Variable(name="glucose", role="observation", target=True),
        Variable(name="state", role="observation", kind="categorical", categories=("well", "ill", "dead"), target=True),
        Variable(name="unseen", role="observation"),
        Variable(name="dose, mg/h", role="action"),
        Variable(name="μ", role="action"),
        Variable(name="insulin", role="action"),
    ),
)
GRID = torch.linspace(30, 300, 271)
VALUES = {
    "glucose": GRID,
    "state": torch.arange(271) % 3,
    "dose, mg/h": GRID / 10,
    "μ": torch.zeros(271),
    "insulin": GRID.flip(0) / 50,
}


def number(text: str) -> np.ndarray:
    built = parse(text, SCHEMA)
    assert isinstance(built, Number)
    return built.value(VALUES).expand(271).numpy()


def condition(text: str) -> Condition:
    built = parse(text, SCHEMA)
    assert isinstance(built, Condition)
    return built


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("glucose + 2 * insulin ** 2", lambda v: v["glucose"] + 2 * v["insulin"] ** 2),
        ("-insulin / `dose, mg/h`", lambda v: -v["insulin"] / v["dose, mg/h"]),
        ("abs(glucose - 100) - sqrt(glucose)", lambda v: np.abs(v["glucose"] - 100) - np.sqrt(v["glucose"])),
        ("max(glucose, 100, 40 * insulin)", lambda v: np.maximum(np.maximum(v["glucose"], 100), 40 * v["insulin"])),
        ("min(log(glucose), exp(-insulin))", lambda v: np.minimum(np.log(v["glucose"]), np.exp(-v["insulin"]))),
        ("\n 2 *\n (μ + 1)", lambda v: 2 * (v["μ"] + 1)),
        ("2 ** 3 ** 0.5 - -1e2", lambda v: np.full(271, 2**3**0.5 + 100)),
    ],
)
def test_numbers_are_those_of_arithmetic(text: str, means) -> None:
    values = {name: value.double().numpy() for name, value in VALUES.items()}
    np.testing.assert_allclose(number(text), means(values), rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("70 <= glucose <= 180", lambda v: (v["glucose"] >= 70) & (v["glucose"] <= 180)),
        ("glucose < 54 or insulin > 5", lambda v: (v["glucose"] < 54) | (v["insulin"] > 5)),
        ("(glucose >= 70) and glucose > 100 and μ == 0", lambda v: v["glucose"] > 100),
        ('state == "dead"', lambda v: v["state"] == 2),
        ("'ill' != state", lambda v: v["state"] != 1),
        (
            'glucose > 100 and (state == "well" or insulin < 2)',
            lambda v: (v["glucose"] > 100) & ((v["state"] == 0) | (v["insulin"] < 2)),
        ),
    ],
)
def test_conditions_hold_where_logic_says(text: str, means) -> None:
    built = condition(text)
    expected = means({name: value.numpy() for name, value in VALUES.items()})
    holds = built.holds(VALUES).numpy()
    np.testing.assert_array_equal(holds, expected)
    margin = built.margin(VALUES).numpy()
    assert (margin[holds] <= 0).all() and (margin[~holds] >= 0).all()


def test_the_cost_of_a_condition_is_how_far_outside_it_is_on_average() -> None:
    goal = parse_goal("70 <= glucose <= 180", SCHEMA)
    path = torch.tensor([[60.0, 100.0, 200.0, 180.0]])
    assert goal_cost(goal, {"glucose": path}).item() == pytest.approx((10 + 0 + 20 + 0) / 4)


@pytest.mark.parametrize(
    ("text", "says", "place"),
    [
        ("glucos < 54", "did you mean 'glucose'", "glucos"),
        ("unseen < 54", "no target and no action 'unseen'", "unseen"),
        ("glucose < ", "cannot be read", "the end"),
        ("glucose < 54) or (μ < 1", "cannot be read", ")"),
        ("70 <= glucose and 5", "a condition is needed", "5"),
        ("1 + (glucose < 2)", "a number is needed", "glucose < 2"),
        ("glucose.real < 2", "not part of the language", "glucose.real"),
        ("__import__('os')", "no such function", "__import__"),
        ("glucose if μ else 1", "not part of the language", "glucose if"),
        ("[glucose]", "not part of the language", "[glucose]"),
        ("(lambda: 1)()", "no such function", "(lambda"),
        ("not glucose < 1", "not part of the language", "not glucose"),
        ("abs(glucose, 2)", "abs takes one value", "abs("),
        ("max(glucose)", "max takes two or more", "max("),
        ("sqrt(x=glucose)", "no such function", "sqrt("),
        ("state < 2", "compare it", "state"),
        ('state < "dead"', "have no order", "state"),
        ('state == "gone"', "'state' is one of well, ill, dead", '"gone"'),
        ('glucose == "dead"', "has no labels", '"dead"'),
        ("P(glucose < 54)", "stands in a limit only", "P("),
        ("glucose < True", "a number is needed", "True"),
        ("glucose < 1e99", "not too large", "1e99"),
        ("1 / 0 < glucose", "divides by zero", "0 <"),
        ("glucose / (2 - 2)", "divides by zero", "2 - 2"),
        ("glucose < log(0)", "no finite number", "log("),
        ("glucose + exp(1000)", "no finite number", "exp("),
        ("180 <= glucose <= 70", "nothing lies between 180 and 70", "180"),
        ("μ > 0 and 70 > glucose >= 180", "nothing lies between 70 and 180", "70"),
        ("`glucose < 2", "a stray '`'", "`glucose"),
        ("glucose < 2 # all right", "a stray '#'", "# all"),
        ("  μ + glucos", "did you mean", "glucos"),
        ("`dose, mg/h` + `dose`", "did you mean 'dose, mg/h'|no action 'dose'", "`dose`"),
    ],
)
def test_what_cannot_be_understood_is_said_with_its_place(text: str, says: str, place: str) -> None:
    with pytest.raises(QuestionError, match=says) as caught:
        parse(text, SCHEMA)
    start = len(text) if place == "the end" else text.rindex(place)
    where = text[start : start + 20] or "the end"
    assert str(caught.value).endswith(f"(character {start + 1}, at '{where}')")


@pytest.mark.parametrize("text", ["", "   ", "(" * 5000 + "1" + ")" * 5000, "1" * 20_000, "-" * 3000 + "1"])
def test_texts_that_are_empty_or_endless_are_refused(text: str) -> None:
    with pytest.raises(QuestionError):
        parse(text, SCHEMA)


@given(st.text(max_size=40) | st.text("glucose μ<>=0123456789+-*/().`'\"\\#\n,and or", max_size=40))
def test_any_text_is_understood_or_refused(text: str) -> None:
    for reader in (parse, parse_limit, parse_goal):
        try:
            reader(text, SCHEMA)
        except QuestionError:
            continue


PATHS = torch.tensor([[60.0, 90.0], [50.0, 120.0], [80.0, 80.0], [55.0, 200.0]])  # [sample, step]


@pytest.mark.parametrize(
    ("text", "value", "breaking"),
    [
        ("P(glucose < 54) <= 0.3", 0.25, 0.25),
        ("P(glucose < 58 or glucose > 150) <= 0.3", 0.5, 0.5),
        ("glucose >= 54", 0.25, 0.25),
        ("mean(glucose) <= 100", PATHS.mean().item(), 0.25),
        ("CVaR(glucose, 0.5) <= 100", (127.5 + 85) / 2, 0.25),
        ("CVaR(glucose, 0) <= 100", PATHS.mean().item(), 0.25),
    ],
)
def test_limits_count_futures_over_the_whole_horizon(text: str, value: float, breaking: float) -> None:
    limit = parse_limit(text, SCHEMA)
    assert limit.value({"glucose": PATHS}).item() == pytest.approx(value)
    assert limit.broken({"glucose": PATHS}).float().mean().item() == pytest.approx(breaking)


@pytest.mark.parametrize("chance", [0.01, 0.1, 0.5])
def test_a_chance_is_reached_where_the_futures_have_moved_far_enough(chance: float) -> None:
    """Of normal futures: the reach is the distance by which all of them have to move."""
    futures = 100 + 10 * torch.randn((200_000, 1), generator=torch.Generator().manual_seed(0))
    limit = parse_limit(f"P(glucose < 80) <= {chance}", SCHEMA)
    shift = limit.rough_reach({"glucose": futures - 30})
    assert limit.reach({"glucose": futures - 30}).item() == pytest.approx(shift.item(), rel=0.02)
    moved = futures - 30 + shift
    assert limit.value({"glucose": moved}).item() == pytest.approx(chance, rel=0.1)
    assert limit.rough_reach({"glucose": moved + 0.1}).item() < 0 < limit.rough_reach({"glucose": moved - 0.1}).item()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("P(glucose < 54) >= 0.5", "reads P\\(condition\\) <= a number"),
        ("0.1 >= P(glucose < 54)", "reads P\\(condition\\) <= a number"),
        ("P(glucose < 54) + 1 <= 2", "reads P\\(condition\\) <= a number"),
        ("P(glucose) <= 0.1", "a condition is needed"),
        ("P(glucose < 54) <= 1", "a chance is at least 0"),
        ("P(glucose < 54) <= insulin", "a plain number"),
        ("CVaR(glucose) <= 1", "CVaR\\(number, level\\)"),
        ("CVaR(glucose, 1) <= 1", "level of CVaR"),
        ("mean(glucose < 2) <= 1", "a number is needed"),
        ("glucose", "a condition is needed"),
        ("1 < 2", "names a target or an action"),
    ],
)
def test_limits_that_make_no_sense(text: str, says: str) -> None:
    with pytest.raises(QuestionError, match=says):
        parse_limit(text, SCHEMA)


def test_a_goal_observation_is_the_scaled_distance_to_it() -> None:
    goal = parse_goal(goal_observation({"glucose": 110}, SCHEMA, {"glucose": 20.0}), SCHEMA)
    assert goal_cost(goal, {"glucose": torch.tensor([[150.0, 110.0]])}).item() == pytest.approx(1.0, abs=1e-5)
    for wrong in ({}, {"state": 1.0}, {"insulin": 1.0}):
        with pytest.raises(QuestionError, match="target"):
            goal_observation(wrong, SCHEMA, {})
