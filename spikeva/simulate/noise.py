"""The amplitude of the photoreceptor's noise that makes a wanted rate of noise events."""

import math

from spikeva.simulate.pixel import DVSPixel


def filter_step(pixel: DVSPixel, dt: float) -> float:
    """Weight of the new sample in the low-pass with fixed corner frequency; at most 1 (v2e's diverges above 2)."""
    return min(1.0, dt / (1 / (math.pi * 2 * pixel.cutoff_hz)))


def photoreceptor_vrms(pixel: DVSPixel, dt: float) -> float:
    """RMS (ln units) of white noise at frames `dt` s apart which, low-passed, gives `shot_noise_rate_hz`.

    The ratio of threshold to noise is v2e's cubic fit in log10(rate / bandwidth) to Graca and Delbruck 2021
    (arXiv 2109.08640, figure 3). v2e averages over 300 drawn pairs of thresholds and measures the filter's gain on a drawn
    sequence; here both are exact: the mean of the smaller of two normal thresholds (Clark 1961) and the gain of the
    recursion, sqrt(eps / (2 - eps)).
    """
    x = math.log10(pixel.shot_noise_rate_hz / pixel.cutoff_hz / 2)
    ratio = 10 ** (-0.0026 * x**3 - 0.036 * x**2 - 0.1949 * x + 0.321)
    on, off, spread = pixel.pos_thres, pixel.neg_thres, math.sqrt(2) * pixel.sigma_thres
    smaller = min(on, off)
    if spread > 0:
        a = (off - on) / spread
        below = 0.5 * math.erfc(-a / math.sqrt(2))
        smaller = on * below + off * (1 - below) - spread * math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    eps = filter_step(pixel, dt)
    return smaller / ratio * math.sqrt((2 - eps) / eps)
