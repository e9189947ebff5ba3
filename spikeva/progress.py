"""Progress bars with a stage's name, count and time left; a plain line every tenth where the output is a file."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

T = TypeVar("T")
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK")  # by Lightning, torchrun, or by hand


def is_first() -> bool:
    """Whether this is the first of the processes that run one command, where a training on several devices starts more of them."""
    return all(os.environ.get(rank, "0") == "0" for rank in RANKS)


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 cell`, `2 cells`; `1 person`, `2 people` where there is a word for `many`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


console = Console(stderr=True, markup=False, emoji=False)  # names and paths stay as they are
_tell: Callable[[tuple[Any, ...]], None] | None = None  # of a worker process (see `shown_by_parent`)


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

    def remove(self) -> None:
        self._progress.remove_task(self._task)


class _Told(Stage):
    """A bar that the parent process shows."""

    def __init__(self, tell: Callable[[tuple[Any, ...]], None], *of: Any) -> None:
        self._tell = tell
        tell(("stage", *of))

    def advance(self, n: int = 1) -> None:
        self._tell(("advance", n))

    def note(self, text: str) -> None:
        self._tell(("note", text))

    def remove(self) -> None:
        self._tell(("remove",))


class _Lines(io.StringIO):
    """What the console of a worker process writes to."""

    def __init__(self, tell: Callable[[tuple[Any, ...]], None]) -> None:
        super().__init__()
        self._tell = tell

    def write(self, text: str) -> int:
        if text.strip():
            self._tell(("print", text.rstrip("\n")))
        return len(text)


def shown_by_parent(tell: Callable[[tuple[Any, ...]], None]) -> None:
    """In a worker process: `tell` gets what this process would show, for the `show` of `stage_of_workers` in its parent."""
    global _tell
    _tell, console.file = tell, _Lines(tell)


@contextmanager
def stage(name: str, total: int | None = None, done: int = 0) -> Iterator[Stage]:
    """A progress bar called `name` over `total` items, of which `done` were finished earlier."""
    if _tell is not None:
        told = _Told(_tell, name, total, done)
        try:
            yield told
        finally:
            told.remove()
        return
    with _progress() as progress:
        yield Stage(progress, name, total, done)


@contextmanager
def stage_of_workers(
    name: str, total: int, done: int = 0
) -> Iterator[tuple[Stage, Callable[[int, tuple[Any, ...]], None]]]:
    """A `stage`, and `show(worker, told)` for what worker processes told (see `shown_by_parent`): each has a bar below."""
    bars: dict[int, Stage] = {}

    def show(worker: int, told: tuple[Any, ...]) -> None:
        what, *rest = told
        if what == "print":
            console.print(Text.from_ansi(rest[0]), soft_wrap=True)
        elif what == "stage":
            if (left := bars.pop(worker, None)) is not None:
                left.remove()  # its process died
            bars[worker] = Stage(progress, *rest)
        elif what == "remove":
            bars.pop(worker).remove()
        else:
            getattr(bars[worker], what)(*rest)

    with _progress() as progress:
        yield Stage(progress, name, total, done), show


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<34}", style="bold", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
        console=console,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # what goes to a file or a pipe is to arrive there
    )


def track(items: Iterable[T], name: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` under a progress bar."""
    total = len(items) if total is None and isinstance(items, Sized) else total
    with stage(name, total) as bar:
        for item in items:
            yield item
            bar.advance()
