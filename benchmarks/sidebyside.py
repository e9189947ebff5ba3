"""What the speed benchmarks share: contestants in turns within one run, medians, peak memory, what they ran on."""

import contextlib
import ctypes
import gc
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

STATUS = Path("/proc/self/status")
BURST = 10  # runs timed together on a GPU
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592"}


def in_both_memories(main: Callable[[], None]) -> None:
    """Run `main` twice, each in a process of its own, for every contestant alike: with the system's default memory
    handling, as a user's script has it, and with glibc told to keep freed memory.

    By default each large tensor is mapped anew, and its page faults cost more than a fused kernel. `--memory` picks one.
    """
    if "--memory" in sys.argv:
        i = sys.argv.index("--memory")
        chosen = sys.argv[i + 1 : i + 2]
        if chosen not in (["default"], ["kept"]):
            sys.exit("--memory takes default or kept")
        del sys.argv[i : i + 2]
        here = any(k in os.environ for k in MALLOC)
        if here != (chosen == ["kept"]):
            plain = {k: v for k, v in os.environ.items() if k not in MALLOC}
            command = [sys.executable, *sys.argv, "--memory", *chosen]
            os.execve(sys.executable, command, plain | (MALLOC if chosen == ["kept"] else {}))
        main()
        return
    for chosen in ("default", "kept") if sys.platform == "linux" else ("default",):
        print(f"\n== memory: {chosen}", flush=True)
        subprocess.run([sys.executable, *sys.argv, "--memory", chosen], check=True)


def environment(*packages: str) -> None:
    """Print what this runs on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    print(f"{device}; {torch.get_num_threads()} thread(s) of {os.cpu_count()}; Python {platform.python_version()}")
    print(", ".join(f"{p} {found(p) or 'not installed'}" for p in ("torch", "numba", *packages)))
    if any(k in os.environ for k in MALLOC):
        print("glibc keeps freed memory (" + ", ".join(f"{k}={os.environ[k]}" for k in MALLOC) + "), for all alike")
    else:
        print("the system's default memory handling, for all alike")


def processor() -> str:
    """The processor's name."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def found(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def in_turns(
    contestants: Mapping[str, Callable[[], Any]], repeats: int, cuda: bool = False, seconds: float = 60.0
) -> dict[str, float]:
    """Median milliseconds of each, all run twice in every round, the first uncounted; at least 3 rounds after one for all.

    On a CPU each lives in a process of its own, so that none finds memory that another has mapped. On one thread the
    time is then the process's, which other programs disturb less; else it is the wall's. On a GPU the time is that of up to
    `BURST` runs on end, as in training, by the GPU's own clock, over their number.
    """
    clock = time.process_time if torch.get_num_threads() == 1 and not cuda else time.perf_counter

    def timed(run: Callable[[], Any]) -> float:
        start = clock()
        run()  # others ran meanwhile: caches, and pages that the system took back
        if cuda:
            torch.cuda.synchronize()
            return burst(run, max(1, min(BURST, int(0.2 / (clock() - start)))))
        start = clock()
        run()
        return 1000 * (clock() - start)

    def serve(run: Callable[[], Any], pipe: Connection) -> None:
        for other in pipes.values():  # the parent's ends: without a copy here, its death ends every wait
            other.close()
        with contextlib.suppress(EOFError):
            while pipe.recv():
                pipe.send(timed(run))

    fork = multiprocessing.get_context("fork")
    pipes: dict[str, Connection] = {}
    for name, run in {} if cuda else contestants.items():
        pipes[name], end = fork.Pipe()
        fork.Process(target=serve, args=(run, end), daemon=True).start()
        end.close()  # so that a dead process is the end of its pipe, not a wait for ever
    times: dict[str, list[float]] = {name: [] for name in contestants}
    began = time.perf_counter()
    for round_ in range(repeats + 1):
        for name, run in contestants.items():
            if cuda:
                found = timed(run)
            else:
                time.sleep(0.03)  # threads of the one before wait a while before they sleep
                pipes[name].send(True)
                found = pipes[name].recv()
            if round_:
                times[name].append(found)
        if round_ >= 3 and time.perf_counter() - began > seconds:
            break
    for pipe in pipes.values():
        pipe.send(False)
    return {name: statistics.median(t) for name, t in times.items()}


def burst(run: Callable[[], Any], times: int) -> float:
    """Milliseconds of one of `times` runs on end, by the GPU's clock, behind one more that keeps it busy when they begin."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    run()
    start.record()
    for _ in range(times):
        run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / times


def as_graph(run: Callable[[], Any]) -> Callable[[], Any]:
    """`run` captured as a CUDA graph: the same work for the GPU, and one call for the CPU."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run(), run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()

    def replay(owner: Callable[[], Any] = run) -> None:  # the graph knows addresses; `owner` keeps what lies there
        graph.replay()

    return replay


def peak_megabytes(build: Callable[[], Callable[[], Any]], cuda: bool = False) -> float:
    """What two calls of `build()` add to the memory in use when they start, MB, at the fullest moment.

    On a CPU in a process of its own, after a call of another `build()` has loaded code and compiled kernels there.
    """
    if cuda:
        run = build()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(), run()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            build()()
            run = build()
            before_kb = forget_peak()
            run(), run()
            os.write(write, str(peak_kb() - before_kb).encode())
        except Exception:
            traceback.print_exc()  # the table then shows nan
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return int(text) / 1000 if text else float("nan")


def forget_peak() -> int:
    """Memory in use, kB, which from here on is the peak; on Linux after giving back what is free."""
    gc.collect()
    if STATUS.exists():
        with contextlib.suppress(AttributeError):  # another libc than glibc
            ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return peak_kb()


def peak_kb() -> int:
    """The most memory this process had in use, kB."""
    if STATUS.exists():
        return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    sys.stdout.flush()
