"""What interpolation does to events: stand-in faces rendered at 1000 fps, dropped to 25 fps, interpolated, against the truth.

    python benchmarks/simulate_interpolation.py [--clips 12] [--seconds 0.6] [--samples 1 4] [--nuisance 0.6 0.15]

Clips are put into classes by the largest motion of skin between two of the video's frames, in pixels, as the renderer knows it.
Columns: correlation of counts of signed events a pixel in bins of 5 ms and of 40 ms, that of 5 ms against a truth of the same kind of
times, events lost, distance of the time histogram (half the summed difference of its shares in 5 ms bins), time a frame. All
synthetic.

How to read it: four things bound what any method can reach, and each has its rows.

- Heads and lips speed up and slow down between two frames. "known, bent" are pictures rendered from the truth's own parameters
  between the frames, joined by parabolas through the frame before, as `flow` bends its ways: no flow, no warp and nothing hidden.
  The clips called "steady" have a face that does nothing but move across the picture at a constant speed.
- The renderer takes 2 x 2 samples a pixel, eight in each of these at rims; what is drawn within a surface can still jump.
  `--samples 4` renders four times as large and averages: 64 samples a pixel, 512 at rims.
- A lens of 0.6 pixels lets through more detail than pixels can hold, and a picture moved by parts of a pixel shows it wrongly. The
  "soft" clips are the steady ones behind a lens of 1.2 pixels.
- The truth has one frame a millisecond, and v2e gives an event the time of its frame's end. Sub-frames further apart have later times
  ("known, 500 fps": the truth with every second frame left out), crossing times have earlier ones: "r same" sets them against
  crossing times of the truth.

`--nuisance` sets how much heads, light and background move (0.15: a calm clip).
"""

import argparse
import itertools
import time
from collections.abc import Callable
from unittest import mock

import cv2
import numpy as np

from spikeva.events import EventStream
from spikeva.faces import make_clip
from spikeva.faces.render import Renderer
from spikeva.faces.rig import cached_rig
from spikeva.faces.script import Moments, Script
from spikeva.simulate import simulate
from spikeva.simulate.interpolate import interpolate

FPS, KEPT = 1000, 40  # of the truth, and one frame in so many is a video's
CLASSES = (0.7, 2.2, np.inf)  # pixels a frame, the largest motion of a clip
STEADY = (0.6, 2.0)  # pixels a frame of the clips with constant speed
LENS = 0.6  # pixels of blur of the stand-in's lens, the middle of what scenes have
SOFT = 1.2  # pixels
METHODS = [
    ("none", None, "v2e"),
    ("none", None, "crossing"),
    ("linear", 20, "v2e"),
    ("flow", 20, "v2e"),
    ("flow", 40, "v2e"),
    ("flow", 8, "crossing"),
    ("flow", None, "v2e"),
    ("flow", None, "crossing"),
]
Row = tuple[str, int | None, str]
Table = dict[Row, list[float]]


def counts(events: EventStream, stop_us: int, bin_us: int) -> np.ndarray:
    """Signed events [bins, H, W]."""
    width, height = events.size
    bins = -(-stop_us // bin_us)
    index = (np.minimum(events.t // bin_us, bins - 1) * height + events.y) * width + events.x
    weights = np.where(events.p > 0, 1.0, -1.0)
    return np.bincount(index, weights, bins * height * width)


def render(identity: int, seconds: float, size: int, samples: int, nuisance: float) -> np.ndarray:
    """Frames [T, size, size] float32 at 1000 fps with (2 x `samples`)^2 samples a pixel, eight times as many at rims."""
    clip = make_clip("afew-va-like", identity, 0, fps=FPS, seconds=seconds, size=size * samples, nuisance=nuisance)
    if samples == 1:
        return clip.frames
    blur = LENS * (samples**2 - 1) ** 0.5  # what a lens of LENS output pixels adds to one of LENS rendered pixels
    whole = (size, size)
    return np.stack(
        [cv2.resize(cv2.GaussianBlur(f, (0, 0), blur), whole, interpolation=cv2.INTER_AREA) for f in clip.frames]
    )


def motion(identity: int, seconds: float, size: int, nuisance: float) -> np.ndarray:
    """Pixels that each visible point of the skin moves between two frames of the video, over all frames."""
    seen = []
    draw = Renderer.draw

    def watched(self: Renderer, *args: object) -> None:
        draw(self, *args)
        seen.append((self._screen[:, :2] / 2, self._seen.face.ravel().copy(), self._seen.bary.reshape(-1, 2).copy()))

    with mock.patch.object(Renderer, "draw", watched):
        make_clip("afew-va-like", identity, 0, fps=FPS / KEPT, seconds=seconds, size=size, nuisance=nuisance)
    triangles = cached_rig("afew-va-like", identity, 0, 1.0).mesh.triangles
    ways = []
    for (points, face, share), (moved, *_) in itertools.pairwise(seen):
        corners = (moved - points)[triangles[face[face >= 0]]]
        second, third = share[face >= 0].T[..., None]
        way = (1 - second - third) * corners[:, 0] + second * corners[:, 1] + third * corners[:, 2]
        ways.append(np.linalg.norm(way, axis=1))
    return np.concatenate(ways)


def steady(speed: float, size: int) -> Callable[[object], object]:
    """Decorator of `Script.at`: a clip's first moment, but for a head that crosses the picture at `speed` pixels a frame."""

    def of(at: Callable[[Script, np.ndarray], Moments]) -> object:
        def steady_at(script: Script, t: np.ndarray) -> Moments:
            first = {n: np.repeat(v, len(t), axis=0) for n, v in vars(at(script, np.zeros(1))).items()}
            first["shift"] = first["shift"] + np.outer(t - 0.3, [0.8, 0.6]) * speed * FPS / KEPT / (0.315 * size)
            return Moments(**first)

        return steady_at

    return of


def bent(at: Callable[[Script, np.ndarray], Moments]) -> object:
    """`Script.at` whose moments lie on parabolas through a video's frame, the one before it and the one after it."""

    def bent_at(script: Script, t: np.ndarray) -> Moments:
        known = vars(at(script, np.arange(0, t[-1] + 2 * KEPT / FPS, KEPT / FPS)))
        number = (t * FPS / KEPT + 1e-9).astype(int)
        part = t * FPS / KEPT - number
        return Moments(**{name: _parabolas(values, number, part) for name, values in known.items()})

    return bent_at


def _parabolas(values: np.ndarray, number: np.ndarray, part: np.ndarray) -> np.ndarray:
    here, after = values[number], values[number + 1]
    before = np.where(number.reshape(-1, *[1] * (values.ndim - 1)) > 0, values[number - 1], 2 * here - after)
    part = part.reshape(-1, *[1] * (values.ndim - 1))
    return here + part * (after - here) - 0.5 * part * (1 - part) * (after - 2 * here + before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8, help="faces for each nuisance; a third as many steady ones")
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--nuisance", type=float, nargs="+", default=[0.6, 0.15])
    args = parser.parse_args()
    list(interpolate([(np.zeros((16, 16)), 0), (np.eye(16) * 99, 1)], subframes=2))  # compile
    for samples in args.samples:
        classes: dict[str, list[Table]] = {}
        print(f"\n{args.size} x {args.size}, {args.seconds} s, {(2 * samples) ** 2} samples a pixel, synthetic")
        print("pixels a frame: largest, 95th percentile; events")
        for nuisance, identity in itertools.product(args.nuisance, range(args.clips)):
            clip = identity, args.seconds, args.size, samples, nuisance
            whole = render(*clip)
            with mock.patch.object(Script, "at", bent(Script.at)):
                guessed = render(*clip)
            table, events = _compare(whole, guessed)
            ways = motion(identity, args.seconds, args.size, nuisance)
            print(
                f"nuisance {nuisance}, face {identity}: {ways.max():.2f}, {np.percentile(ways, 95):.2f}; {events}",
                flush=True,
            )
            limit = min(c for c in CLASSES if ways.max() <= c)
            classes.setdefault(f"up to {limit} pixels a frame", []).append(table)
        for speed, identity in itertools.product(STEADY, range(max(1, args.clips // 3))):
            with mock.patch.object(Script, "at", steady(speed, args.size)(Script.at)):
                whole = render(identity, args.seconds, args.size, samples, 0.0)
            soft = np.stack([cv2.GaussianBlur(f, (0, 0), (SOFT**2 - LENS**2) ** 0.5) for f in whole])
            for name, frames in (("steady", whole), ("steady and soft", soft)):
                classes.setdefault(f"{name}, {speed} pixels a frame", []).append(_compare(frames, frames)[0])
        for name in sorted(classes):
            _print(f"{name}, {(2 * samples) ** 2} samples a pixel", classes[name])


def _correlation(truth: EventStream, events: EventStream, stop: int, bin_us: int) -> float:
    return float(np.corrcoef(counts(truth, stop, bin_us), counts(events, stop, bin_us))[0, 1])


def _compare(whole: np.ndarray, guessed: np.ndarray) -> tuple[Table, int]:
    """Figures of each method on one clip, and its number of events."""
    frames = whole[::KEPT]
    whole = whole[: (len(frames) - 1) * KEPT + 1]
    guessed = guessed[: len(whole)]
    seconds = np.arange(len(whole)) / FPS
    times, stop = seconds[::KEPT], round(seconds[-1] * 1e6) + 1
    truths = {timing: simulate(whole, seconds, "ideal", timing=timing) for timing in ("v2e", "crossing")}
    truth = truths["v2e"]

    def figures(events: EventStream, timing: str, took: float) -> list[float]:
        fine, coarse = (_correlation(truth, events, stop, b) for b in (5_000, 40_000))
        shares = [np.bincount(e.t // 5000, minlength=stop // 5000 + 1) / len(e) for e in (truth, events)]
        same, lost = _correlation(truths[timing], events, stop, 5_000), 1 - len(events) / len(truth)
        return [fine, coarse, same, lost, np.abs(shares[0] - shares[1]).sum() / 2, took]

    table: Table = {}
    for method, steps, timing in METHODS:
        start = time.perf_counter()
        made = list(interpolate(zip(frames, times, strict=True), method, steps))
        events = simulate(np.stack([p for p, _ in made]), [t for _, t in made], "ideal", timing=timing)
        table[method, steps, timing] = figures(events, timing, (time.perf_counter() - start) / len(frames))
    for name, known, every, timing in (
        ("known, bent", guessed, 2, "v2e"),
        ("known, bent", guessed, 1, "v2e"),
        ("known, bent", guessed, 5, "crossing"),
        ("known, 500 fps", whole, 2, "v2e"),
    ):
        events = simulate(known[::every], seconds[::every], "ideal", timing=timing)
        table[name, KEPT // every, timing] = figures(events, timing, 0.0)
    return table, len(truth)


def _print(title: str, tables: list[Table]) -> None:
    print(f"\n{title}: mean over {len(tables)} clips")
    print(f"{'method':>15} {'steps':>5} {'times':>9} | r 5 ms  r 40 ms  r same  lost %  histogram  ms/frame")
    for method, count, timing in tables[0]:
        r5, r40, same, lost, distance, took = np.mean([table[method, count, timing] for table in tables], axis=0)
        cost = f"{took * 1e3:9.1f}" if took else f"{'':>9}"
        print(
            f"{method:>15} {count or 'auto':>5} {timing:>9} | {r5:6.3f} {r40:8.3f} {same:7.3f} {lost * 100:7.1f} {distance:10.3f} {cost}",
            flush=True,
        )


if __name__ == "__main__":
    main()
