"""One function over many clips: on local processes, a Dask cluster, or in this process; resumable, with an account."""

import os
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from spikeva.datasets.pool import WorkerPool
from spikeva.errors import UserError
from spikeva.progress import stage

C = TypeVar("C")
R = TypeVar("R")


@dataclass
class Account(Generic[C, R]):
    """What `map_clips` did, by a clip's position: its value (None where there is none), or skipped, or its error."""

    clips: Sequence[C]
    values: list[R | None]
    skipped: list[int] = field(default_factory=list)  # positions that were finished before
    errors: dict[int, BaseException] = field(default_factory=dict)  # position -> why

    @property
    def done(self) -> int:
        """Number of clips worked on with success in this call."""
        return len(self.clips) - len(self.skipped) - len(self.errors)

    def check(self, what: str) -> None:
        """Raises an error that names the clips that failed, if any did: an OSError where the machine failed them all (a full disk, a
        worker that died), else a RuntimeError.
        """
        if self.errors:
            shown = [f"  {self.clips[i]}: {type(e).__name__}: {e}" for i, e in sorted(self.errors.items())[:10]]
            more = f"\n  and {len(self.errors) - 10} more" if len(self.errors) > 10 else ""
            first = self.errors[min(self.errors)]
            message = f"{what}: {len(self.errors)} of {len(self.clips)} clips failed\n"
            machine = all(isinstance(e, OSError) or _died(e) for e in self.errors.values())
            raise (OSError if machine else RuntimeError)(message + "\n".join(shown) + more) from first


def map_clips(
    fn: Callable[[C], R],
    clips: Iterable[C],
    workers: int | Executor | None = None,
    *,
    name: str = "clips",
    finished: Callable[[C], bool] | None = None,
    retries: int = 1,
) -> Account[C, R]:
    """`fn(clip)` for every clip under a progress bar called `name`; an `Account` of all of them, in the clips' order.

    `workers`: a number of local processes (0: in this process; None: one a core), or any `concurrent.futures` executor,
    such as the one `cluster` yields; `fn` must be importable by name in another process. `finished(clip)` True skips a
    clip whose output exists, which is how a killed run goes on. A clip that raises is reported in `errors` and the
    others go on; a clip whose worker died is tried `retries` times more.
    """
    clips = list(clips)
    account: Account[C, R] = Account(clips, [None] * len(clips))
    account.skipped = [i for i, clip in enumerate(clips) if finished is not None and finished(clip)]
    todo = sorted(set(range(len(clips))) - set(account.skipped))
    with stage(name, len(clips), len(account.skipped)) as bar, local_executor(workers, len(todo)) as executor:
        for i, value, error in _completed(fn, clips, todo, executor, retries):
            if error is None:
                account.values[i] = value
            else:
                account.errors[i] = error
                bar.note(f"{len(account.errors)} failed")
            bar.advance()
    return account


def _completed(
    fn: Callable[[C], R], clips: Sequence[C], todo: Sequence[int], executor: Executor | None, retries: int
) -> Iterator[tuple[int, R | None, BaseException | None]]:
    if executor is None:
        for i in todo:
            try:
                yield i, fn(clips[i]), None
            except Exception as failure:
                yield i, None, failure
        return
    arrived: queue.SimpleQueue[tuple[int, Future[R]]] = queue.SimpleQueue()

    def submit(i: int) -> None:
        executor.submit(fn, clips[i]).add_done_callback(lambda future: arrived.put((i, future)))

    for i in todo:
        submit(i)
    left, tries = len(todo), dict.fromkeys(todo, 0)
    while left:
        i, future = arrived.get()
        error = future.exception()
        if error is not None and _died(error) and tries[i] < retries:
            tries[i] += 1
            submit(i)
            continue
        left -= 1
        yield i, None if error else future.result(), error


def _died(error: BaseException) -> bool:
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"  # the latter is Dask's


def local_executor(workers: int | Executor | None, tasks: int) -> AbstractContextManager[Executor | None]:
    """A context with the executor that `workers` means to `map_clips` for so many tasks; None is this process.

    For several stages on the same processes: starting them takes seconds.
    """
    if isinstance(workers, Executor):
        return nullcontext(workers)
    if workers is None:
        workers = cores()
    check_workers(workers)
    if workers == 0 or tasks == 0:
        return nullcontext(None)
    return _local(min(workers, tasks))


def cores() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_workers(workers: int | Executor | None) -> None:
    """Raises UserError for a negative number of processes."""
    if isinstance(workers, int) and workers < 0:
        raise UserError(f"workers must be 0 (this process) or a number of processes, got {workers}")


@contextmanager
def _local(workers: int) -> Iterator[Executor]:
    pool = WorkerPool(workers)
    try:
        yield pool
        pool.shutdown()
    finally:
        pool.terminate()


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """The executor of the Dask cluster whose scheduler is at `address` (as `tcp://host:8786`), for `map_clips`.

    Raises UserError where `distributed` is missing or nothing answers. Paths must mean the same on every worker.
    """
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ImportError:
        raise UserError(
            "a cluster needs the package `distributed`; install it with: pip install 'spikeva[cluster]'"
        ) from None
    try:
        get_address_host_port(address, strict=True)  # a Client refuses it too, and then waits 40 s for what never began
        client = Client(address, timeout=20, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Dask scheduler answers at {address!r} ({error}); "
            "start one with `dask scheduler` and give its tcp:// address"
        ) from error
    with client:
        yield client.get_executor(pure=False)
