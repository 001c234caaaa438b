import torch

from foreworld.reasoning.plan.search import Scores


def order(cost: list[float], excess: list[list[float]]) -> list[int]:
    """The candidates of one episode, the best first."""
    return Scores(torch.tensor([cost]), torch.tensor([excess])).total()[0].argsort().tolist()


def test_who_keeps_all_limits_comes_first_by_cost_and_then_who_breaks_them_least():
    assert order([5.0, 1.0, 3.0, 0.0], [[0.0], [0.2], [0.0], [0.9]]) == [2, 0, 1, 3]


def test_where_a_limit_is_broken_whatever_is_done_cost_decides():
    """Glucose that is low already is low in the first step of every plan: the one with least insulin is wanted."""
    assert order([4.0, 1.0, 9.0], [[12.0], [12.0], [12.0]]) == [1, 0, 2]


def test_cost_decides_without_limits_and_what_is_not_finite_comes_last():
    assert order([float("nan"), 2.0, -1.0], [[], [], []]) == [2, 1, 0]
