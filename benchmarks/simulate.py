"""Speed of the pixel model beside v2e's own and eventcv's, interleaved in one process.

    python benchmarks/simulate.py --v2e ~/src/v2e --scene photograph leaves --step 0.5 2 4
    python benchmarks/simulate.py --stages          # what each mechanism of the pixel takes
    python benchmarks/simulate.py --device cuda     # engine "torch" on a GPU beside v2e there and numba on the CPU

v2e is not on the package registry: `--v2e` (or $SPIKEVA_V2E) names a clone of github.com/SensorsINI/v2e. Modules that v2e imports
for file formats and dialogs and that this bench does not use are replaced by empty ones where they are missing. eventcv is
measured where it is installed (`pip install eventcv`).
"""

import argparse
import importlib.metadata
import importlib.util
import itertools
import os
import platform
import subprocess
import sys
import time
import types
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import spikeva
from spikeva.simulate import DVSPixel, Simulator
from spikeva.simulate.engines.compiled import default_threads
from spikeva.simulate.pixel import PRESETS

SIZES = ((224, 224), (640, 480))
QUOTED_MS = {  # v2e at cac6384 on another 2-core machine, 100 frames of another moving photograph: (size, preset, threads)
    ((224, 224), "clean", 1): 938,
    ((224, 224), "clean", 2): 652,
    ((224, 224), "noisy", 1): 2462,
    ((224, 224), "noisy", 2): 1529,
    ((640, 480), "clean", 1): 5804,
    ((640, 480), "clean", 2): 3569,
    ((640, 480), "noisy", 1): 19151,
    ((640, 480), "noisy", 2): 11646,
}


def scene(kind: str, width: int, height: int, count: int, step: float) -> np.ndarray:
    """A picture that moves `step` pixels a frame, mirrored where it ends: uint8 [T, H, W].

    `photograph`: the portrait that matplotlib ships, as large as covers the frame. `leaves`: occluding discs with a power law of
    sizes, the usual model of photographs (Lee, Mumford and Huang 2001), with hard edges. `soft`: smooth texture.
    """
    import cv2

    rng = np.random.default_rng(0)
    shape = height + 80, width + 80
    if kind == "photograph":
        from matplotlib.cbook import get_sample_data

        photograph = cv2.imread(get_sample_data("grace_hopper.jpg", asfileobj=False), cv2.IMREAD_GRAYSCALE)
        scale = max(height / photograph.shape[0], width / photograph.shape[1])
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        big = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=how).astype(np.float32)
    elif kind == "soft":
        coarse = rng.uniform(0, 255, (shape[0] // 8, shape[1] // 8)).astype(np.float32)
        big = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
        big += cv2.GaussianBlur(rng.normal(0, 30, shape).astype(np.float32), (0, 0), 1)
    else:
        big = np.zeros(shape, np.float32)
        for radius in 3 / np.sqrt(rng.uniform(0.0004, 1, shape[0] * shape[1] // 30)):
            x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
            cv2.circle(big, (int(x), int(y)), int(radius), float(rng.uniform(5, 250)), -1)
        big += rng.normal(0, 4, shape).astype(np.float32)
    shift = [np.array([[1, 0, -i * step], [0, 1, -i * step / 3]], np.float32) for i in range(count)]
    border = cv2.BORDER_REFLECT_101
    frames = [cv2.warpAffine(big, m, (width, height), flags=cv2.INTER_LINEAR, borderMode=border) for m in shift]
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def density(frames: np.ndarray, times: np.ndarray, preset: str) -> tuple[float, float]:
    """Events a pixel and frame, and the largest number of events of one pixel in a frame, averaged over the frames.

    v2e goes over the picture once for each of the latter.
    """
    camera = Simulator(preset, seed=1)
    total, most, pixels = 0, 0, frames[0].size
    for i in range(len(frames)):
        events = camera.feed(frames[i : i + 1], times[i : i + 1])
        total += len(events)
        most += np.bincount(events.y.astype(np.int64) * frames.shape[2] + events.x, minlength=1).max()
    return total / (pixels * (len(frames) - 1)), most / (len(frames) - 1)


MECHANISMS: tuple[tuple[str, dict[str, float], int], ...] = (
    ("light alone", {"sigma_thres": 0.05}, 11),
    ("+ low-pass, in float64", {"cutoff_hz": 30}, 114),
    ("+ leak with jitter", {"leak_rate_hz": 0.1, "leak_jitter_fraction": 0.1, "noise_rate_cov_decades": 0.1}, 20),
    ("+ shot noise ('noisy')", {"shot_noise_rate_hz": 5}, 14),
)
"""What they are called, what switches them on, and the bytes that their loops read and write for each pixel and frame, all of them
in a tile's arrays, which stay in the second-level cache; of the frame it is one byte, once or twice. By light alone, still pixels are
compared with their bounds; with the filter come lin-log, counting and recording of each."""


def stages(frames: np.ndarray, repeats: int) -> None:
    """Print what each mechanism takes on one thread, switched on one after the other; a still clip's pixels make no events but noise."""
    times = np.arange(len(frames)) * 1e-3
    print(
        f"{'':>24} | {'still':>6} {'more':>6} {'bytes':>5} {'GB/s':>5} | {'moving':>6} {'ev/px/f':>7} ns a pixel and frame"
    )
    copy = min(timed(lambda: frames[1:].copy())[0] for _ in range(repeats)) / frames[1:].size * 1e9
    print(f"{'copy of the frames':>24} | {copy:6.3f} {copy:6.3f} {2:5} {2 / copy:5.0f} |")
    pixel, before = DVSPixel(), 0.0
    for name, changes, moved in MECHANISMS:
        pixel = replace(pixel, **changes)
        spent, rate = {}, 0.0
        for kind, clip in (("still", np.repeat(frames[:1], len(frames), 0)), ("moving", frames)):
            spent[kind] = np.inf
            for _ in range(repeats + 1):  # the first compiles
                camera = Simulator(pixel, seed=1, threads=1)
                camera.feed(clip[:1], times[:1])
                seconds, events = timed(partial(camera.feed, clip[1:], times[1:]))
                spent[kind] = min(spent[kind], seconds / clip[1:].size * 1e9)
                rate = len(events) / clip[1:].size
                del events  # the next run has its memory
        more, before = spent["still"] - before, spent["still"]
        print(
            f"{name:>24} | {before:6.3f} {more:6.3f} {moved:5} {moved / more:5.0f} | {spent['moving']:6.3f} {rate:7.3f}"
        )


def find_v2e(path: str | None) -> str | None:
    """A description of the v2e that can be imported, or None."""
    if path:
        sys.path.insert(0, path)
    if importlib.util.find_spec("v2ecore") is None:
        return None
    for name in ("dv_processing", "screeninfo", "easygui", "engineering_notation", "tkinter"):
        if importlib.util.find_spec(name) is None:
            stub = types.ModuleType(name)
            stub.filedialog = None  # type: ignore[attr-defined]  # a module made here
            stub.get_monitors = list  # type: ignore[attr-defined]  # a module made here
            stub.EngNumber = str  # type: ignore[attr-defined]  # a module made here
            sys.modules[name] = stub
    import logging

    import v2ecore.emulator

    logging.getLogger("v2ecore").setLevel(logging.ERROR)
    root = Path(v2ecore.emulator.__file__).parent.parent
    if not (root / ".git").exists():
        return f"v2e (no git) at {root}"
    git = subprocess.run(["git", "-C", root, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return f"v2e {git.stdout.strip()} at {root}"


def timed(function: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> tuple[float, Any]:
    """Seconds and result. The process's time: what runs beside it hardly matters."""
    start = clock()
    result = function()
    return clock() - start, result


def v2e_camera(size: tuple[int, int], preset: str, device: str) -> Callable[[np.ndarray, np.ndarray], Any]:
    """v2e's own loop over frames, without our adapter: what it is called with is one clip, as it comes."""
    from v2ecore.emulator import EventEmulator

    emulator = EventEmulator(
        device=device, seed=1, output_width=size[0], output_height=size[1], **vars(DVSPixel.preset(preset))
    )

    def feed(frames: np.ndarray, times: np.ndarray) -> Any:
        events = [emulator.generate_events(f, float(t)) for f, t in zip(frames, times, strict=True)]
        return np.concatenate([e for e in events if e is not None] or [np.empty((0, 4))])

    return feed


def v2e_run(frames: np.ndarray, times: np.ndarray, preset: str, threads: int) -> Any:
    import torch

    torch.set_num_threads(threads)
    return v2e_camera((frames.shape[2], frames.shape[1]), preset, "cpu")(frames, times)


def ours_run(frames: np.ndarray, times: np.ndarray, preset: str, threads: int) -> Any:
    return Simulator(preset, seed=1, threads=threads).feed(frames, times)


def eventcv_run(frames: np.ndarray, times: np.ndarray, preset: str) -> Any:
    import eventcv

    p = DVSPixel.preset(preset)
    return eventcv.simulate(
        frames, fps=1 / times[1], upsample="off", sigma_thres=p.sigma_thres, cutoff_hz=p.cutoff_hz, refractory_us=round(p.refractory_period_s * 1e6),
        leak_rate_hz=p.leak_rate_hz, shot_noise_rate_hz=p.shot_noise_rate_hz, seed=1,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--v2e", default=os.environ.get("SPIKEVA_V2E"), help="a clone of v2e ($SPIKEVA_V2E)")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3, help="the best of these counts")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", nargs="+", default=["224x224", "640x480"])
    parser.add_argument("--scene", nargs="+", choices=["photograph", "leaves", "soft"], default=["photograph"])
    parser.add_argument("--step", type=float, nargs="+", default=[2.0], help="motion, pixels a frame")
    parser.add_argument("--fps", type=float, nargs="+", default=[1000.0], help="frames a second")
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=["clean", "noisy"])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: see simulate_gpu.py")
    parser.add_argument("--stages", action="store_true", help="ours alone, mechanism by mechanism")
    args = parser.parse_args()

    print(f"{platform.processor() or platform.machine()}, {default_threads()} processors, numba and torch:")
    print(f"  spikeva {spikeva.__version__}")
    print(*(f"  {n} {importlib.metadata.version(n)}" for n in ("numba", "torch", "numpy")), sep="\n")
    v2e = find_v2e(args.v2e)
    print(f"  {v2e or 'v2e is absent: its times are QUOTED, of another machine and clip, not measured'}")
    if args.device == "cuda":
        import torch
        from simulate_gpu import compare

        if not torch.cuda.is_available():
            parser.error("there is no CUDA device")
        compare(v2e is not None)
        return
    sizes = [tuple(map(int, s.split("x"))) for s in args.sizes]
    if args.stages:
        for kind, step, size in itertools.product(args.scene, args.step, sizes):
            print(f"\n{args.frames} frames of {kind}, {step:g} pixels a frame, {size[0]} x {size[1]}, one thread")
            stages(scene(kind, *size, args.frames, step), args.repeats)
        return
    eventcv = importlib.util.find_spec("eventcv") is not None
    print(f"  eventcv {importlib.metadata.version('eventcv') if eventcv else 'is absent (pip install eventcv)'}")
    print(
        f"\n{args.frames} frames; milliseconds a clip, of the process on one thread, of the wall on more; ns an event\n"
        "M: the busiest pixel's events in a frame; copies: the time in copies of the frames\n"
        f"{'scene':>10} {'px/f':>4} {'fps':>4} {'size':>8} {'preset':>6} {'ev/px/f':>7} {'M':>5} {'thr':>3} | "
        f"{'ours':>7} {'ns/ev':>6} {'copies':>6} | {'v2e':>8} {'ns/ev':>6} {'ratio':>6} | {'eventcv':>8} {'ns/ev':>6}"
    )
    for kind, step, fps, size, preset in itertools.product(args.scene, args.step, args.fps, sizes, args.presets):
        frames, times = scene(kind, *size, args.frames, step), np.arange(args.frames) / fps
        rate, most = density(frames, times, preset)
        clip = f"{kind:>10} {step:4.1f} {fps:4.0f} {size[0]:>4}x{size[1]:<3} {preset:>6} {rate:7.3f} {most:5.1f}"
        for threads in args.threads:
            ours_run(frames[:3], times[:3], preset, threads)  # compile
            best = measure(frames, times, preset, threads, args.repeats, v2e is not None, eventcv)
            quoted = QUOTED_MS.get((size, preset, threads), np.nan) * args.frames / 100 if fps == 1000 else np.nan
            print(clip, row(threads, quoted, best), flush=True)


def measure(
    frames: np.ndarray, times: np.ndarray, preset: str, threads: int, repeats: int, v2e: bool, eventcv: bool
) -> dict[str, tuple[float, Any]]:
    """Seconds and number of events of each peer: the best of `repeats` interleaved turns."""
    runs: dict[str, Callable[[], Any]] = {
        "copy": lambda: frames.copy(),
        "ours": lambda: ours_run(frames, times, preset, threads),
    }
    if v2e:
        runs["v2e"] = lambda: v2e_run(frames, times, preset, threads)
    if eventcv:
        runs["eventcv"] = lambda: eventcv_run(frames, times, preset)
    best: dict[str, tuple[float, Any]] = {}
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in range(repeats):
        for name, run in runs.items():
            spent = 0.0
            while spent < 0.2:  # a short run is more easily disturbed: it has as much time as a long one
                seconds, events = timed(run, clock)
                best[name] = min(best.get(name, (np.inf, 0)), (seconds, len(events)))
                spent += seconds
    return best


def row(threads: int, quoted: float, best: dict[str, tuple[float, Any]]) -> str:
    """One line of the table. `copies`: time for a pixel and frame in copies of its byte; `quoted`: v2e's where it is absent."""
    seconds, events = best["ours"]
    line = f"{threads:>3} | {seconds * 1e3:7.1f} {seconds / events * 1e9:6.1f} {seconds / best['copy'][0]:6.0f} | "
    if "v2e" in best:
        other, n = best["v2e"]
        line += f"{other * 1e3:8.0f} {other / n * 1e9:6.0f} {other / seconds:6.1f} | "
    else:
        line += f"{quoted:7.0f}q {'':6} {'':6} | "  # no ratio: it hangs on the clip
    if "eventcv" in best:
        other, n = best["eventcv"]
        line += f"{other * 1e3:8.0f} {other / n * 1e9:6.0f}"
    return line


if __name__ == "__main__":
    main()
