"""Damaged event files: what the readers make of them.

    python benchmarks/events_fuzz.py [--files 10000] [--formats evt2 evt3 ...] [--seed 0] [--seconds 10]

Each mutated file (truncated, bits flipped, blocks swapped, doubled, blanked or inserted, foreign content) is read in a
child process, strictly and with `strict=False`. Outcomes:

    refused       an EventFileError
    unchanged     the very events that were written: the damage met nothing that matters
    altered       as many events as were written, some of them different: the format has no checksum to tell by
    as spelt      another number of events, as the damaged file spells it, which states no count or this one (a kind
                  of file that never does, a header damaged at just that line, another file's header put before it)
    WRONG COUNT   a number of events that is not what the file states, or not what it spells
    WRONG ERROR, CRASH, HANG   anything but an EventFileError; the death of the child; no answer in time
    REPORT        with strict=False: a report that does not account for what is missing

Exits with 1 where an outcome in capitals occurs. Real recordings are mutated too where $SPIKEVA_SHARED names them.
"""

import argparse
import multiprocessing
import os
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spikeva.events import EventFileError, EventStream, open_events, read_events, write_events

SIZE = (640, 480)
SUFFIX = {"evt2": "raw", "evt21": "raw", "evt3": "raw", "dat": "dat", "clip": "h5", "v2e": "h5", "dsec": "h5"}
FORMATS = ("evt2", "evt21", "evt3", "dat", "clip", "v2e", "dsec", "npz", "txt", "aedat4")
STATES_COUNT = ("evt2", "evt3", "dat", "clip", "npz", "txt")  # as our writers make them
REAL = {
    "evt2": "expelliarmus_evt2_gen3.raw",
    "evt3": "ros_py_evt3_640x480.raw",
    "dat": "loris_ncars_obj_004397_td.dat",
    "txt": "slider_depth_chunk.txt",
    "aedat4": "aestream_davis.aedat4",
}


def stream(rng: np.random.Generator, count: int) -> EventStream:
    """Events with runs of neighbours, over an overflow of EVT3's time."""
    t = np.sort(rng.integers(0, 20_000_000, count)) // 50 * 50
    x = np.where(rng.random(count) < 0.5, np.arange(count) % 600, rng.integers(0, 640, count))
    return EventStream(t, x, np.sort(rng.integers(0, 480, count)), rng.integers(0, 2, count), SIZE)


def originals(name: str, folder: Path, rng: np.random.Generator) -> list[tuple[bytes, bool]]:
    """Sound files of a format and whether each states its number of events."""
    path = folder / f"original.{SUFFIX.get(name, name)}"
    found: list[tuple[bytes, bool]] = []
    for count in (0, 30, 3_000):
        events = stream(rng, count)
        if name in STATES_COUNT:
            write_events(path, events, format=name)
        elif name == "evt21":
            path.write_bytes(evt21(events))
        elif name in ("v2e", "dsec"):
            columns = {"t": events.t.astype("u4"), "x": events.x, "y": events.y, "p": events.p}
            with h5py.File(path, "w") as file:
                if name == "v2e":
                    file.create_dataset("events", data=np.column_stack(list(columns.values())), compression="gzip")
                for key, column in columns.items() if name == "dsec" else ():
                    file.create_dataset(f"events/{key}", data=column, compression="gzip")
        else:
            continue
        found.append((path.read_bytes(), name in STATES_COUNT))
    recordings = Path(os.environ.get("SPIKEVA_SHARED", "")) / "recordings"
    if name in REAL and (recordings / REAL[name]).is_file():
        content = (recordings / REAL[name]).read_bytes()
        found.append((content if name == "aedat4" else cut(content, 40_000), False))
    return found


def cut(content: bytes, length: int) -> bytes:
    """The start of a recording, up to a whole line of text or 8 bytes of words."""
    if content[:1] != b"%":
        return content[: content.rindex(b"\n", 0, length) + 1]
    start = header_length(content)
    return content[: start + (length - start) // 8 * 8]


def header_length(content: bytes) -> int:
    """Where a Prophesee file's words begin."""
    offset = 0
    while content.startswith(b"% ", offset) and b"\n" in content[offset:]:
        end = content[offset:].startswith(b"% end\n")
        offset = content.index(b"\n", offset) + 1
        if end:
            break
    return offset


def evt21(events: EventStream) -> bytes:
    """The events as EVT2.1, one a word."""
    high = events.t >> 6
    new = np.flatnonzero(np.diff(high, prepend=-1))
    at = np.arange(len(high)) + 1 + np.cumsum(np.isin(np.arange(len(high)), new)) - 1
    words = np.zeros(len(high) + len(new), np.uint64)
    words[at] = (events.p.astype("u8") << 60) | ((events.t & 63).astype("u8") << 54) | (events.x.astype("u8") << 43)
    words[at] |= (events.y.astype("u8") << 32) | np.uint64(1)
    words[at[new] - 1] = (np.uint64(8) << np.uint64(60)) | (high[new].astype("u8") << 32)
    return b"% evt 2.1\n% format EVT21;endianness=little;height=480;width=640\n% end\n" + words.tobytes()


def spelt(name: str, content: bytes) -> int | None:
    """How many events the words of a file announce, counted independently of the decoders; None where unknown."""
    body = content[header_length(content) :]
    if name == "evt2":
        return int((np.frombuffer(body[: len(body) // 4 * 4], "<u4") >> 28 <= 1).sum())
    if name == "evt21":
        words = np.frombuffer(body[: len(body) // 8 * 8], "<u8")
        return int(np.bitwise_count(words[words >> np.uint64(60) <= 1] & np.uint64(0xFFFFFFFF)).sum())
    if name == "evt3":
        words = np.frombuffer(body[: len(body) // 2 * 2], "<u2")
        kind = words >> 12
        bits = np.bitwise_count(words[kind == 4] & 0xFFF).sum() + np.bitwise_count(words[kind == 5] & 0xFF).sum()
        return int(bits + (kind == 2).sum())
    if name == "dat":
        return max(0, len(body) - 2) // 8
    return None


def mutate(content: bytes, foreign: list[bytes], rng: np.random.Generator) -> bytes:
    """A damaged copy."""
    data = np.frombuffer(content, np.uint8).copy()
    kind = rng.integers(0, 9)
    a, b = np.sort(rng.integers(0, len(data), 2))
    if kind == 0:
        return content[:a]
    if kind in (1, 2):  # a few bits, anywhere or near the start
        within = len(data) if kind == 1 else min(len(data), 400)
        for at in rng.integers(0, within, rng.integers(1, 9)):
            data[at] ^= np.uint8(1 << rng.integers(0, 8))
        return data.tobytes()
    length = int(min(rng.integers(1, 600), len(data) - b))
    if kind == 3:
        data[a : a + length], data[b : b + length] = data[b : b + length].copy(), data[a : a + length].copy()
        return data.tobytes()
    if kind == 4:
        return content[:b] + content[a : a + length] + content[b:]
    if kind == 5:
        return content[:a] + content[a + length :]
    if kind == 6:
        data[b : b + length] = rng.choice([0, 255])
        return data.tobytes()
    if kind == 7:
        return content[:a] + rng.bytes(length) + content[a:]
    other = foreign[rng.integers(0, len(foreign))]
    return content[:a] + other if rng.random() < 0.5 else other[: rng.integers(0, len(other) + 1)]


def outcome(name: str, path: Path, content: bytes, original: EventStream, states_count: bool) -> tuple[str, str]:
    """What a strict and a lenient reader make of a file: a word for each."""
    path.write_bytes(content)
    try:
        reader = open_events(path, SIZE if name != "aedat4" else None)
        events = reader.read()
    except EventFileError:
        strict = "refused"
    except Exception as error:
        return f"WRONG ERROR ({error!r})"[:160], "-"
    else:
        EventStream(events.t, events.x, events.y, events.p, events.size)  # raises where a check was passed by
        announced = spelt(reader.format, content)
        if events == original:
            strict = "unchanged"
        elif announced is not None and announced != len(events):
            strict = "WRONG COUNT"
        elif len(events) == len(original):
            strict = "altered"
        else:
            stated = [int(n) for n in re.findall(rb"^[#%] event_count (\d+)$", content, re.MULTILINE)]
            agrees = name not in ("clip", "npz") and stated[-1:] in ([], [len(events)])  # the statement may be damaged
            strict = "WRONG COUNT" if states_count and not agrees else "as spelt"
    try:
        reader = open_events(path, SIZE if name != "aedat4" else None, strict=False)
        lenient = reader.read()
    except EventFileError:
        return strict, "refused"
    except Exception as error:
        return strict, f"WRONG ERROR ({error!r})"[:160]
    sound = len(lenient) == reader.report.events and bool(reader.report.faults) == (strict == "refused")
    return strict, ("partial" if reader.report.faults else "whole") if sound else f"REPORT ({strict}, {reader.report})"


def child(connection: Any, name: str, folder: str, originals: list[bytes]) -> None:
    """Read the originals, say so, then answer mutated files until told to stop."""
    import resource

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what a decoder written in Rust prints when it panics
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))  # a header that asks for terabytes fails at once
    warnings.simplefilter("ignore")
    path = Path(folder) / f"mutated.{SUFFIX.get(name, name)}"
    known: list[EventStream] = []
    for original in originals:
        path.write_bytes(original)
        known.append(read_events(path, SIZE if name != "aedat4" else None))
    connection.send("ready")
    while (work := connection.recv()) is not None:
        content, number, states_count = work
        connection.send(outcome(name, path, content, known[number], states_count))


class Child:
    """A child process that reads files for the parent, replaced when it dies."""

    def __init__(self, name: str, folder: str, originals: list[bytes]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["spikeva.events.files", "spikeva.events.writers", "__main__"])
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=child, args=(theirs, name, folder, originals), daemon=True)
        self.process.start()
        theirs.close()
        self.connection.recv()  # the time limit begins when kernels are compiled and all is warm

    def ask(self, work: Any, seconds: float) -> tuple[str, str] | None:
        """The outcome, or None where the child died or gave no answer (then it is killed)."""
        try:
            self.connection.send(work)
            if self.connection.poll(seconds):
                return self.connection.recv()
            self.process.kill()
            return ("HANG", "-")
        except (EOFError, OSError):
            return None


def fuzz(
    name: str, files: int, seed: int, seconds: float, say: Callable[[str], None] = lambda text: None
) -> tuple[Counter[str], Counter[str]]:
    """Counts of the outcomes of reading `files` mutated files of a format: strictly, and with strict=False."""
    rng = np.random.default_rng([seed, FORMATS.index(name)])
    strict: Counter[str] = Counter()
    lenient: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        bases = originals(name, Path(folder), rng)
        foreign = [b"", b"\n", rng.bytes(2_000), b"% evt 3.0\n", b"0 0 0 0\n" * 50, b"PK\x03\x04" + rng.bytes(500)]
        foreign += [content for other in ("evt2", "evt3", "clip") for content, _ in originals(other, Path(folder), rng)]
        contents = [content for content, _ in bases]
        reader = Child(name, folder, contents)
        for number in range(files if bases else 0):
            which = int(rng.integers(0, len(bases)))
            base, states_count = bases[which]
            answer = reader.ask((mutate(base, foreign, rng), which, states_count), seconds)
            if answer is None or answer[0] == "HANG":
                reader.process.join()
                answer = answer or (f"CRASH (exit code {reader.process.exitcode})", "-")
                reader = Child(name, folder, contents)
            strict[answer[0]] += 1
            lenient[answer[1]] += 1
            if any(bad(word) for word in answer):
                say(f"  {name}, file {number}: {answer}")
        reader.connection.send(None)
        reader.process.join()
    return strict, lenient


def bad(word: str) -> bool:
    """Whether an outcome must not occur."""
    return word[:4].isupper()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0, help="time limit for one file")
    args = parser.parse_args()
    failed = False
    for name in args.formats:
        strict, lenient = fuzz(name, args.files, args.seed, args.seconds, print)
        if not strict:
            print(f"{name:<7} no original: set SPIKEVA_SHARED")
        for title, counts in (("strict", strict), ("strict=False", lenient)):
            failed |= any(bad(word) for word in counts)
            print(f"{name:<7} {title:<13} {', '.join(f'{word} {n}' for word, n in counts.most_common())}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
