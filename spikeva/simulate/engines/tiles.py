"""What the compiled code works on: the pixels' maps, state and tables, and the parameters of each frame."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
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
"""numba's options; LEAN: where no arrays are made, and none are given to `compiled` functions, it need not count who shares in them.

numba counts at each call for each array, in a tuple too: for the dozens of a step that takes as long as the step itself over a
tile of some hundred pixels.
"""


def compiled(function: Any) -> Any:
    """`function` compiled without the interpreter's lock, once for all processes."""
    return njit(cache=True, **COMPILED)(function)


def lean(function: Any) -> Any:
    """`function` as a part of the compiled functions that use it, with the options `LEAN`: it is not compiled for Python as well."""
    return register_jitable(**LEAN)(function)


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


def make_work(s: State) -> Work:
    """`Work` for a tile of pixels of the state `s`."""
    return Work(
        log=np.empty(TILE, np.float32),
        luma=np.empty(TILE, np.float64),
        mantissa=np.empty(TILE, np.float64),
        inverse=np.empty(TILE, np.float64),
        log_cell=np.empty(TILE, np.float64),
        normal=np.empty(TILE, np.float32),
        leakage=np.zeros(TILE, np.float32),
        change=np.empty(TILE, np.float32),
        difference=np.empty(TILE if len(s.residue) else 0, s.base.dtype),
        events=np.empty(TILE, np.int32),
        words=np.empty(TILE, np.uint32),
        flags=np.zeros(TILE, np.uint8),
        room=np.empty(TILE // 8, np.int32),
        places=np.empty(TILE + 8, np.int32),
    )
