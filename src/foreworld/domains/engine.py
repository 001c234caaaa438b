"""Where episodes are simulated: in this process, in several beside it, or on a cluster. The bits are the same.

An episode depends on the seed and its id alone, so that it does not matter who simulates it, nor what beside it.
"""

import copy
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

import numpy as np

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, Plan
from foreworld.domains.base import Domain
from foreworld.domains.collect import Origins, branch, branch_effects, episode_ids, record
from foreworld.errors import MissingExtraError, QuestionError

ENGINES = ("serial", "process", "ray")
SHARES_A_WORKER = 4  # so that a worker with quick episodes does not wait long for one with slow ones
Make = Callable[[], Domain]
Job = Mapping[str, Any]
Run = Callable[[Callable[..., Any], Sequence[Job]], Generator[Any, None, None]]
"""Calls a function with the domain (or what else the workers make) and the keywords of each job.

Answers come in order, each as soon as it is there; jobs that have not begun when the iterator is closed never do.
"""
T = TypeVar("T")


@dataclass(frozen=True)
class Engine:
    """`foreworld.domains.collect`, spread over workers.

    Attributes:
        domain: what is simulated.
        run: how.
        shares: parts that the work is split into.
    """

    domain: Domain
    run: Run
    shares: int

    def collect(
        self, *, instances: Sequence[str] | None = None, episodes_per_instance: int = 1, **settings: Any
    ) -> Episodes:
        """As `foreworld.domains.collect.collect`."""
        ids = episode_ids(self.domain.instances if instances is None else instances, episodes_per_instance)
        parts = self.run(record, [{"ids": share} | settings for share in self._shared(ids)])
        return _join_episodes(list(parts))

    def branch(self, *, origins: Origins, **settings: Any) -> Cases:
        """As `foreworld.domains.collect.branch`."""
        return _join_cases(list(self.run(branch, [{"origins": share} | settings for share in self._shared(origins)])))

    def branch_effects(self, *, origins: Origins, **settings: Any) -> tuple[Cases, ...]:
        """As `foreworld.domains.collect.branch_effects`."""
        parts = self.run(branch_effects, [{"origins": share} | settings for share in self._shared(origins)])
        return tuple(_join_cases(cases) for cases in zip(*parts, strict=True))

    def _shared(self, whole: Sequence[T]) -> list[Sequence[T]]:
        """Stretches of nearly equal length, none of them empty."""
        ends = np.linspace(0, len(whole), min(self.shares, len(whole)) + 1).round().astype(int)
        return [whole[start:stop] for start, stop in zip(ends, ends[1:], strict=False)]


@contextmanager
def open_engine(make: Make, name: str = "serial", workers: int | None = None) -> Iterator[Engine]:
    """An engine for a domain; its workers end with the context.

    Args:
        make: gives the domain. Workers make their own, so it must be importable: a class, a function of a module, or
            `functools.partial(registry.create, "glucose")`.
        name: `serial`; `process` for processes on this machine; `ray` for a Ray cluster, the one at RAY_ADDRESS or
            else a local one of as many cores as workers.
        workers: as many as this process may use cores, by default.

    Raises:
        QuestionError: there is no such engine, or no worker.
        MissingExtraError: Ray is not installed.
    """
    domain = make()
    with open_workers(make, name, workers) as (run, count):
        yield Engine(domain, run, count if name == "serial" else count * SHARES_A_WORKER)


@contextmanager
def open_workers(
    make: Callable[[], Any], name: str = "serial", workers: int | None = None
) -> Iterator[tuple[Run, int]]:
    """What calls functions with something that each worker makes for itself, and the number of workers.

    The arguments are those of `open_engine`; what is made need not be a domain.
    """
    if name not in ENGINES:
        raise QuestionError(f"no engine '{name}'; there are {', '.join(ENGINES)}")
    count = _cores() if workers is None else workers
    if count < 1:
        raise QuestionError(f"{count} workers: at least one is needed")
    if name == "serial":
        made = make()
        yield lambda task, jobs: (task(made, **job) for job in jobs), 1
        return
    with (_processes if name == "process" else _ray)(make, count) as run:
        yield run, count


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Worker:
    """A domain of its own, and what is done with it."""

    def __init__(self, make: Callable[[], Any]):
        self.domain = make()

    def do(self, task: Callable[..., Any], job: Job) -> Any:
        return task(self.domain, **job)


_worker: _Worker


def _begin(make: Callable[[], Any]) -> None:
    global _worker
    # A parent that is killed ends nobody: its workers would go on with what they have, and then wait for ever.
    Thread(target=_end_with_parent, daemon=True).start()
    _worker = _Worker(make)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _do(task: Callable[..., Any], job: Job) -> Any:
    return _worker.do(task, job)


@contextmanager
def _processes(make: Callable[[], Any], workers: int) -> Iterator[Run]:
    # Spawned, not forked: a fork copies the locks of threads that it does not copy.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(make,)) as pool:

        def run(task: Callable[..., Any], jobs: Sequence[Job]) -> Generator[Any, None, None]:
            yield from pool.map(_do, [task] * len(jobs), jobs)

        yield run


@contextmanager
def _ray(make: Callable[[], Any], workers: int) -> Iterator[Run]:
    if find_spec("ray") is None:
        raise MissingExtraError("the ray engine", "ray")
    import ray  # pyright: ignore[reportMissingImports]
    from ray.util import ActorPool  # pyright: ignore[reportMissingImports]

    own = not ray.is_initialized()
    if own:
        local = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers, "include_dashboard": False}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(log_to_driver=False, logging_level="ERROR", **local)
    actors = [ray.remote(_Worker).remote(make) for _ in range(workers)]

    def run(task: Callable[..., Any], jobs: Sequence[Job]) -> Generator[Any, None, None]:
        answers = ActorPool(actors).map(lambda actor, job: actor.do.remote(task, job), jobs)
        # Ray hands out arrays in memory that is read-only, and gone when Ray is.
        yield from (copy.deepcopy(answer) for answer in answers)

    try:
        yield run
    finally:
        for actor in actors:
            ray.kill(actor)
        if own:
            ray.shutdown()


def _join_episodes(parts: Sequence[Episodes]) -> Episodes:
    return Episodes(parts[0].schema, tuple(episode for part in parts for episode in part), parts[0].backend)


def _join_cases(parts: Sequence[Cases]) -> Cases:
    plans = [part.plan for part in parts]
    return Cases(
        histories=_join_episodes([part.histories for part in parts]),
        plan=Plan(*(np.concatenate([getattr(p, each) for p in plans]) for each in ("time", "actions", "known_future"))),
        truth=np.concatenate([part.truth for part in parts]),
        group=tuple(group for part in parts for group in part.group),
    )
