"""`simulate` and `Simulator`: frames in, events out, all at once or as they come."""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError
from spikeva.events.stream import Columns, EventStream
from spikeva.registry import unknown
from spikeva.simulate.frames import check_count, check_frames, check_scale, check_times, on_gpu
from spikeva.simulate.interpolate import check_method, interpolate
from spikeva.simulate.pixel import DVSPixel
from spikeva.simulate.sensor import Sensor, build_sensor

ENGINES = ("auto", "numba", "torch", "reference", "v2e")
TIMINGS = ("v2e", "crossing")
MOST_KEYS = 1 << 60  # microseconds x pixels: crossings are sorted by both and their sign, in 63 bits
CHUNK = 1 << 22  # pixels x frames of a block of a stream


class Engine(Protocol):
    """What turns frames into events and remembers the pixels' state between calls."""

    def advance(self, frames: NDArray[Any], seconds: NDArray[np.float64]) -> Columns:
        """Events of `frames` [T, H, W] (luma 0..255) at `seconds` [T] since the clip's first frame; t counts from there."""


class Simulator:
    """A simulated event camera that is fed frames: `feed` takes any number at a time and returns their events.

    The events of a clip do not depend on how it is cut into calls, on the engine or on the number of threads. Memory is bounded by
    one call's frames and events. Raises UserError for unknown names and for numbers that are not allowed.

    Args:
        pixel: a `DVSPixel` or a preset's name.
        seed: 0..2**64-1; what differs from pixel to pixel and all noise are a function of it.
        engine: "numba" (compiled, what "auto" takes), "torch" (on the frames' device; on a GPU with Triton it is compiled, too),
            "reference" (NumPy, slow), or "v2e" (the original, where it is installed; it draws its own random numbers).
        thresholds: ON and OFF threshold maps [H, W] instead of drawn ones.
        timing: "v2e" gives all events of a frame v2e's few times; "crossing" gives each event the time at which the linearly
            interpolated brightness crosses its threshold (as ESIM does), so that times do not depend on other pixels.
        threads: of the numba engine (default: all processors).
    """

    def __init__(
        self,
        pixel: DVSPixel | str = "clean",
        *,
        seed: int = 0,
        engine: str = "auto",
        thresholds: tuple[Any, Any] | None = None,
        timing: str = "v2e",
        threads: int | None = None,
    ) -> None:
        self.pixel = DVSPixel.preset(pixel) if isinstance(pixel, str) else pixel
        if not isinstance(self.pixel, DVSPixel):
            raise UserError(f"pixel must be a DVSPixel or the name of a preset, got {pixel!r}")
        for name, value, allowed in (("engine", engine, ENGINES), ("timing", timing, TIMINGS)):
            if value not in allowed:
                raise UserError(unknown(name, value, allowed))
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
            raise UserError(f"seed must be a whole number in 0..2**64-1, got {seed!r}")
        if threads is not None:
            check_count(threads, "threads")
        if thresholds is not None:
            try:
                on, off = thresholds
            except (TypeError, ValueError) as error:
                raise UserError(f"thresholds must be a pair of maps (ON, OFF), each [H, W] ({error})") from error
            thresholds = on, off
        self.seed, self.engine, self.timing = int(seed), engine, timing
        self.thresholds, self.threads = thresholds, threads
        self._running: Engine | None = None
        self._size: tuple[int, int] | None = None
        self._start = 0.0
        self._last: float | None = None
        self._fed = 0  # frames so far

    def feed(self, frames: Any, timestamps: Any) -> EventStream:
        """Events of the next frames [T, H, W] (uint8 or float luma 0..255) or [T, H, W, 3] (RGB) at `timestamps` [T] (s).

        The very first frame sets the pixels at rest and makes no events. Raises UserError for bad frames or times. Frames may be a
        tensor on a GPU where the engine is "torch".
        """
        if on_gpu(frames) and self.engine != "torch":
            raise UserError(f"frames on a GPU need engine='torch', got {self.engine!r}")
        luma = check_frames(frames, first=self._fed)
        times = check_times(timestamps, len(luma), self._last, self._fed)
        size = luma.shape[2], luma.shape[1]
        if not len(times):
            return EventStream.empty(size)
        span = float(times[-1]) - float(times[0] if self._last is None else self._last)
        if self.timing == "crossing" and span * 1e6 * math.prod(size) > MOST_KEYS:
            raise UserError(
                f"timestamps: frames that span {span:g} s at once are more than timing='crossing' can sort; are these micro- or "
                "nanoseconds?"
            )
        if self._running is None or self._size is None:
            self._size, self._start = size, float(times[0])
            build = partial(build_sensor, self.pixel, size, self.seed, self.timing, self.thresholds)
            self._running = _create(self.engine, self.threads, build)
        elif size != self._size:
            raise UserError(
                f"frames changed size within a clip: {self._size} before, now {size} (width, height) at frame {self._fed}"
            )
        t, x, y, p = self._running.advance(luma, times - self._start)
        self._last, self._fed = float(times[-1]), self._fed + len(times)
        if self._start:
            t += round(self._start * 1e6)
        return EventStream._trusted(t, x, y, p, self._size)

    def stream(self, frames: Iterable[tuple[Any, float]], pixels: int = CHUNK) -> Iterator[EventStream]:
        """Events of (frame [H, W] or [H, W, 3], time in s) one by one, in blocks of about `pixels` pixels x frames.

        Holds one block at a time, so that a video of any length, or a camera, fits in memory. The same events as all at once.
        """
        held: list[tuple[Any, float]] = []
        for frame, time in frames:
            held.append((frame, time))
            if len(held) * np.shape(frame)[0] * np.shape(frame)[1] >= pixels:
                yield self._block(held)
                held = []
        if held:
            yield self._block(held)

    def _block(self, held: list[tuple[Any, float]]) -> EventStream:
        shapes = [np.shape(frame) for frame, _ in held]
        for i, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise UserError(
                    f"frames changed size within a clip: {shapes[0]} before, now {shape} (H, W) at frame {self._fed + i}"
                )
        frames, times = zip(*held, strict=True)
        if not on_gpu(frames[0]):
            return self.feed(np.stack(frames), times)
        import torch

        return self.feed(torch.stack(frames), times)


def simulate(
    frames: Any,
    timestamps: Any,
    pixel: DVSPixel | str = "clean",
    *,
    seed: int = 0,
    engine: str = "auto",
    thresholds: tuple[Any, Any] | None = None,
    timing: str = "v2e",
    interpolation: str = "none",
    subframes: int | None = None,
    threads: int | None = None,
) -> EventStream:
    """Events that an event camera sees in `frames` [T, H, W] (uint8 or float luma 0..255, or RGB) at `timestamps` [T] (s).

    The same seed gives the same events on every engine and number of threads. See `Simulator` for the arguments, and
    `interpolate` for `interpolation` and `subframes`. Raises UserError for bad input: fewer than two frames, times that do
    not increase, values outside 0..255, floats of 0..1, NaN, unknown names.
    """
    try:
        count = len(frames)
    except TypeError as error:
        raise UserError(
            f"frames must be an array [T, H, W], got {type(frames).__name__}; frames that come one by one go to Simulator.stream"
        ) from error
    if count < 2:
        raise UserError(f"events come from changes: give at least 2 frames, got {count}")
    check_method(interpolation, subframes)
    check_scale(frames)
    simulator = Simulator(pixel, seed=seed, engine=engine, thresholds=thresholds, timing=timing, threads=threads)
    if interpolation == "none":
        return simulator.feed(frames, timestamps)
    if on_gpu(frames):
        raise UserError(f"interpolation {interpolation!r} takes frames on the CPU, got {frames.device}")
    luma = check_frames(frames)
    times = check_times(timestamps, len(luma))
    moving = interpolate(zip(luma, times.tolist(), strict=True), interpolation, subframes, threads)
    blocks = list(simulator.stream(moving))
    return EventStream._joined(blocks, blocks[0].size)


def _create(engine: str, threads: int | None, build: Callable[..., Sensor]) -> Engine:
    """The engine called `engine`; `build(normals=...)` makes its sensor."""
    if engine == "reference":
        from spikeva.simulate.engines.reference import ReferenceEngine

        return ReferenceEngine(build())
    if engine == "v2e":
        from spikeva.simulate.engines.v2e import V2EEngine

        return V2EEngine(build())
    import numba

    from spikeva.simulate.engines.compiled import CompiledEngine, pixel_normals

    if engine == "torch":
        from spikeva.simulate.engines.device import TorchEngine

        return TorchEngine(build(normals=partial(pixel_normals, threads=threads)))
    if numba.config.DISABLE_JIT:  # its records have no fields in plain Python
        raise UserError("engine 'numba' needs compiled code: unset NUMBA_DISABLE_JIT, or take engine='reference'")
    return CompiledEngine(build(normals=partial(pixel_normals, threads=threads)), threads)
