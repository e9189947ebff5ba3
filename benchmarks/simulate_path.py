"""Where the time goes from a folder of pictures to events: decoding, motion, sub-frames, pixel model.

    python benchmarks/simulate_path.py [--frames 30] [--size 224] [--image 720 576]

Milliseconds a frame of the video, best of three. First each part alone on one thread, then the whole path on one processor and on all
that there are: the next frame is decoded and its motion found while the sub-frames before it are made. The pictures are a stand-in
face with the noise of a sensor (synthetic), as PNG in colour; `--plain` leaves the noise away, which compresses better.
"""

import argparse
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from spikeva.faces import make_clip
from spikeva.simulate import Simulator
from spikeva.simulate.interpolate import Pair, _Flow, interpolate
from spikeva.simulate.video import read_frames
from spikeva.simulate.warp import motion_layers, spline

FPS = 25.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--size", type=int, default=224, help="of the events")
    parser.add_argument("--image", type=int, nargs=2, default=(720, 576), metavar=("W", "H"))
    parser.add_argument("--plain", action="store_true")
    args = parser.parse_args()
    processors = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), args.frames, tuple(args.image), 0.0 if args.plain else 3.0)
        os.sched_setaffinity(0, {min(processors)})
        _parts(Path(folder), args.frames, args.size)
        _whole(Path(folder), args.frames, args.size, 1)
        os.sched_setaffinity(0, processors)
        if len(processors) > 1:
            _whole(Path(folder), args.frames, args.size, len(processors))


def _write(folder: Path, count: int, image: tuple[int, int], noise: float) -> None:
    """`count` PNGs of a face that fills their height."""
    rng = np.random.default_rng(0)
    height = image[1]
    clip = make_clip("afew-va-like", 0, 0, fps=FPS, seconds=count / FPS, size=height, colour=True)
    assert clip.rgb is not None
    for i, rgb in enumerate(clip.rgb):
        left = (image[0] - height) // 2
        wide = cv2.copyMakeBorder(rgb, 0, 0, left, image[0] - height - left, cv2.BORDER_REPLICATE)
        noisy = np.clip(wide + rng.normal(0, noise, wide.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i:05d}.png"), noisy[..., ::-1])


def _parts(folder: Path, count: int, size: int) -> None:
    files = sorted(folder.iterdir())
    read = read_frames(folder, FPS, (size, size))[0]
    frames, times = zip(*read, strict=True)
    pictures = [f.astype(np.float32) for f in frames]
    flow, pairs = _Flow(), list[Pair]()
    for a, b in itertools.pairwise(pictures):
        pairs.append(Pair(a, b, flow, pairs[-1] if pairs else None))
    back = flow(frames[1], frames[0])
    made = list(interpolate(zip(frames, times, strict=True)))
    steps = len(made) / count
    print(f"{size} x {size} from {len(files)} PNGs, {steps:.1f} sub-frames a frame; ms a frame on one thread")

    def report(name: str, part: Callable[[], object], per: float) -> None:
        print(f"{name:>40} {_best(part) / per:8.2f}", flush=True)

    report("decode the PNGs", lambda: [cv2.imread(str(f), cv2.IMREAD_ANYCOLOR) for f in files], count)
    report("decode, resize, luma", lambda: list(read_frames(folder, FPS, (size, size))[0]), count)
    report("optical flow", lambda: [flow(b, a) for a, b in itertools.pairwise(frames)], count - 1)
    report("the motion's layers", lambda: [motion_layers(back, back) for _ in frames], count)
    report("spline", lambda: [spline(p) for p in pictures], count)
    report("one sub-frame", lambda: [pairs[0].at(0.4) for _ in range(100)], 100)
    report("sub-frames", lambda: [pairs[i].at(0.4) for i in range(count - 1) for _ in range(round(steps))], count - 1)
    report("pixel model", lambda: _simulate(iter(made), 1), count)


def _whole(folder: Path, count: int, size: int, threads: int) -> None:
    def path() -> None:
        _simulate(interpolate(read_frames(folder, FPS, (size, size))[0], threads=threads), threads)

    print(f"{f'all on {threads} processor(s)':>40} {_best(path) / count:8.2f}", flush=True)


def _simulate(frames: object, threads: int) -> None:
    for _ in Simulator("clean", timing="crossing", threads=threads).stream(frames):
        pass


def _best(part: Callable[[], object]) -> float:
    """Milliseconds, best of three after one to warm up."""
    part()
    took = []
    for _ in range(3):
        start = time.perf_counter()
        part()
        took.append(time.perf_counter() - start)
    return min(took) * 1e3


if __name__ == "__main__":
    main()
