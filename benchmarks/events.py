"""Speed of the event readers and of the clip store, side by side with faery, NumPy and h5py, each in the same run.

    python benchmarks/events.py [--events 10000000] [--repeats 3]

Prints events per second and the ratio to the peer (best of the repeats, interleaved), and the memory that streaming adds.
The recording is synthetic: edges that sweep a 1280 x 720 sensor (rows of neighbours that fire at one time, as EVT3's
vectors are made for) in noise. Files are read from the page cache.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spikeva.events import EventClip, EventStream, open_events, read_events, write_clip, write_events

SIZE = (1280, 720)


def recording(count: int, seed: int = 0, vectors: float = 0.3) -> EventStream:
    """Events at 10 M a second; a share `vectors` of them in runs of up to 12 neighbours of one row, time and polarity."""
    rng = np.random.default_rng(seed)
    length = np.where(rng.random(count) < vectors / 8, rng.integers(4, 13, count), 1)
    starts = np.flatnonzero(np.cumsum(length) <= count)
    length = length[starts]
    length[-1] += count - length.sum()
    t = np.sort(rng.integers(0, count // 10, len(length)))
    x = rng.integers(0, SIZE[0] - 16, len(length))
    y = rng.integers(0, SIZE[1], len(length))
    p = rng.integers(0, 2, len(length))
    within = np.arange(count) - np.repeat(np.cumsum(length) - length, length)
    t, x, y, p = (np.repeat(c, length) for c in (t, x, y, p))
    return EventStream(t, (x + within) % SIZE[0], y, p, SIZE)


def best(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Seconds of the fastest call of each, called in turn."""
    seconds = {name: float("inf") for name in functions}
    for _ in range(repeats + 1):  # the first round warms up
        for name, function in functions.items():
            begin = time.perf_counter()
            function()
            seconds[name] = min(seconds[name], time.perf_counter() - begin)
    return seconds


def row(title: str, count: int, ours: float, peer: float, unit: str = "M events/s") -> None:
    print(f"{title:<34} {count / ours / 1e6:8.1f} {count / peer / 1e6:8.1f}  {unit}   {peer / ours:6.2f} x")


def stream_in_child(path: Path) -> None:
    """What a fresh process's memory grows by while it streams a file, printed in MB."""
    code = (
        "import re, sys; from spikeva.events import open_events\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024\n"
        "before = peak(); n = sum(len(b) for b in open_events(sys.argv[1]).blocks())\n"
        "print(f'{n} events, {peak():.0f} MB at the peak, of which {peak() - before:.0f} MB for reading')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    print(f"streaming {path.name:<24} {done.stdout.strip()}")


def main() -> None:
    import faery

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    events = recording(args.events)
    print(f"faery {version('faery')}, h5py {h5py.__version__}, numpy {np.__version__}; {events} (synthetic)")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        print(f"\n{'':<34} {'spikeva':>8} {'faery':>8}")
        for name, suffix in (("evt2", "raw"), ("evt3", "raw"), ("dat", "dat")):
            ours, theirs = root / f"{name}.{suffix}", root / f"{name}-faery.{suffix}"
            writing = {
                "ours": lambda ours=ours, name=name: write_events(ours, events, format=name),
                "faery": lambda theirs=theirs, name=name: their_stream(faery, events).to_file(
                    theirs, version="dat2" if name == "dat" else name, zero_t0=False
                ),
            }
            wrote = best(writing, 1)
            reading = {
                "ours": lambda ours=ours: read_events(ours),
                "faery": lambda ours=ours: faery.events_stream_from_file(ours).to_array(),
                "blocks": lambda ours=ours: [len(b) for b in open_events(ours).blocks()],
                "faery blocks": lambda ours=ours: [len(b) for b in faery.events_stream_from_file(ours)],
            }
            read = best(reading, args.repeats)
            row(f"{name} read, as one stream", args.events, read["ours"], read["faery"])
            row(f"{name} read, in blocks", args.events, read["blocks"], read["faery blocks"])
            row(f"{name} write", args.events, wrote["ours"], wrote["faery"])
            print(f"{'':<4}{ours.stat().st_size / 1e6:.1f} MB ours, {theirs.stat().st_size / 1e6:.1f} MB faery's")
        text(root / "events.txt", events[: args.events // 10], args.repeats)
        print()
        for name, suffix in (("evt2", "raw"), ("evt3", "raw"), ("dat", "dat")):
            stream_in_child(root / f"{name}.{suffix}")
        store(root, events, args.repeats)
    print(f"\npeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def text(path: Path, events: EventStream, repeats: int) -> None:
    """Lines `t x y p`, beside NumPy's reader of tables of numbers."""
    wrote = best({"ours": lambda: write_events(path, events), "numpy": lambda: save_text(path, events)}, 0)
    write_events(path, events)
    read = best({"ours": lambda: read_events(path), "numpy": lambda: np.loadtxt(path, np.int64)}, repeats)
    print(f"\n{'':<34} {'spikeva':>8} {'numpy':>8}")
    row("text read", len(events), read["ours"], read["numpy"])
    row("text write", len(events), wrote["ours"], wrote["numpy"])


def save_text(path: Path, events: EventStream) -> None:
    np.savetxt(path, np.column_stack([events.t, events.x, events.y, events.p]), fmt="%d")


def their_stream(faery: Any, events: EventStream) -> Any:
    """The events as faery takes them from memory."""
    array = np.empty(len(events), faery.EVENTS_DTYPE)
    array["t"], array["x"], array["y"] = events.t, events.x, events.y
    array[array.dtype.names[3]] = events.p.astype(bool)
    return faery.events_stream_from_array(array, events.size)


def store(root: Path, events: EventStream, repeats: int) -> None:
    """The clip store against v2e's layout (`events` [N, 4] uint32, gzip, h5py's own chunks) and plain gzip columns."""
    table = np.column_stack([events.t, events.x, events.y, events.p]).astype(np.uint32)

    def write_v2e() -> None:
        with h5py.File(root / "v2e.h5", "w") as file:  # v2e appends what each video frame gave
            data = file.create_dataset("events", (0, 4), "uint32", maxshape=(None, 4), compression="gzip")
            for block in np.array_split(table, max(1, len(table) // 50_000)):
                data.resize(len(data) + len(block), axis=0)
                data[-len(block) :] = block

    wrote = best({"ours": lambda: write_clip(root / "clip.h5", events), "v2e": write_v2e}, 0)
    read = best({"ours": lambda: read_events(root / "clip.h5"), "v2e": lambda: read_table(root / "v2e.h5")}, repeats)
    print(f"\n{'':<34} {'spikeva':>8} {'v2e layout':>8}")
    row("clip write", len(events), wrote["ours"], wrote["v2e"])
    row("clip read whole", len(events), read["ours"], read["v2e"])
    rng = np.random.default_rng(0)
    starts = rng.integers(0, events.duration - 33_000, 200)
    with EventClip(root / "clip.h5") as clip, h5py.File(root / "v2e.h5") as file:
        data, times = file["events"], file["events"][:, 0]  # the time column in memory: v2e's file has no index

        def window(start: int) -> Any:
            first, last = np.searchsorted(times, [start, start + 33_000])
            return data[first:last]

        assert len(window(starts[0])) == len(clip.events(starts[0], starts[0] + 33_000))
        seconds = best(
            {
                "ours": lambda: [clip.events(s, s + 33_000) for s in starts],
                "v2e": lambda: [window(s) for s in starts],
            },
            repeats,
        )
    ours, v2e = (1e3 * seconds[name] / len(starts) for name in ("ours", "v2e"))
    print(f"{'random 33 ms window':<34} {ours:8.2f} {v2e:8.2f}  ms             {v2e / ours:6.2f} x")
    raw = 13 * len(events)
    for name in ("clip.h5", "v2e.h5"):
        size = (root / name).stat().st_size
        print(f"size of {name:<26} {size / 1e6:8.1f} MB, {100 * size / raw:.1f} % of raw columns (13 B an event)")


def read_table(path: Path) -> Any:
    with h5py.File(path) as file:
        return file["events"][:]


if __name__ == "__main__":
    main()
