"""Work over many clips: what is done, skipped, failed, and what a killed worker costs."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from spikeva._atomic import remove_parts, write_bytes
from spikeva.datasets import WorkerDied, WorkerPool, cluster, map_clips
from spikeva.datasets.pool import tell
from spikeva.datasets.view import show
from spikeva.errors import UserError
from spikeva.events import EventStream, read_events, write_clip


def square(n: int) -> int:
    if n == 3:
        raise ValueError("three is refused")
    return n * n


def die_on(victim: int, n: int) -> int:
    if n == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def die_once(flag: Path, n: int) -> int:
    if n == 2 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def whoami(_: int) -> tuple[int, str | None]:
    time.sleep(0.01)
    return os.getpid(), os.environ.get("NUMBA_NUM_THREADS")


def say(what: str) -> str:
    tell(what)
    tell([what, os.environ["OF_A_WORKER"]])
    return what.upper()


def unreadable(_: int) -> None:
    class Local(Exception):
        pass

    raise Local("cannot be pickled")


@pytest.mark.parametrize("workers", [0, 2, "threads"])
def test_every_clip_is_done_skipped_or_failed(workers):
    executor = ThreadPoolExecutor(2) if workers == "threads" else workers
    account = map_clips(square, range(8), executor, finished=lambda n: n in (1, 5))
    assert account.values == [0, None, 4, None, 16, None, 36, 49]
    assert account.skipped == [1, 5]
    assert list(account.errors) == [3]
    assert account.done == 5
    with pytest.raises(RuntimeError, match=r"stage: 1 of 8 clips failed\n  3: ValueError: three is refused"):
        account.check("stage")


def full_disk(clip):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failure_of_the_machine_is_told_from_one_of_the_code():
    with pytest.raises(OSError, match=r"stage: 2 of 2 clips failed\n  0: OSError: .*No space left"):
        map_clips(full_disk, range(2), 0).check("stage")
    account = map_clips(partial(die_on, 0), range(1), 1)
    with pytest.raises(OSError, match="WorkerDied"):
        account.check("stage")


def test_an_address_that_is_none_is_refused_before_a_client_waits_for_it(monkeypatch):
    monkeypatch.setattr(pytest.importorskip("distributed"), "Client", None)
    with pytest.raises(UserError, match="no Dask scheduler answers at 'head'"), cluster("head"):
        pass


def test_clip_that_kills_its_worker_is_the_only_one_lost():
    account = map_clips(partial(die_on, 2), range(30), 2)
    assert list(account.errors) == [2]
    assert isinstance(account.errors[2], WorkerDied)
    assert "exit code -9" in str(account.errors[2])
    assert account.done == 29


def test_clip_of_a_worker_killed_from_outside_is_done_again(tmp_path):
    account = map_clips(partial(die_once, tmp_path / "flag"), range(6), 2)
    assert account.values == list(range(6))


def test_workers_are_other_processes_with_one_thread_each():
    answers = map_clips(whoami, range(20), 2).values
    assert {a[1] for a in answers} == {"1"}
    assert os.getpid() not in {a[0] for a in answers}


def test_error_of_a_worker_arrives_with_its_traceback():
    with WorkerPool(1) as pool:
        error = pool.submit(square, 3).exception()
        assert isinstance(error, ValueError)
        assert "in square" in "".join(error.__notes__)
        assert "cannot be pickled" in str(pool.submit(unreadable, 0).exception())


def test_workers_have_their_environments_and_are_heard():
    heard = []
    with WorkerPool(2, [{"OF_A_WORKER": "a"}, {"OF_A_WORKER": "b"}], lambda *of: heard.append(of)) as pool:
        assert [pool.submit(say, what).result() for what in "xyz"] == ["X", "Y", "Z"]
    assert [what for _, what in heard[::2]] == ["x", "y", "z"]
    assert [what for _, what in heard[1::2]] == [[what, "ab"[worker]] for worker, what in heard[::2]]
    with pytest.raises(RuntimeError, match="no worker"):
        tell("nobody")


def test_what_a_worker_starts_is_started_as_elsewhere():
    with WorkerPool(1, parents=True) as pool:
        assert pool.submit(multiprocessing.get_start_method).result() == multiprocessing.get_start_method()


def test_terminate_does_not_wait_for_what_runs():
    pool = WorkerPool(1)
    running, waiting = pool.submit(time.sleep, 60), pool.submit(time.sleep, 60)
    while not running.running():
        time.sleep(0.01)
    start = time.monotonic()
    pool.terminate()
    assert time.monotonic() - start < 30
    assert isinstance(running.exception(), WorkerDied)
    assert waiting.cancelled()


def say_and_work_on(what: str) -> None:
    tell((what, os.getpid()))
    time.sleep(600)


def test_what_cannot_be_heard_ends_its_worker_at_once():
    workers = []

    def full(_, what):
        workers.append(what[1])
        raise OSError(errno.ENOSPC, "No space left on device")

    pool = WorkerPool(1, heard=full)
    try:
        lost = pool.submit(say_and_work_on, "x")
        assert isinstance(lost.exception(timeout=100), OSError)
        assert pool.submit(square, 2).result(timeout=100) == 4
        with pytest.raises(ProcessLookupError):
            os.kill(workers[0], 0)
    finally:
        pool.terminate()


def test_workers_of_a_script_that_imports_torch_have_one_thread_too(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, torch\nfrom spikeva.datasets import map_clips\n"
        "def threads(_): return torch.get_num_threads()\n"
        "if __name__ == '__main__':\n"
        "    print(map_clips(threads, [0], 1).values, os.environ['OMP_NUM_THREADS'])\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, env=environment)
    assert done.stdout == "[1] 2\n", done.stderr


def test_script_without_main_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import math\nfrom spikeva.datasets import map_clips\nmap_clips(math.sqrt, [1, 4], 1).check('roots')\n"
    )
    out = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
    assert "under `if __name__ == '__main__':`" in out.stderr
    assert out.returncode == 1


def test_a_process_that_the_system_does_not_start_fails_its_clip(monkeypatch):
    def refused(process):
        raise BlockingIOError(errno.EAGAIN, "too many processes")

    monkeypatch.setattr(SpawnProcess, "start", refused)
    account = map_clips(square, [1, 2], 2)
    assert [str(error) for error in account.errors.values()] == [f"[Errno {errno.EAGAIN}] too many processes"] * 2


def test_negative_workers_are_refused():
    with pytest.raises(UserError, match="workers must be 0"):
        map_clips(square, [1], -1)


def test_a_process_that_tidies_up_does_not_fail_another_that_writes_the_same_clip(tmp_path):
    path, clip = tmp_path / "001.h5", EventStream.empty((4, 4))

    def blocks():
        yield clip
        write_clip(path, clip)  # the other process is faster,
        remove_parts(tmp_path, idle=0)  # and at its end

    write_clip(path, blocks())
    assert read_events(path) == clip
    assert [p.name for p in tmp_path.iterdir()] == ["001.h5"]


def test_a_part_that_vanishes_while_the_old_file_stays_is_an_error(tmp_path):
    path, clip = tmp_path / "001.h5", EventStream.empty((4, 4))
    write_clip(path, clip)

    def blocks():
        yield clip
        remove_parts(tmp_path, idle=0)

    with pytest.raises(FileNotFoundError):
        write_clip(path, blocks())
    assert read_events(path) == clip


def kill_a_writer_of(path):
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from spikeva._atomic import whole_file\n"
        "with whole_file(sys.argv[1]) as part:\n"
        "    part.write_text('half')\n"
        "    os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", script, path], timeout=300, check=False)
    assert len(list(path.parent.glob(".*.part"))) == 1


def test_what_a_killed_process_left_goes_at_once(tmp_path):
    path = tmp_path / "001.h5"
    kill_a_writer_of(path)
    write_clip(path, EventStream.empty((4, 4)))
    remove_parts(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["001.h5"]


def view(path):
    write_clip(path.with_suffix(".h5"), EventStream([5], [1], [1], [1], (4, 4)))
    show(path.with_suffix(".h5"), path)


@pytest.mark.parametrize("write", [view, partial(write_bytes, data=b"a report, a NIR graph")])
def test_what_a_killed_command_left_goes_with_the_next(write, tmp_path):
    path = tmp_path / "[face].gif"
    kill_a_writer_of(path)
    write(path)
    assert path.exists()
    assert not list(tmp_path.glob(".*.part"))


def test_a_part_that_another_process_is_at_stays(tmp_path):
    path, clip = tmp_path / "001.h5", EventStream([5], [1], [1], [1], (4, 4))
    write_clip(path, EventStream.empty((4, 4)))

    def blocks():
        yield clip
        remove_parts(tmp_path)

    write_clip(path, blocks())
    assert read_events(path) == clip
