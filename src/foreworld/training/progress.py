"""A progress bar on a terminal, with the metric that matters; silence elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    label: str, total: int, shown: bool | None = None
) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Yields `report(step, metrics)`.

    Args:
        label: what is going on.
        total: the last step.
        shown: None shows it if standard error is a terminal.
    """
    if not _visible(shown):
        yield lambda step, metrics: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[metric]}"), console=console) as bar:
        task = bar.add_task(label, total=total, metric="")
        best: dict[str, float] = {}

        def report(step: int, metrics: dict[str, float]) -> None:
            best.update({name: metrics[name] for name in ("loss", "validation", "rank") if name in metrics})
            metric = "  ".join(f"{name} {value:.3f}" for name, value in best.items())
            bar.update(task, completed=step, metric=metric)

        yield report


@contextmanager
def stage(label: str, shown: bool | None = None) -> Iterator[None]:
    """A spinner while something without steps of its own goes on; shown as `progress_bar` is."""
    if not _visible(shown):
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(label):
        yield


def _visible(shown: bool | None) -> bool:
    return sys.stderr.isatty() if shown is None else shown
