"""What is fixed for a clip: the pixel's parameters and how each pixel of the array differs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError
from spikeva.simulate.draws import pixel_normals
from spikeva.simulate.pixel import DVSPixel

SCIDVS_GAIN, SCIDVS_TAU_S, SCIDVS_SPREAD, SCIDVS_EFOLD = 2.0, 0.01, 0.5, 1 / 0.7
"""v2e's constants of the SCIDVS pixel."""


@dataclass(frozen=True)
class Sensor:
    """An array of pixels. All maps are [H, W].

    `dtype` is the precision of the pixel's state, as in v2e: float64 behind a low-pass, else float32. Events are counted by
    `on` and `off` in that precision; the memorised brightness moves by `on_step` and `off_step` in float32.
    """

    pixel: DVSPixel
    size: tuple[int, int]
    seed: int
    timing: str
    given: bool  # thresholds were given, not drawn
    on: NDArray[Any]
    off: NDArray[Any]
    on_step: NDArray[np.float32]
    off_step: NDArray[np.float32]
    leak_hz: NDArray[np.float32]
    decay_hz: NDArray[np.float32]  # 1 / time constant of the SCIDVS high-pass

    @property
    def dtype(self) -> "np.dtype[Any]":
        return self.on.dtype

    @property
    def on_ratio(self) -> NDArray[np.float32]:
        """Nominal over own threshold: a pixel with a low one makes more shot noise."""
        return np.float32(self.pixel.pos_thres) / self.on_step

    @property
    def off_ratio(self) -> NDArray[np.float32]:
        """As `on_ratio`."""
        return np.float32(self.pixel.neg_thres) / self.off_step

    @property
    def refractory(self) -> np.float32:
        return np.float32(self.pixel.refractory_period_s)


def build_sensor(
    pixel: DVSPixel,
    size: tuple[int, int],
    seed: int,
    timing: str,
    thresholds: tuple[Any, Any] | None = None,
    normals: Callable[[int, tuple[int, int], int], NDArray[np.float32]] = pixel_normals,
) -> Sensor:
    """The array of `size` (width, height) whose pixel-to-pixel differences are drawn from `seed`.

    `thresholds` gives the ON and OFF maps [H, W] instead of drawing them; `normals` is `draws.pixel_normals` or a faster double.
    """
    shape = size[1], size[0]
    dtype = np.dtype(np.float64 if pixel.cutoff_hz > 0 else np.float32)
    spread_thresholds = thresholds is None and pixel.sigma_thres > 0
    needed = 4 if pixel.scidvs else 3 if pixel.leak_rate_hz > 0 else 2 if spread_thresholds else 0
    drawn = normals(seed, size, needed) if needed else np.empty((0, *shape), np.float32)
    nominal = pixel.pos_thres, pixel.neg_thres
    if thresholds is not None:
        steps = [_checked(m, shape, n) for m, n in zip(thresholds, ("ON", "OFF"), strict=True)]
    elif pixel.sigma_thres > 0:
        steps = [drawn[0], drawn[1]]
        for step, value in zip(steps, nominal, strict=True):
            step *= np.float32(pixel.sigma_thres)
            step += np.float32(value)
            np.maximum(step, np.float32(0.01), out=step)  # floor: v2e's
    else:
        steps = [np.full(shape, value, np.float32) for value in nominal]
    if thresholds is None and pixel.sigma_thres == 0:  # the float64 value itself where the state is float64
        counted = [np.full(shape, value, dtype) for value in nominal]
    else:
        counted = [m.astype(dtype, copy=False) for m in steps]
    leak_hz, decay_hz = (np.zeros(shape, np.float32) for _ in range(2))
    if pixel.leak_rate_hz > 0:
        spread = np.exp(np.float32(math.log(10) * pixel.noise_rate_cov_decades) * drawn[2])
        leak_hz = np.float32(pixel.leak_rate_hz) * spread
    if pixel.scidvs:
        decay_hz = 1 / (np.float32(SCIDVS_TAU_S) * np.exp(np.float32(SCIDVS_SPREAD) * drawn[3]))
    return Sensor(
        pixel=pixel,
        size=size,
        seed=seed,
        timing=timing,
        given=thresholds is not None,
        on=counted[0],
        off=counted[1],
        on_step=steps[0],
        off_step=steps[1],
        leak_hz=leak_hz,
        decay_hz=decay_hz,
    )


def _checked(values: Any, shape: tuple[int, int], name: str) -> NDArray[np.float32]:
    try:
        given = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"thresholds: the {name} map must be [H, W] numbers ({error})") from error
    if given.shape != shape:
        raise UserError(f"thresholds: the {name} map has shape {given.shape}, the frames need {shape} (H, W)")
    if not (np.isfinite(given).all() and (given > 0).all()):
        raise UserError(f"thresholds: the {name} map must be finite and above 0 everywhere")
    return given
