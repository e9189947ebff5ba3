"""What interpolation does to events: stand-in faces rendered at 1000 fps, dropped to 25 fps, interpolated, against the truth.

    python benchmarks/simulate_interpolation.py [--clips 12] [--seconds 0.6] [--samples 1 4] [--nuisance 0.6 0.15]

Clips are put into classes by the largest motion of skin between two of the video's frames, in pixels, as the renderer knows it.
Columns: correlation of counts of signed events a pixel in bins of 5 ms and of 40 ms, events lost, distance of the time histogram
(half the summed difference of its shares in 5 ms bins), time a frame. All synthetic.

How to read it: three things bound what any method can reach, and each has its rows.

- Heads and lips speed up and slow down between two frames. "known, straight" are pictures rendered from the truth's own parameters
  between the frames, joined by straight lines: no flow, no warp and nothing hidden, only the motion inside a frame is guessed.
  The clips called "steady" have a face that does nothing but move across the picture at a constant speed.
- The renderer takes 2 x 2 samples a pixel, so that a rim jumps by half pixels, at times that no neighbour frame tells. `--samples 4`
  renders four times as large and averages: 8 x 8 samples a pixel.
- The finer the sub-frames, the nearer their times are to the truth's, which has one frame a millisecond: "known, 500 fps" is the
  truth with every second frame left out.

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
    """Frames [T, size, size] float32 at 1000 fps with (2 x `samples`)^2 samples a pixel."""
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
        seen.append((self._screen[:, :2] / 2, self._face.ravel().copy(), self._bary.reshape(-1, 2).copy()))

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


def straight(at: object) -> object:
    """`Script.at` whose moments lie on straight lines between the video's frames."""

    def straight_at(script: Script, t: np.ndarray) -> Moments:
        keys = np.arange(0, t[-1] + KEPT / FPS + 1e-9, KEPT / FPS)
        known = vars(at(script, keys))
        return Moments(**{n: _lines(t, keys, v) for n, v in known.items()})

    return straight_at


def _lines(t: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    columns = values.reshape(len(keys), -1).T
    return np.stack([np.interp(t, keys, c) for c in columns], axis=1).reshape(len(t), *values.shape[1:])


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
        for nuisance in args.nuisance:
            for identity in range(args.clips):
                clip = identity, args.seconds, args.size
                ways = motion(*clip, nuisance)
                table, events = _compare(*clip, samples, nuisance)
                print(
                    f"nuisance {nuisance}, face {identity}: {ways.max():.2f}, {np.percentile(ways, 95):.2f}; {events}",
                    flush=True,
                )
                limit = min(c for c in CLASSES if ways.max() <= c)
                classes.setdefault(f"up to {limit} pixels a frame", []).append(table)
        for speed in STEADY:
            with mock.patch.object(Script, "at", steady(speed, args.size)(Script.at)):
                classes[f"steady, {speed} pixels a frame"] = [
                    _compare(i, args.seconds, args.size, samples, 0.15)[0] for i in range(max(1, args.clips // 3))
                ]
        for name in sorted(classes):
            _print(f"{name}, {(2 * samples) ** 2} samples a pixel", classes[name])


def _figures(truth: EventStream, events: EventStream, stop: int) -> list[float]:
    """Both correlations, the share lost and the distance of the time histograms."""
    fine, coarse = (np.corrcoef(counts(truth, stop, b), counts(events, stop, b))[0, 1] for b in (5_000, 40_000))
    shares = [np.bincount(e.t // 5000, minlength=stop // 5000 + 1) / len(e) for e in (truth, events)]
    return [fine, coarse, 1 - len(events) / len(truth), np.abs(shares[0] - shares[1]).sum() / 2]


def _compare(identity: int, seconds: float, size: int, samples: int, nuisance: float) -> tuple[Table, int]:
    """Figures of each method on one clip, and its number of events."""
    args = (identity, seconds, size, samples, nuisance)
    whole = render(*args)
    frames = whole[::KEPT]
    whole = whole[: (len(frames) - 1) * KEPT + 1]
    seconds_of = np.arange(len(whole)) / FPS
    times, stop = seconds_of[::KEPT], round(seconds_of[-1] * 1e6) + 1
    truth = simulate(whole, seconds_of, "ideal")
    with mock.patch.object(Script, "at", straight(Script.at)):
        guessed = render(*args)[: len(whole)]
    table: Table = {}
    for method, steps, timing in METHODS:
        start = time.perf_counter()
        made = list(interpolate(zip(frames, times, strict=True), method, steps))
        events = simulate(np.stack([p for p, _ in made]), [t for _, t in made], "ideal", timing=timing)
        took = (time.perf_counter() - start) / len(frames)
        table[method, steps, timing] = [*_figures(truth, events, stop), took]
    for name, known, every in (
        ("known, straight", guessed, 2),
        ("known, straight", guessed, 1),
        ("known, 500 fps", whole, 2),
    ):
        events = simulate(known[::every], seconds_of[::every], "ideal")
        table[name, KEPT // every, "v2e"] = [*_figures(truth, events, stop), 0.0]
    return table, len(truth)


def _print(title: str, tables: list[Table]) -> None:
    print(f"\n{title}: mean over {len(tables)} clips")
    print(f"{'method':>15} {'steps':>5} {'times':>9} | r 5 ms  r 40 ms  lost %  histogram  ms/frame")
    for method, count, timing in tables[0]:
        r5, r40, lost, distance, took = np.mean([table[method, count, timing] for table in tables], axis=0)
        cost = f"{took * 1e3:9.1f}" if took else f"{'':>9}"
        print(
            f"{method:>15} {count or 'auto':>5} {timing:>9} | {r5:6.3f} {r40:8.3f} {lost * 100:7.1f} {distance:10.3f} {cost}",
            flush=True,
        )


if __name__ == "__main__":
    main()
