"""What the compiled code works on: the pixels' maps, state and tables, and the parameters of each frame."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikeva._compiled import njit
from spikeva.simulate import draws, exact, luma
from spikeva.simulate.noise import filter_step, photoreceptor_vrms
from spikeva.simulate.pixel import DVSPixel
from spikeva.simulate.sensor import SCIDVS_EFOLD, SCIDVS_GAIN, Sensor

PLACE = 12  # bits of a pixel's place in its tile
TILE = 1 << PLACE  # pixels that go through a chunk's frames together, in the second-level cache
SHIFT, WITHIN = np.int32(PLACE), np.int32(TILE - 1)  # of a record, see `kernels`
Vector = NDArray[Any]


COMPILED = {"nogil": True, "error_model": "numpy"}
LEAN = COMPILED | {"_nrt": False}
"""numba's options."""


def compiled(function: Any) -> Any:
    """`function` compiled without the interpreter's lock, once for all processes."""
    return njit(cache=True, **COMPILED)(function)


def lean(function: Any) -> Any:
    """As `compiled` for a function that makes no arrays and gives none to a `compiled` one: it does not count who shares in them.

    numba counts at each call for each array, in a tuple too: for the dozens of a step that takes as long as the step itself over a
    tile of some hundred pixels.
    """
    return njit(cache=True, **LEAN)(function)


class Maps(NamedTuple):
    """What is fixed for the clip, flat [n] (see `Sensor`)."""

    on: Vector
    off: Vector
    on_step: Vector
    off_step: Vector
    leak_hz: Vector
    decay_hz: Vector


class Tables(NamedTuple):
    """Look-up tables."""

    nominal: Vector  # ON and OFF threshold, float32
    scidvs: Vector  # efold and gain, in the state's precision
    keys: Vector  # [10, 2] uint64, Philox's key schedule
    quantile: Vector
    quantile_slope: Vector
    byte_log: Vector
    inverse: Vector
    log_cell: Vector
    power: Vector
    luma_at: Vector


class State(NamedTuple):
    """What the pixels remember, flat [n]; of size 0 where the pixel's type has no use for it."""

    state: Vector  # photoreceptor, in the state's precision
    signal: Vector  # what the change detector sees; `state` itself where nothing is added
    base: Vector  # memorised brightness
    residue: Vector  # signal - base at the end of the last frame
    surround: Vector
    highpass: Vector
    previous: Vector
    last: Vector  # time of the last event, s
    voltage: Vector  # photoreceptor noise, float32
    low: Vector  # luma below which a pixel may make events (see `calm`), float32
    high: Vector  # and above which


STEP = np.dtype(
    [
        ("frame", np.int64),
        ("start", np.float64),  # s since the clip's first frame
        ("stop", np.float64),
        ("low_pass", np.float64),  # dt / tau; 0 switches this mechanism off, and so below
        ("leak", np.float32),  # dt
        ("jitter", np.float32),
        ("shot", np.float64),  # rate / 2 * dt
        ("shot_on", np.float32),  # the same times 2**16 times the nominal threshold
        ("shot_off", np.float32),
        ("noise_step", np.float64),
        ("noise_vrms", np.float64),
    ]
)
"""Parameters of one frame."""


def frame_steps(pixel: DVSPixel, frame: int, before: float, seconds: Sequence[float]) -> Vector:
    """STEP of the frames at `seconds`, the first one being number `frame` and `before` the time before it."""
    steps = np.zeros(len(seconds), STEP)
    for step, stop in zip(steps, seconds, strict=True):
        dt = stop - before
        step["frame"], step["start"], step["stop"] = frame, before, stop
        if pixel.cutoff_hz > 0:
            step["low_pass"] = dt / (1 / (math.pi * 2 * pixel.cutoff_hz))
        if pixel.leak_rate_hz > 0:
            step["leak"], step["jitter"] = dt, pixel.leak_jitter_fraction
        if pixel.photoreceptor_noise:
            step["noise_step"], step["noise_vrms"] = filter_step(pixel, dt), photoreceptor_vrms(pixel, dt)
        elif pixel.shot_noise_rate_hz > 0:
            step["shot"] = pixel.shot_noise_rate_hz / 2 * dt
            step["shot_on"], step["shot_off"] = (2**16 * step["shot"] * v for v in (pixel.pos_thres, pixel.neg_thres))
        frame, before = frame + 1, stop
    return steps


def make_maps(sensor: Sensor) -> Maps:
    """The sensor's maps, flat."""
    return Maps(*(getattr(sensor, name).ravel() for name in Maps._fields))


def make_tables(sensor: Sensor) -> Tables:
    """Tables for the sensor's precision and seed."""
    quantile, slope = draws.quantiles()
    return Tables(
        nominal=np.array([sensor.pixel.pos_thres, sensor.pixel.neg_thres], np.float32),
        scidvs=np.array([SCIDVS_EFOLD, SCIDVS_GAIN], sensor.dtype),
        keys=np.array(draws.key_schedule(sensor.seed), np.uint64),
        quantile=quantile,
        quantile_slope=slope,
        byte_log=luma.LIN_LOG_OF_BYTE,
        inverse=exact.INVERSE,
        log_cell=exact.LOG_CELL,
        power=exact.POWER,
        luma_at=luma.LUMA_AT,
    )


def make_state(sensor: Sensor) -> State:
    """Room for the pixels' state."""
    pixel = sensor.pixel
    surround, wait = pixel.cs_lambda_pixels is not None, pixel.refractory_period_s > 0
    crossing = sensor.timing == "crossing"
    moved = surround or pixel.scidvs or pixel.cutoff_hz or pixel.leak_rate_hz or pixel.shot_noise_rate_hz
    calm = not (moved or wait or crossing)  # by light alone

    def room(needed: bool = True, dtype: Any = sensor.dtype) -> Vector:
        return np.zeros(sensor.on.size if needed else 0, dtype)

    state, last = room(), room(wait, np.float64)
    last[:] = -float(sensor.refractory)
    return State(
        state=state,
        signal=room() if pixel.photoreceptor_noise or pixel.scidvs or surround else state,
        base=room(),
        residue=room(crossing),
        surround=room(surround),
        highpass=room(pixel.scidvs),
        previous=room(pixel.scidvs),
        last=last,
        voltage=room(pixel.photoreceptor_noise, np.float32),
        low=room(calm, np.float32),
        high=room(calm, np.float32),
    )


class Work(NamedTuple):
    """Room for what a tile needs within a frame, [pixels] unless said."""

    log: Vector  # brightness, float32
    luma: Vector  # of the pixels that are not calm, float64, and so the next three
    mantissa: Vector
    inverse: Vector
    log_cell: Vector
    normal: Vector
    leakage: Vector
    change: Vector  # signal - base, then what base moves by, float32
    difference: Vector  # signal - base, where crossing times are wanted
    events: Vector
    words: Vector  # random ones, up to a multiple of 4
    flags: Vector  # bytes, up to a multiple of 8 (0 there)
    room: Vector
    places: Vector


@compiled
def make_work(n: int, s: State) -> Work:
    """`Work` for `n` pixels of the state `s`."""
    return Work(
        np.empty(n, np.float32),
        np.empty(n, np.float64),
        np.empty(n, np.float64),
        np.empty(n, np.float64),
        np.empty(n, np.float64),
        np.empty(n, np.float32),
        np.zeros(n, np.float32),
        np.empty(n, np.float32),
        np.empty(n if len(s.residue) else 0, s.base.dtype),
        np.empty(n, np.int32),
        np.empty((n + 3) // 4 * 4, np.uint32),
        np.zeros((n + 7) // 8 * 8, np.uint8),
        np.empty((n + 7) // 8, np.int32),
        np.empty(n + 8, np.int32),
    )
