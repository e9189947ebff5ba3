"""Progress bars with a stage's name, count and time left; a plain line every tenth where the output is a file."""

import os
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK")  # by Lightning, torchrun, or by hand


def tells() -> bool:
    """Whether this process says what its command does and finds: on several devices, a training may run the command once for each."""
    return all(os.environ.get(rank, "0") == "0" for rank in RANKS)


console = Console(stderr=True, quiet=not tells())


class Stage:
    """One bar. `advance()` after each finished item; `note()` shows a short text behind the bar."""

    def __init__(self, progress: Progress, name: str, total: int | None, done: int = 0) -> None:
        self._progress, self.name, self.total = progress, name, total
        self._task = progress.add_task(name, total=total, completed=done, note="")
        self._said = -1
        self._done = done

    def advance(self, n: int = 1) -> None:
        self._done += n
        self._progress.advance(self._task, n)
        if not console.is_terminal and self.total:  # a log file gets a line every tenth
            tenth = 10 * self._done // self.total
            if tenth != self._said:
                self._said = tenth
                console.print(f"{self.name}: {self._done}/{self.total}", highlight=False)

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)


@contextmanager
def stage(name: str, total: int | None = None, done: int = 0) -> Iterator[Stage]:
    """A progress bar called `name` over `total` items, of which `done` were finished earlier."""
    progress = Progress(
        TextColumn("[bold]{task.description:<34}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )
    with progress:
        yield Stage(progress, name, total, done)


def track(items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` under a progress bar."""
    total = len(items) if total is None and isinstance(items, Sized) else total
    with stage(name, total) as bar:
        for item in items:
            yield item
            bar.advance()
