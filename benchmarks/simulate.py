"""Speed of the pixel model beside v2e's own and eventcv's, interleaved in one process.

    python benchmarks/simulate.py --v2e ~/src/v2e

v2e is not on the package registry: `--v2e` (or $SPIKEVA_V2E) names a clone of github.com/SensorsINI/v2e. Modules that v2e imports
for file formats and dialogs and that this bench does not use are replaced by empty ones where they are missing. eventcv is
measured where it is installed (`pip install eventcv`).
"""

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spikeva.simulate import DVSPixel, Simulator
from spikeva.simulate.engines.compiled import default_threads

SIZES = ((224, 224), (640, 480))
QUOTED_MS = {  # v2e at cac6384 on another 2-core machine, 100 frames like these: (size, preset, threads)
    ((224, 224), "clean", 1): 938,
    ((224, 224), "clean", 2): 652,
    ((224, 224), "noisy", 1): 2462,
    ((224, 224), "noisy", 2): 1529,
    ((640, 480), "clean", 1): 5804,
    ((640, 480), "clean", 2): 3569,
    ((640, 480), "noisy", 1): 19151,
    ((640, 480), "noisy", 2): 11646,
}


def scene(kind: str, width: int, height: int, count: int, step: float = 0.5) -> np.ndarray:
    """A picture that moves `step` pixels a frame: uint8 [T, H, W].

    `leaves`: occluding discs with a power law of sizes, the usual model of photographs, with their hard edges (Lee, Mumford and
    Huang 2001). `soft`: smooth texture, where no pixel has more than one or two events a frame.
    """
    import cv2

    rng = np.random.default_rng(0)
    shape = height + 80, width + 80
    if kind == "soft":
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
    frames = [cv2.warpAffine(big, m, (width, height), flags=cv2.INTER_LINEAR) for m in shift]
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def find_v2e(path: str | None) -> str | None:
    """A description of the v2e that can be imported, or None."""
    if path:
        sys.path.insert(0, path)
    if importlib.util.find_spec("v2ecore") is None:
        return None
    for name in ("dv_processing", "screeninfo", "easygui", "engineering_notation"):
        if importlib.util.find_spec(name) is None:
            stub = types.ModuleType(name)
            stub.get_monitors = list  # type: ignore[attr-defined]
            stub.EngNumber = str  # type: ignore[attr-defined]
            sys.modules[name] = stub
    import logging

    import v2ecore.emulator

    logging.getLogger("v2ecore").setLevel(logging.ERROR)
    root = Path(v2ecore.emulator.__file__).parent.parent
    git = subprocess.run(["git", "-C", root, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return f"v2e {git.stdout.strip() or '(no git)'} at {root}"


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def v2e_run(frames: np.ndarray, times: np.ndarray, preset: str, threads: int) -> Any:
    """v2e's own loop over the frames, without our adapter."""
    import torch
    from v2ecore.emulator import EventEmulator

    torch.set_num_threads(threads)
    emulator = EventEmulator(device="cuda" if torch.cuda.is_available() else "cpu", seed=1)
    emulator.set_dvs_params(preset)
    emulator.pos_thres_nominal, emulator.neg_thres_nominal = emulator.pos_thres, emulator.neg_thres
    events = [emulator.generate_events(f, float(t)) for f, t in zip(frames, times, strict=True)]
    return np.concatenate([e for e in events if e is not None])


def ours_run(frames: np.ndarray, times: np.ndarray, preset: str, threads: int) -> Any:
    return Simulator(preset, seed=1, threads=threads).feed(frames, times)


def eventcv_run(frames: np.ndarray, preset: str) -> Any:
    import eventcv

    p = DVSPixel.preset(preset)
    return eventcv.simulate(
        frames, fps=1000, upsample="off", sigma_thres=p.sigma_thres, cutoff_hz=p.cutoff_hz, refractory_us=0,
        leak_rate_hz=p.leak_rate_hz, shot_noise_rate_hz=p.shot_noise_rate_hz, seed=1,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--v2e", default=os.environ.get("SPIKEVA_V2E"), help="a clone of v2e ($SPIKEVA_V2E)")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3, help="the best of these counts")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", nargs="+", default=["224x224", "640x480"])
    parser.add_argument("--scene", choices=["leaves", "soft"], default="leaves")
    args = parser.parse_args()

    print(f"{platform.processor() or platform.machine()}, {default_threads()} processors, numba and torch:")
    print(*(f"  {n} {importlib.metadata.version(n)}" for n in ("spikeva", "numba", "torch", "numpy")), sep="\n")
    v2e = find_v2e(args.v2e)
    print(f"  {v2e or 'v2e is absent: its times are QUOTED from another machine, not measured'}")
    eventcv = importlib.util.find_spec("eventcv") is not None
    print(f"  eventcv {importlib.metadata.version('eventcv') if eventcv else 'is absent (pip install eventcv)'}")
    print(
        f"\n{args.frames} frames of {args.scene!r} at 1000 fps; milliseconds, ns an event\n"
        f"{'size':>9} {'preset':>6} {'threads':>7} | {'ours':>8} {'ns/ev':>6} {'x copy':>6} | {'v2e':>9} {'ns/ev':>6} "
        f"{'ratio':>6} | {'eventcv':>8} {'ns/ev':>6}"
    )
    times = np.arange(args.frames) * 1e-3
    for size in (tuple(map(int, s.split("x"))) for s in args.sizes):
        frames = scene(args.scene, *size, args.frames)
        for preset in ("clean", "noisy"):
            for threads in args.threads:
                ours_run(frames[:3], times[:3], preset, threads)  # compile
                best = measure(frames, times, preset, threads, args.repeats, v2e is not None, eventcv)
                print(row(size, preset, threads, args.frames, best), flush=True)


def measure(
    frames: np.ndarray, times: np.ndarray, preset: str, threads: int, repeats: int, v2e: bool, eventcv: bool
) -> dict[str, tuple[float, Any]]:
    """Seconds and number of events of each peer: the best of `repeats` interleaved runs."""
    runs: dict[str, Callable[[], Any]] = {
        "copy": lambda: frames.copy(),
        "ours": lambda: ours_run(frames, times, preset, threads),
    }
    if v2e:
        runs["v2e"] = lambda: v2e_run(frames, times, preset, threads)
    if eventcv:
        runs["eventcv"] = lambda: eventcv_run(frames, preset)
    best: dict[str, tuple[float, Any]] = {}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds, events = timed(run)
            best[name] = min(best.get(name, (np.inf, 0)), (seconds, len(events)))
    return best


def row(size: tuple[int, ...], preset: str, threads: int, count: int, best: dict[str, tuple[float, Any]]) -> str:
    """One line of the table. `x copy`: time for a pixel and frame in copies of its byte."""
    seconds, events = best["ours"]
    line = f"{size[0]:>4}x{size[1]:<4} {preset:>6} {threads:>7} | {seconds * 1e3:8.1f} {seconds / events * 1e9:6.1f} "
    line += f"{seconds / best['copy'][0]:6.0f} | "
    if "v2e" in best:
        other, n = best["v2e"]
        line += f"{other * 1e3:9.0f} {other / n * 1e9:6.0f} {other / seconds:6.1f} | "
    else:
        quoted = QUOTED_MS.get(((size[0], size[1]), preset, threads), np.nan) * count / 100
        line += f"{quoted:8.0f}q {'':6} {quoted / 1e3 / seconds:5.1f}q | "
    if "eventcv" in best:
        other, n = best["eventcv"]
        line += f"{other * 1e3:8.0f} {other / n * 1e9:6.0f}"
    return line


if __name__ == "__main__":
    main()
