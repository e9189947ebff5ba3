"""What interpolation does to events: stand-in faces rendered at 1000 fps, dropped to 25 fps, interpolated, against the truth.

    python benchmarks/simulate_interpolation.py [--clips 4] [--seconds 0.6]

Columns: correlation of counts of signed events a pixel in bins of 5 ms and of 40 ms, events lost, distance of the time histogram
(half the summed difference of its shares in 5 ms bins), time a frame, and the largest motion in pixels a frame. All synthetic.
"""

import argparse
import itertools
import time

import numpy as np

from spikeva.events import EventStream
from spikeva.faces import make_clip
from spikeva.simulate import simulate
from spikeva.simulate.interpolate import Pair, _Flow, interpolate

METHODS = [
    ("none", None, "v2e"),
    ("none", None, "crossing"),
    ("linear", 20, "v2e"),
    ("flow", 20, "v2e"),
    ("flow", 8, "crossing"),
    ("flow", None, "v2e"),
    ("flow", None, "crossing"),
]


def counts(events: EventStream, stop_us: int, bin_us: int) -> np.ndarray:
    """Signed events [bins, H, W]."""
    width, height = events.size
    bins = -(-stop_us // bin_us)
    index = (np.minimum(events.t // bin_us, bins - 1) * height + events.y) * width + events.x
    weights = np.where(events.p > 0, 1.0, -1.0)
    return np.bincount(index, weights, bins * height * width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--size", type=int, default=96)
    args = parser.parse_args()
    table: dict[tuple[str, int | None, str], list[list[float]]] = {m: [] for m in METHODS}
    for identity in range(args.clips):
        clip = make_clip("afew-va-like", identity, 0, fps=1000.0, seconds=args.seconds, size=args.size)
        truth = simulate(clip.frames, clip.times, "ideal")
        slow = slice(None, None, 40)
        frames, times = clip.frames[slow], clip.times[slow]
        truth = truth.slice_time(0, round(times[-1] * 1e6) + 1)
        stop = round(times[-1] * 1e6) + 1
        flow = _Flow()
        motion = max(
            float(np.linalg.norm(Pair(a, b, flow).forward, axis=2).max()) for a, b in itertools.pairwise(frames)
        )
        for method, steps, timing in METHODS:
            start = time.perf_counter()
            pairs = list(interpolate(zip(frames, times, strict=True), method, steps))
            events = simulate(np.stack([p for p, _ in pairs]), [t for _, t in pairs], "ideal", timing=timing)
            took = (time.perf_counter() - start) / len(frames)
            fine, coarse = (np.corrcoef(counts(truth, stop, b), counts(events, stop, b))[0, 1] for b in (5_000, 40_000))
            shares = [np.bincount(e.t // 5000, minlength=stop // 5000 + 1) / len(e) for e in (truth, events)]
            distance = np.abs(shares[0] - shares[1]).sum() / 2
            row = [fine, coarse, 1 - len(events) / len(truth), distance, took * 1e3, motion]
            table[method, steps, timing].append(row)
        print(f"face {identity}: motion up to {motion:.1f} px a frame, {len(truth)} events", flush=True)
    print(f"\n{args.clips} faces of {args.size} x {args.size}, {args.seconds} s, synthetic; mean over the faces")
    print(f"{'method':>10} {'steps':>5} {'times':>9} | r 5 ms  r 40 ms  lost %  histogram  ms/frame")
    for (method, steps, timing), rows in table.items():
        r5, r40, lost, distance, took, _ = np.mean(rows, axis=0)
        print(
            f"{method:>10} {steps or 'auto':>5} {timing:>9} | {r5:6.3f} {r40:8.3f} {lost * 100:7.1f} {distance:10.3f} {took:9.1f}"
        )


if __name__ == "__main__":
    main()
