"""TBR-8 and spike frames on one core, side by side with tonic and with the floor of reading the events.

    python benchmarks/encode.py [--events 10000000] [--repeats 5] [--peer-events 300000]

Synthetic events, uniform over the sensor, at 10 M a second; windows of 20 ms one after the other; zeroing the output
included. tonic (ToFrame, then ToBinaRep) gets fewer events, of the same rate and windows: its time is per event.
"""

import argparse

import numpy as np
import sidebyside as side
import torch
from numba import njit

import spikeva
from spikeva import EventStream

SENSORS = ((346, 260), (640, 480), (1280, 720))
BITS, DT, RATE = 8, 2500, 10_000_000


@njit(cache=True, nogil=True)
def read_all(t, x, y, p):  # type: ignore[no-untyped-def]  # numba compiles it
    """The sum of all columns: no encoder can be faster than reading its events."""
    total = np.int64(0)
    for i in range(len(t)):
        total += t[i] + x[i] + y[i] + p[i]
    return total


def synthetic(count: int, size: tuple[int, int]) -> EventStream:
    """`count` uniform events at RATE."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, int(count * 1e6 / RATE), count))
    x, y = rng.integers(0, size[0], count, np.uint16), rng.integers(0, size[1], count, np.uint16)
    return EventStream(t, x, y, rng.integers(0, 2, count, np.uint8), size)


def ends_of(events: EventStream) -> np.ndarray:
    return np.arange(BITS * DT, int(events.t[-1]) + BITS * DT, BITS * DT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--peer-events", type=int, default=300_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    side.environment("tonic")
    rows = []
    for size in SENSORS:
        events, few = synthetic(args.events, size), synthetic(args.peer_events, size)
        ends = ends_of(events)
        runs = {
            "floor": lambda e=events: read_all(e.t, e.x, e.y, e.p),
            "tbr": lambda e=events, k=ends: spikeva.encode(e, "tbr", ends=k, bits=BITS, dt=DT),
            "spikes, merged": lambda e=events, k=ends: spikeva.encode(
                e, "spikes", ends=k, steps=BITS, dt=DT, polarity="merge"
            ),
            "spikes": lambda e=events, k=ends: spikeva.encode(e, "spikes", ends=k, steps=BITS, dt=DT),
        }
        if side.found("tonic"):
            import tonic.transforms

            frames = len(ends_of(few))
            to_frames = tonic.transforms.ToFrame(
                sensor_size=(*size, 2), time_window=DT, start_time=0, end_time=frames * BITS * DT
            )
            to_codes = tonic.transforms.ToBinaRep(n_frames=frames, n_bits=BITS)
            array = few.to_structured()
            runs["tonic"] = lambda a=array, f=to_frames, c=to_codes, n=frames: c(f(a)[: n * BITS])
        times = side.in_turns(runs, args.repeats, seconds=35)
        rate = {n: (len(few) if n == "tonic" else len(events)) / ms / 1e3 for n, ms in times.items()}
        for name in ("tbr", "spikes, merged", "spikes"):
            against = f"{rate[name] / rate['tonic']:.0f}" if "tonic" in rate else "-"
            rows.append(
                (
                    f"{size[0]} x {size[1]}", name, f"{rate[name]:.0f}", f"{rate['floor']:.0f}",
                    f"{rate[name] / rate['floor']:.2f}", f"{rate.get('tonic', float('nan')):.2f}", against,
                )
            )  # fmt: skip
    head = ("sensor", "encoding", "M events/s", "read floor", "/ floor", "tonic TBR", "/ tonic")
    side.table(f"Encoding {args.events:,} events, {BITS} steps of {DT} us, one core", head, rows)


if __name__ == "__main__":
    side.in_both_memories(main)
