"""The real v2e, where it is installed, behind the same signature. It draws its own random numbers, so noise differs from ours."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError
from spikeva.events.stream import Columns
from spikeva.simulate.sensor import Sensor
from spikeva.simulate.timing import join, microseconds

HOW = (
    "v2e is not on the package registry; install it with `pip install git+https://github.com/SensorsINI/v2e` "
    "or put a clone of it on PYTHONPATH, with what it imports (dv-processing, screeninfo, easygui, engineering_notation)"
)


def load() -> ModuleType:
    """The installed `v2ecore.emulator`. Raises UserError that says how to get it."""
    try:
        import v2ecore.emulator as emulator
    except ImportError as error:
        raise UserError(f"engine 'v2e' is not usable: {error}. {HOW}") from error
    return emulator


class V2EEngine:
    """State of one clip, inside v2e's own EventEmulator."""

    def __init__(self, sensor: Sensor) -> None:
        import torch

        if sensor.timing != "v2e":
            raise UserError(f"engine 'v2e' knows timing='v2e' only, got {sensor.timing!r}")
        module = load()
        pixel = sensor.pixel
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.emulator = module.EventEmulator(
            pos_thres=pixel.pos_thres,
            neg_thres=pixel.neg_thres,
            sigma_thres=0.0 if sensor.given else pixel.sigma_thres,
            cutoff_hz=pixel.cutoff_hz,
            leak_rate_hz=pixel.leak_rate_hz,
            refractory_period_s=pixel.refractory_period_s,
            shot_noise_rate_hz=pixel.shot_noise_rate_hz,
            photoreceptor_noise=pixel.photoreceptor_noise,
            leak_jitter_fraction=pixel.leak_jitter_fraction,
            noise_rate_cov_decades=pixel.noise_rate_cov_decades,
            cs_lambda_pixels=pixel.cs_lambda_pixels,
            cs_tau_p_ms=pixel.cs_tau_p_ms,
            scidvs=pixel.scidvs,
            output_width=sensor.size[0],
            output_height=sensor.size[1],
            device=device,
            seed=0,  # it would seed the generators of the whole process
        )
        if sensor.given:
            self.emulator.pos_thres = torch.from_numpy(sensor.on_step).to(device)
            self.emulator.neg_thres = torch.from_numpy(sensor.off_step).to(device)
        self.random = torch.Generator().manual_seed(sensor.seed).get_state()

    def advance(self, frames: NDArray[Any], seconds: NDArray[np.float64]) -> Columns:
        """Events of `frames` [T, H, W] (luma 0..255) at `seconds` [T] since the clip's first frame."""
        import torch

        parts = []
        with torch.random.fork_rng():  # v2e draws from the process's generator
            torch.set_rng_state(self.random)
            for frame, time in zip(frames, seconds, strict=True):
                picture = frame.copy()  # torch takes no negative strides
                events = self.emulator.generate_events(picture, float(time))
                if events is not None:
                    parts.append(_columns(events))
            self.random = torch.get_rng_state()
        return join(parts)


def _columns(events: NDArray[np.float32]) -> Columns:
    """Columns from v2e's rows (t s, x, y, +-1)."""
    t, x, y, p = events.T
    return microseconds(t), x.astype(np.uint16), y.astype(np.uint16), (p > 0).astype(np.uint8)
