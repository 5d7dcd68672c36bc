"""Progress and counts as people read them: bars, which the rooms see as a function, and words for a number."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Report = Callable[[int, int], None]
"""Called with (done, total)."""


def counted(number: int, one: str, many: str = "") -> str:
    """Such as "1 file" and "2 files"; `many` is the other word where it takes more than an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


@contextmanager
def bar(description: str) -> Iterator[Report]:
    """A Rich bar on standard error, gone when done; drawn only where somebody looks."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
