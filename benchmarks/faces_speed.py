"""Time a frame of the stand-in faces, on one core: 2 x 2 samples a pixel, and eight in each of these at rims.

    python benchmarks/faces_speed.py [--sizes 64 96 128] [--frames 120]

Printed beside: the first prototype's time at that size (as noted when it was made, on another day), and the time of
copying a frame of the supersampled size in memory, measured here, as a yardstick for the machine. Processor time of
the one thread that renders, best of several rounds: on a free core it equals the time on the clock, on a busy one it
suffers less."""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numba
import numpy as np

from spikeva import __version__, faces

PROTOTYPE_MS = {96: 14.7, 128: 20.7}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128])
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(
        f"spikeva {__version__}, numba {numba.__version__}, numpy {np.__version__}; ms of processor time a frame, best of {args.rounds} rounds"
    )
    print(
        f"{'size':>6} {'film':>8} {'posed':>8} {'prototype':>10} {'frame copy':>11}   whole clip, with the person's set-up"
    )
    for size in args.sizes:
        times = {domain: [] for domain in faces.DOMAINS}
        whole = []
        for identity in range(args.rounds):
            for domain in faces.DOMAINS:
                faces.make_clip(domain, identity, 0, size=size, fps=10, seconds=0.2)  # compiles, and sets the person up
                begin = time.process_time()
                faces.make_clip(domain, identity, 0, size=size, fps=100, seconds=args.frames / 100)
                times[domain].append((time.process_time() - begin) / args.frames * 1e3)
            begin = time.process_time()
            faces.make_clip("afew-va-like", 100 + identity, 0, size=size, fps=100, seconds=1.6)
            whole.append((time.process_time() - begin) / 160 * 1e3)
        frame = np.ones((2 * size, 2 * size, 3), np.float32)
        target = np.empty_like(frame)
        copies = []
        for _ in range(200):
            begin = time.perf_counter()
            np.copyto(target, frame)
            copies.append((time.perf_counter() - begin) * 1e3)
        film, posed = (min(times[d]) for d in faces.DOMAINS)
        before = f"{PROTOTYPE_MS[size]:.1f}" if size in PROTOTYPE_MS else "-"
        print(f"{size:>6} {film:>8.2f} {posed:>8.2f} {before:>10} {min(copies):>11.4f}   {min(whole):.2f}")


if __name__ == "__main__":
    main()
