"""What interpolation does to events: stand-in faces rendered at 1000 fps, dropped to 25 fps, interpolated, against the truth.

    python benchmarks/simulate_interpolation.py [--clips 4] [--seconds 0.6] [--samples 1 4] [--nuisance 0.6 0.15]

Columns: correlation of counts of signed events a pixel in bins of 5 ms and of 40 ms, events lost, distance of the time histogram
(half the summed difference of its shares in 5 ms bins), time a frame. All synthetic.

How to read it: three things bound what any method can reach, and each has its rows.

- Heads and lips speed up and slow down between two frames. "known, straight" are pictures rendered from the truth's own parameters
  between the frames, joined by straight lines: no flow, no warp and nothing hidden, only the motion inside a frame is guessed.
- The renderer takes 2 x 2 samples a pixel, so that a rim jumps by half pixels, at times that no neighbour frame tells. `--samples 4`
  renders four times as large and averages: 8 x 8 samples a pixel.
- The finer the sub-frames, the nearer their times are to the truth's, which has one frame a millisecond: "known, 500 fps" is the
  truth with every second frame left out.

`--nuisance` sets how much heads, light and background move (0.15: a calm clip).
"""

import argparse
import itertools
import time
from unittest import mock

import cv2
import numpy as np

from spikeva.events import EventStream
from spikeva.faces import make_clip
from spikeva.faces.script import Moments, Script
from spikeva.simulate import simulate
from spikeva.simulate.interpolate import Pair, _Flow, interpolate

FPS, KEPT = 1000, 40  # of the truth, and one frame in so many is a video's
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
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--nuisance", type=float, nargs="+", default=[0.6, 0.15])
    args = parser.parse_args()
    for nuisance in args.nuisance:
        for samples in args.samples:
            _compare(args.clips, args.seconds, args.size, samples, nuisance)


def _figures(truth: EventStream, events: EventStream, stop: int) -> list[float]:
    """Both correlations, the share lost and the distance of the time histograms."""
    fine, coarse = (np.corrcoef(counts(truth, stop, b), counts(events, stop, b))[0, 1] for b in (5_000, 40_000))
    shares = [np.bincount(e.t // 5000, minlength=stop // 5000 + 1) / len(e) for e in (truth, events)]
    return [fine, coarse, 1 - len(events) / len(truth), np.abs(shares[0] - shares[1]).sum() / 2]


def _compare(clips: int, seconds: float, size: int, samples: int, nuisance: float) -> None:
    list(interpolate([(np.zeros((16, 16)), 0), (np.eye(16) * 99, 1)], subframes=2))  # compile
    table: dict[Row, list[list[float]]] = {}
    moves, numbers = [], []
    for identity in range(clips):
        args = (identity, seconds, size, samples, nuisance)
        whole = render(*args)
        frames = whole[::KEPT]
        whole = whole[: (len(frames) - 1) * KEPT + 1]
        seconds_of = np.arange(len(whole)) / FPS
        times, stop = seconds_of[::KEPT], round(seconds_of[-1] * 1e6) + 1
        truth = simulate(whole, seconds_of, "ideal")
        with mock.patch.object(Script, "at", straight(Script.at)):
            guessed = render(*args)[: len(whole)]
        still = _Flow()
        pairs = [Pair(a, b, still) for a, b in itertools.pairwise(frames)]
        moves.append(max(p.longest for p in pairs))
        numbers.append(len(truth))

        for method, steps, timing in METHODS:
            start = time.perf_counter()
            made = list(interpolate(zip(frames, times, strict=True), method, steps))
            events = simulate(np.stack([p for p, _ in made]), [t for _, t in made], "ideal", timing=timing)
            took = (time.perf_counter() - start) / len(frames)
            table.setdefault((method, steps, timing), []).append([*_figures(truth, events, stop), took])
        for every in (2, 1):
            events = simulate(guessed[::every], seconds_of[::every], "ideal")
            row = "known, straight", KEPT // every, "v2e"
            table.setdefault(row, []).append([*_figures(truth, events, stop), 0.0])
        events = simulate(whole[::2], seconds_of[::2], "ideal")
        table.setdefault(("known, 500 fps", KEPT // 2, "v2e"), []).append([*_figures(truth, events, stop), 0.0])
    print(
        f"\n{clips} faces of {size} x {size}, {seconds} s, nuisance {nuisance}, {(2 * samples) ** 2} samples a pixel, synthetic: "
        f"motion up to {max(moves):.1f} px a frame, {np.mean(numbers):.0f} events; mean over the faces"
    )
    print(f"{'method':>15} {'steps':>5} {'times':>9} | r 5 ms  r 40 ms  lost %  histogram  ms/frame")
    for (method, count, timing), rows in table.items():
        r5, r40, lost, distance, took = np.mean(rows, axis=0)
        cost = f"{took * 1e3:9.1f}" if took else f"{'':>9}"
        print(
            f"{method:>15} {count or 'auto':>5} {timing:>9} | {r5:6.3f} {r40:8.3f} {lost * 100:7.1f} {distance:10.3f} {cost}",
            flush=True,
        )


if __name__ == "__main__":
    main()
