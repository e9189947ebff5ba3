"""A local pool of processes in which a dead worker costs its own task alone.

The standard library's process pool loses every task that waits when one worker is killed.
"""

import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from multiprocessing import get_context, parent_process, set_start_method
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

R = TypeVar("R")

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")  # read on import
_READY = b"ready"
_starting = threading.Lock()  # a process's environment is one for all its threads
_parent: "tuple[Connection, threading.Lock] | None" = None  # in a worker: its pipe


class WorkerDied(BrokenExecutor):
    """A worker process ended (killed, out of memory, a crash in native code) while it held this task."""


class NoWorker(WorkerDied):
    """A worker process ended while it started, as the next one would."""


class _Unheard(Exception):
    """What a worker told raised an error here, which is the cause."""


class WorkerPool(Executor):
    """A local pool of `workers` processes, started by "spawn" when there is work.

    Each thread here owns one process and one pipe to it. Where the process dies, the task it held gets `WorkerDied`,
    and the next task starts a new process; no other task is touched. A worker whose parent is gone ends at once.

    Args:
        environments: variables for each worker; None: one thread each, since the processes are the parallelism.
        heard: called with a worker's number and what it says by `tell`, in a thread of this process. An error that this raises
            becomes that of the task, whose worker is killed.
        parents: workers may start processes of their own; the pool must be shut down or terminated, then.
    """

    def __init__(
        self,
        workers: int,
        environments: Sequence[Mapping[str, str]] | None = None,
        heard: Callable[[int, Any], None] | None = None,
        parents: bool = False,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self._environments = environments or [dict.fromkeys(THREADS, "1")] * workers
        self._heard, self._daemon = heard, not parents
        self._tasks: queue.SimpleQueue[tuple[Future[Any], bytes] | None] = queue.SimpleQueue()
        self._processes: set[BaseProcess] = set()
        self._failed_starts = 0
        self._closed = self._killed = False
        self._threads = [threading.Thread(target=self._drive, args=(n,), daemon=True) for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        if self._closed:
            raise RuntimeError("the pool is shut down")
        future: Future[R] = Future()
        self._tasks.put((future, pickle.dumps((fn, args, kwargs))))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if not self._closed:
            self._closed = True
            if cancel_futures:
                self._cancel_waiting()
            for _ in self._threads:
                self._tasks.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def terminate(self) -> None:
        """Drop the tasks that wait, kill the workers, return when they are gone."""
        self._closed = self._killed = True
        self._cancel_waiting()
        for _ in self._threads:
            self._tasks.put(None)
        for process in list(self._processes):
            process.kill()
        for thread in self._threads:
            thread.join()

    def _cancel_waiting(self) -> None:
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            if task is not None:
                task[0].cancel()

    def _start(self, number: int) -> tuple[BaseProcess, Connection]:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=self._daemon)
        with _environment(self._environments[number]):
            process.start()
        theirs.close()
        self._processes.add(process)
        if self._killed:
            process.kill()
        try:
            ours.recv_bytes()
        except (EOFError, OSError):
            self._failed_starts += 1
            self._bury(process)
            raise NoWorker(
                f"a worker process ended while it started (exit code {process.exitcode}). In a script, call this from "
                "under `if __name__ == '__main__':`; in an interactive session use workers=0 or jobs=1"
            ) from None
        self._failed_starts = 0
        return process, ours

    def _hear(self, number: int, what: Any) -> None:
        if self._heard is not None:
            try:
                self._heard(number, what)
            except BaseException as failure:
                raise _Unheard from failure  # not to be taken for a failure of the pipe

    def _drive(self, number: int) -> None:
        process: BaseProcess | None = None
        pipe: Connection | None = None
        while (task := self._tasks.get()) is not None:
            future, payload = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if pipe is None or process is None:
                    if self._failed_starts > 2 * len(self._threads):
                        raise NoWorker("no worker process starts any more; the first errors say why")
                    process, pipe = self._start(number)
                pipe.send_bytes(payload)
                while len(answer := pickle.loads(pipe.recv_bytes())) == 1:
                    self._hear(number, *answer)
                error, value = answer
            except _Unheard as unheard:
                future.set_exception(unheard.__cause__)
                if process is not None:
                    process.kill()  # nobody hears what it does
                    self._bury(process)
                process = pipe = None
            except (EOFError, OSError) as failure:
                if process is None:  # none could be started
                    future.set_exception(failure)
                    continue
                self._bury(process)
                how = f"worker process {process.pid} ended with exit code {process.exitcode} (-9: killed)"
                future.set_exception(WorkerDied(f"{how} while it held this task"))
                process = pipe = None
            except BaseException as failure:
                future.set_exception(failure)
            else:
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)
        if pipe is not None and process is not None:
            pipe.close()  # the worker reads the end of its pipe and returns
            self._bury(process)

    def _bury(self, process: BaseProcess) -> None:
        """Wait for a process that ends, and forget it."""
        process.join()
        self._processes.discard(process)


def tell(what: Any) -> None:
    """In a worker process: what `heard` of its pool is to get, before the answer to the task at hand."""
    if _parent is None:
        raise RuntimeError("this process is no worker of a pool")
    pipe, alone = _parent
    with alone:
        pipe.send_bytes(pickle.dumps((what,)))


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The environment that a process inherits which starts here.

    A worker cannot set its own in time: first it imports the script that started the pool, and that script torch.
    """
    with _starting:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _serve(pipe: Connection) -> None:
    """The life of a worker process: a task in, what it tells and `(error, value)` out, until the pipe ends."""
    global _parent
    _parent = pipe, threading.Lock()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # A spawned process would spawn, too; loaders of torch that start so slowly can miss its end, and then never end themselves.
    set_start_method(None, force=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        pipe.send_bytes(_READY)
        while True:
            task = pipe.recv_bytes()
            try:
                fn, args, kwargs = pickle.loads(task)
                answer = pickle.dumps((None, fn(*args, **kwargs)))
            except BaseException as error:
                error.add_note("in the worker process:\n" + traceback.format_exc())
                try:
                    answer = pickle.dumps((error, None))
                    pickle.loads(answer)  # some exceptions can be written but not read
                except Exception:
                    answer = pickle.dumps((RuntimeError(traceback.format_exc()), None))
            with _parent[1]:
                pipe.send_bytes(answer)
    except (EOFError, OSError):
        return  # the parent is gone or done


def _end_with_parent() -> None:
    """A task may take hours, and nobody waits for its answer any more."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
