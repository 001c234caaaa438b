"""Pieces on a core each: the same as one after the other, whatever they do."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from foreworld.cores import on_each_core


@pytest.fixture(autouse=True, params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_pieces() -> None:
    def late(wait: float, name: str) -> str:
        time.sleep(wait)
        return name

    assert on_each_core(late, [0.02, 0.01, 0.0], "abc") == ["a", "b", "c"]
    assert on_each_core(late, [], "") == []


def test_each_piece_has_one_thread_and_others_keep_theirs(threads: int) -> None:
    pieces = range(4)
    assert on_each_core(lambda _: torch.get_num_threads(), pieces) == [1] * 4
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *later] == [threads, threads]


def test_gradients_are_taken_where_they_were_asked_for() -> None:
    x = torch.ones(2, requires_grad=True)
    sum(on_each_core(lambda factor: (x * factor).sum(), [1.0, 2.0, 3.0]), torch.zeros(())).backward()
    assert x.grad is not None and x.grad.tolist() == [6.0, 6.0]
    with torch.no_grad():
        assert not any(part.requires_grad for part in on_each_core(lambda factor: x * factor, [1.0, 2.0]))


def test_pieces_may_have_pieces() -> None:
    def inner(number: int) -> int:
        return sum(on_each_core(lambda other: number * other, range(5)))

    assert on_each_core(inner, range(5)) == [0, 10, 20, 30, 40]


def test_an_error_is_the_callers() -> None:
    def fails(number: int) -> int:
        raise ValueError(f"piece {number}")

    with pytest.raises(ValueError, match="piece 0"):
        on_each_core(fails, range(4))
    assert on_each_core(abs, [-1, -2]) == [1, 2]
