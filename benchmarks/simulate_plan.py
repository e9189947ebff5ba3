"""How long a dataset takes: 600 clips of 224 x 224 at 25 fps, from PNG files to events, computed from a few clips run here.

    python benchmarks/simulate_plan.py [--clips 3] [--subframes 10]

AFEW-VA: 600 clips, 30,051 frames of 720 x 576. Each stage is measured on stand-in faces (synthetic) and scaled up.
"""

import argparse
import time

import cv2
import numpy as np

from spikeva.faces import make_clip
from spikeva.simulate import Simulator
from spikeva.simulate.engines.compiled import default_threads
from spikeva.simulate.interpolate import interpolate

FRAMES = 30_051


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--subframes", type=int, default=10)
    args = parser.parse_args()
    spent = dict.fromkeys(("decode 720x576 PNG", "decode 720x576 JPEG", "crop, resize", "flow, warp", "simulate"), 0.0)
    count = events = 0
    Simulator("clean").feed(np.zeros((2, 8, 8), np.float32), [0, 1])  # compile
    for identity in range(args.clips):
        clip = make_clip("afew-va-like", identity, 0, fps=25.0, seconds=1.2, size=224)
        whole = [cv2.resize(f.astype(np.uint8), (720, 576)) for f in clip.frames]
        files = [[cv2.imencode(kind, f)[1] for f in whole] for kind in (".png", ".jpg")]
        frames = []
        for name, encoded in zip(("decode 720x576 PNG", "decode 720x576 JPEG"), files, strict=True):
            start = time.perf_counter()
            decoded = [cv2.imdecode(f, cv2.IMREAD_GRAYSCALE) for f in encoded]
            spent[name] += time.perf_counter() - start
        start = time.perf_counter()
        frames = [cv2.resize(f[:, 72:648], (224, 224), interpolation=cv2.INTER_AREA) for f in decoded]
        spent["crop, resize"] += time.perf_counter() - start
        start = time.perf_counter()
        moving = list(interpolate(zip(frames, clip.times.tolist(), strict=True), "flow", args.subframes))
        spent["flow, warp"] += time.perf_counter() - start
        start = time.perf_counter()
        made = Simulator("clean").feed(np.stack([f for f, _ in moving]), [t for _, t in moving])
        spent["simulate"] += time.perf_counter() - start
        count, events = count + len(frames), events + len(made)
    print(
        f"{default_threads()} processors, {count} frames (synthetic), {args.subframes} sub-frames, {events / count:.0f} events a frame"
    )
    for name, seconds in spent.items():
        print(
            f"{name:>20}: {seconds / count * 1e3:7.2f} ms a frame, {FRAMES * seconds / count / 3600:6.2f} h for AFEW-VA"
        )
    total = sum(seconds for name, seconds in spent.items() if "JPEG" not in name) / count
    print(
        f"{'all (PNG)':>20}: {1 / total:7.1f} frames a second, {FRAMES * total / 3600:.2f} h for AFEW-VA in one process"
    )


if __name__ == "__main__":
    main()
