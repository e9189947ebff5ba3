"""The parameters of an event camera's pixel, under v2e's names, and the presets."""

import math
from dataclasses import dataclass, fields
from numbers import Real

from spikeva.errors import UserError
from spikeva.registry import unknown


@dataclass(frozen=True)
class DVSPixel:
    """What a pixel does to light. The defaults are an ideal pixel; see `DVSPixel.preset` for v2e's.

    Thresholds are in ln units, rates in Hz, times in seconds unless the name says otherwise. Raises UserError for values that
    are not allowed, alone or together.

    Args:
        pos_thres: nominal ON contrast threshold.
        neg_thres: nominal OFF contrast threshold.
        sigma_thres: standard deviation of the thresholds over the pixels (0: none).
        cutoff_hz: corner frequency of the photoreceptor's low-pass in white light; it falls with intensity (0: no low-pass).
        leak_rate_hz: ON events a pixel and second from the leak of the reset switch.
        leak_jitter_fraction: jitter of the leak from frame to frame, as a fraction.
        noise_rate_cov_decades: spread of the leak rate over the pixels, in decades.
        shot_noise_rate_hz: noise events a pixel and second (both polarities) in the dark; a quarter of it in white light.
        refractory_period_s: dead time after an event.
        photoreceptor_noise: make the shot noise from noise of the photoreceptor's voltage (ON and OFF alternate, as in
            real pixels) instead of from independent events. Needs `shot_noise_rate_hz` and `cutoff_hz`.
        cs_lambda_pixels: length constant of a center-surround pixel's surround (None: no surround).
        cs_tau_p_ms: time constant of the surround in ms (None or 0: it follows at once).
        scidvs: the SCIDVS pixel, with a nonlinear high-pass and a gain of 2 after the photoreceptor.
    """

    pos_thres: float = 0.2
    neg_thres: float = 0.2
    sigma_thres: float = 0.0
    cutoff_hz: float = 0.0
    leak_rate_hz: float = 0.0
    leak_jitter_fraction: float = 0.0
    noise_rate_cov_decades: float = 0.0
    shot_noise_rate_hz: float = 0.0
    refractory_period_s: float = 0.0
    photoreceptor_noise: bool = False
    cs_lambda_pixels: float | None = None
    cs_tau_p_ms: float | None = None
    scidvs: bool = False

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.type is bool:
                if not isinstance(value, bool):
                    raise UserError(f"DVSPixel: {f.name} must be True or False, got {value!r}")
            elif value is None and f.default is None:
                continue
            elif isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise UserError(f"DVSPixel: {f.name} must be a finite number, got {value!r}")
            elif value < 0:
                raise UserError(f"DVSPixel: {f.name} must not be negative, got {value}")
            elif not isinstance(value, int):  # NumPy's, too: recipes are written as JSON
                object.__setattr__(self, f.name, float(value))
        for name in ("pos_thres", "neg_thres"):
            if getattr(self, name) < 0.01:  # v2e's own floor for drawn thresholds
                raise UserError(f"DVSPixel: {name} must be at least 0.01 (ln units), got {getattr(self, name)}")
        if self.cs_lambda_pixels == 0:
            raise UserError("DVSPixel: cs_lambda_pixels must be above 0, or None for a pixel without surround")
        if self.cs_tau_p_ms and self.cs_lambda_pixels is None:
            raise UserError("DVSPixel: cs_tau_p_ms is set without cs_lambda_pixels; set both or neither")
        if self.photoreceptor_noise and not (self.shot_noise_rate_hz > 0 and self.cutoff_hz > 0):
            raise UserError(
                "DVSPixel: photoreceptor_noise needs shot_noise_rate_hz > 0 and cutoff_hz > 0 "
                f"(they are {self.shot_noise_rate_hz} and {self.cutoff_hz})"
            )

    @classmethod
    def preset(cls, name: str) -> "DVSPixel":
        """The preset `ideal` (ours), or v2e's `clean`, `noisy` or `v2e-default` (the defaults of v2e's command line).

        Raises UserError for another name.
        """
        if name not in PRESETS:
            raise UserError(unknown("pixel preset", name, PRESETS))
        return PRESETS[name]


PRESETS = {
    "ideal": DVSPixel(),
    "clean": DVSPixel(sigma_thres=0.02),
    "noisy": DVSPixel(
        sigma_thres=0.05,
        cutoff_hz=30.0,
        leak_rate_hz=0.1,
        leak_jitter_fraction=0.1,
        noise_rate_cov_decades=0.1,
        shot_noise_rate_hz=5.0,
    ),
    "v2e-default": DVSPixel(
        sigma_thres=0.03,
        cutoff_hz=300.0,
        leak_rate_hz=0.01,
        leak_jitter_fraction=0.1,
        noise_rate_cov_decades=0.1,
        shot_noise_rate_hz=0.001,
        refractory_period_s=0.0005,
    ),
}
"""v2e's presets (v2ecore/emulator.py set_dvs_params, v2ecore/v2e_args.py) and `ideal`."""
