"""Speed of the pixel model on a GPU beside v2e on the same GPU and our numba engine on this machine's processors.

    python benchmarks/simulate.py --device cuda --v2e ~/src/v2e

Every peer has seen the first frames before the clock starts: what is timed is the rest of the clip, until all its work is done. Our
frames lie on the GPU and v2e's on the host, from where it takes one after the other; events end on the host, but for "stay".
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from simulate import scene, v2e_camera

from spikeva.simulate import DVSPixel
from spikeva.simulate.engines.compiled import CompiledEngine, default_threads, pixel_normals
from spikeva.simulate.engines.device import TorchEngine
from spikeva.simulate.sensor import Sensor, build_sensor

CASES = (((224, 224), 1, 97), ((224, 224), 16, 97), ((1280, 720), 1, 33))  # size, clips, frames
PRESETS = ("clean", "noisy", "v2e-default")
V2E_FRAMES = 12
REPEATS = 5
Run = Callable[[], tuple[float, int, int]]
"""Seconds, events and frames."""


def compare(v2e: bool, device: str = "cuda") -> None:
    """Print a table of frames a second."""
    name = torch.cuda.get_device_name() if device == "cuda" else device
    print(
        f"  {name}, torch {torch.__version__}\n\n"
        "photograph, 2 pixels a frame, 1000 fps; frames of all clips a second, the best of some runs, and ns an event\n"
        "gpu: events on the host in the end, stay: they stay on the GPU; first: seconds of the first run, with compiling;\n"
        f"numba: {default_threads()} processors, one clip after the other; ratio: of frames a second, gpu to v2e\n"
        f"{'size':>8} {'clips':>5} {'preset':>11} {'ev/px/f':>7} {'first':>6} | {'gpu':>8} {'ns/ev':>6} | "
        f"{'stay':>8} {'ns/ev':>6} | {'numba':>8} {'ns/ev':>6} | {'v2e':>8} {'ns/ev':>6} | {'ratio':>6}"
    )
    for size, clips, count in CASES:
        still = scene("photograph", *size, count, 2.0)
        frames = np.stack([np.roll(still, 11 * i, axis=2) for i in range(clips)])
        for preset in PRESETS:
            print(row(frames, preset, v2e, device), flush=True)


def row(frames: np.ndarray, preset: str, v2e: bool, device: str) -> str:
    """One line of the table, for clips [N, T, H, W]."""
    clips, count, height, width = frames.shape
    times = np.arange(count) * 1e-3
    pixel = DVSPixel.preset(preset)
    sensors = [build_sensor(pixel, (width, height), seed, "v2e", normals=pixel_normals) for seed in range(clips)]
    given = torch.from_numpy(frames).to(device)
    runs: list[Run] = [partial(ours, sensors, given, times, stay) for stay in (False, True)]
    first, events, seen = runs[0]()
    line = f"{width:>4}x{height:<3} {clips:>5} {preset:>11} {events / (seen * width * height):7.3f} {first:6.2f}"
    runs.append(partial(numba, sensors, frames, times))
    if v2e:
        runs.append(partial(of_v2e, frames[0], times, preset, device))
    rates = []
    for run in runs:
        seconds, events, seen = min(run() for _ in range(2 if v2e and run is runs[-1] else REPEATS))
        rates.append(seen / seconds)
        line += f" | {rates[-1]:8.0f} {seconds / events * 1e9:6.2f}"
    return line + (f" | {rates[0] / rates[-1]:6.0f}" if v2e else "")


def ours(sensors: list[Sensor], frames: torch.Tensor, times: np.ndarray, stay: bool) -> tuple[float, int, int]:
    engine = TorchEngine(*sensors)
    engine.advance_batch(frames[:, :1], times[:1])
    advance: Callable[..., Any] = engine.advance_on_device if stay else engine.advance_batch
    clips, count = frames.shape[:2]
    run = partial(advance, frames[:, 1:], times[1:])
    return *timed(lambda: sum(len(t) for t, *_ in run()), frames.device.type), clips * (count - 1)


def numba(sensors: list[Sensor], frames: np.ndarray, times: np.ndarray) -> tuple[float, int, int]:
    pairs = [(CompiledEngine(sensor), clip) for sensor, clip in zip(sensors, frames, strict=True)]
    for engine, clip in pairs:
        engine.advance(clip[:1], times[:1])
    clips, count = frames.shape[:2]
    return *timed(lambda: sum(len(e.advance(clip[1:], times[1:])[0]) for e, clip in pairs), "cpu"), clips * (count - 1)


def of_v2e(frames: np.ndarray, times: np.ndarray, preset: str, device: str) -> tuple[float, int, int]:
    feed = v2e_camera((frames.shape[2], frames.shape[1]), preset, device)
    feed(frames[:2], times[:2])
    part = slice(2, 2 + V2E_FRAMES)
    return *timed(lambda: len(feed(frames[part], times[part])), device), V2E_FRAMES


def timed(function: Callable[[], int], device: str) -> tuple[float, int]:
    """Seconds until the device has done what `function` asks for, and its result."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    result = function()
    wait()
    return time.perf_counter() - start, result
