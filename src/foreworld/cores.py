"""Pieces of a batch on a core each: operations of small networks are too small for threads of their own to share.

Two threads within every operation make a plan 1.06 times as quick, two that take whole pieces some 1.4 times
(docs/decisions/training.md).
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def on_each_core(function: Callable[..., Result], *pieces: Iterable[Any]) -> list[Result]:
    """What `map` gives, in order; as many at a time as `torch.get_num_threads` says."""
    asked, threads = list(zip(*pieces, strict=True)), torch.get_num_threads()
    if min(len(asked), threads) < 2:
        return [function(*piece) for piece in asked]
    gradients = torch.is_grad_enabled()  # Is a thread's own affair.

    def run(piece: tuple[Any, ...]) -> Result:
        with torch.set_grad_enabled(gradients):
            return function(*piece)

    try:
        return list(_pool(threads).map(run, asked))
    finally:
        torch.set_num_threads(threads)  # What the pool's threads said last is what later threads would begin with.


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "foreworld-core", initializer=_alone)


def _alone() -> None:
    torch.get_num_threads()  # The first time that a thread asks, it is given what others have; so ask before.
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_pool.cache_clear)
