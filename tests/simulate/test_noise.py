"""Rates of the stochastic modes against the equations' and v2e's.

A test of k rates rejects at 1e-4 / k a rate (two-sided normal), so that it fails by chance once in 10,000 seeds; seeds are fixed.
"""

import json
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import t as student

from spikeva import DVSPixel, simulate
from spikeva.simulate.engines import tiles
from spikeva.simulate.noise import photoreceptor_vrms
from spikeva.simulate.sensor import build_sensor

LEVELS = (0, 16, 32, 64, 96, 128, 192, 255)


def bands(count: int, width: int = 128, height: int = 96) -> np.ndarray:
    """Still picture of 8 vertical bands of grey."""
    row = np.repeat(np.array(LEVELS, np.uint8), width // 8)
    return np.broadcast_to(row, (count, height, width))


@pytest.mark.parametrize(("on", "off"), [(0.2, 0.25), (0.3, 0.2), (0.2, 0.2)])
def test_noise_of_the_photoreceptor_grows_with_the_smaller_threshold(on: float, off: float) -> None:
    """As the mean of the smaller of two drawn thresholds does."""
    noisy = {"cutoff_hz": 30.0, "shot_noise_rate_hz": 5.0, "photoreceptor_noise": True}
    one = photoreceptor_vrms(DVSPixel(pos_thres=1.0, neg_thres=1.0, **noisy), 0.001)  # type: ignore[arg-type]  # numbers and a bool
    drawn = np.random.default_rng(0).normal((on, off), 0.04, (1_000_000, 2)).min(1).mean()
    pixel = DVSPixel(pos_thres=on, neg_thres=off, sigma_thres=0.04, **noisy)  # type: ignore[arg-type]  # numbers and a bool
    assert photoreceptor_vrms(pixel, 0.001) == pytest.approx(drawn * one, rel=1e-3)


@pytest.mark.parametrize(
    ("decades", "exponent"),  # of noise events a pole of the filter, and of the threshold over the noise's RMS
    [(0, 0.321), (-1, 0.4825), (-3, 0.6519), (-5, 0.7205)],
)
def test_noise_of_the_photoreceptor_is_v2es_fit(decades: int, exponent: float) -> None:
    """At frames so far apart that the filter passes all."""
    pixel = DVSPixel(cutoff_hz=50.0, shot_noise_rate_hz=100 * 10.0**decades, photoreceptor_noise=True)
    assert photoreceptor_vrms(pixel, 0.004) == pytest.approx(0.2 / 10**exponent)


def test_shot_noise_rates_are_the_equations() -> None:
    dt, count = 0.01, 501
    pixel = DVSPixel(shot_noise_rate_hz=5.0, pos_thres=10.0, neg_thres=10.0)  # so high that there is noise alone
    events = simulate(bands(count), np.arange(count) * dt, pixel, seed=3)
    trials = 16 * 96 * (count - 1)
    limit = NormalDist().inv_cdf(1 - 1e-4 / 2 / 16)
    for i, level in enumerate(LEVELS):
        p = 2.5 * dt * (1 - 0.75 * (level + 20) / 275)
        for polarity in (0, 1):
            n = int(((events.x // 16 == i) & (events.p == polarity)).sum())
            assert abs(n - trials * p) < limit * np.sqrt(trials * p * (1 - p)), (level, polarity)


@pytest.mark.vectors
@pytest.mark.parametrize("sigma", [0.0, 0.05])
def test_shot_noise_rates_are_v2es(shared: Path, sigma: float) -> None:
    stats = json.loads((shared / "vectors" / "v2e" / "noise_stats.json").read_text())[f"shot/5Hz_dt0.01_sig{sigma}"]
    dt, count = 0.01, 501
    pixel = DVSPixel(shot_noise_rate_hz=5.0, sigma_thres=sigma)
    events = simulate(bands(count), np.arange(count) * dt, pixel, seed=4)
    seconds = 16 * 96 * (count - 1) * dt
    limit = NormalDist().inv_cdf(1 - 1e-4 / 2 / 16)
    spread = np.mean((1 / np.maximum(NormalDist(1, sigma / 0.2 or 1e-9).samples(2000, seed=1), 0.05)) ** 2) - 1
    for polarity, name in ((1, "on"), (0, "off")):
        for i, theirs in enumerate(stats[name]):
            ours = ((events.x // 16 == i) & (events.p == polarity)).sum() / seconds
            # both counts are Poisson; drawn thresholds add their own spread over the 1536 pixels of a band
            variance = 2 * theirs / seconds + 2 * spread * theirs**2 / (16 * 96)
            assert abs(ours - theirs) < limit * np.sqrt(variance), (name, LEVELS[i])


@pytest.mark.vectors
@pytest.mark.parametrize("name", ["leak1_jit0.1_cov0.1", "leak1_jit0.1_cov0", "leak1_jit0_cov0"])
def test_leak_rates_are_v2es(shared: Path, name: str) -> None:
    stats = json.loads((shared / "vectors" / "v2e" / "noise_stats.json").read_text())[f"leak/{name}"]
    jitter, cov = (float(part.lstrip("jitcov")) for part in name.split("_")[1:])
    pixel = DVSPixel(leak_rate_hz=1.0, leak_jitter_fraction=jitter, noise_rate_cov_decades=cov)
    grey = np.broadcast_to(np.uint8(128), (1001, 96, 128))
    events = simulate(grey, np.arange(1001) * 0.01, pixel, seed=5)
    rate = len(events) / (96 * 128 * 10)
    assert events.p.all()
    spread = np.log(10) * cov
    error = np.sqrt(2 * (np.exp(spread**2) - 1) / (96 * 128)) + 1 / (96 * 128 * 10)
    assert abs(rate - stats["on_rate"]) < 3.9 * error + 0.005 * (jitter > 0)
    intervals = np.diff(np.sort(events.t[events.x == 7][events.y[events.x == 7] == 9])) / 1e6
    assert len(intervals) >= 4


@pytest.mark.vectors
@pytest.mark.parametrize("cutoff", [30.0, 100.0])
def test_photoreceptor_noise_is_v2es(shared: Path, cutoff: float, monkeypatch: pytest.MonkeyPatch) -> None:
    stats = json.loads((shared / "vectors" / "v2e" / "noise_stats.json").read_text())
    stats = stats[f"photoreceptor/5Hz_cut{cutoff}_dt0.001"]
    pixel = DVSPixel(cutoff_hz=cutoff, shot_noise_rate_hz=5.0, photoreceptor_noise=True, sigma_thres=0.03)
    amplitude = photoreceptor_vrms(pixel, 0.001)
    assert amplitude == pytest.approx(stats["vrms"], rel=0.04)  # v2e's is an estimate from random draws
    # The rate goes with about the eighth power of the amplitude, so compare at v2e's own draw.
    monkeypatch.setattr(tiles, "photoreceptor_vrms", lambda pixel, dt: stats["vrms"])
    events = simulate(bands(1501), np.arange(1501) * 0.001, pixel, seed=6)
    rate = len(events) / 2 / (128 * 96 * 1.5)
    assert rate == pytest.approx(np.mean([*stats["on"], *stats["off"]]), rel=0.12)
    order = np.lexsort((events.t, events.x, events.y))
    pixel_of, p = (events.y.astype(int) * 128 + events.x)[order], events.p[order].astype(int)
    same = pixel_of[1:] == pixel_of[:-1]
    assert np.mean(p[1:][same] != p[:-1][same]) == pytest.approx(stats["alternation"], abs=0.03)


@pytest.mark.vectors
@pytest.mark.parametrize("clip", ["blob", "flicker"])
def test_counts_of_the_presets_are_v2es(shared: Path, clip: str) -> None:
    """Two-sample t tests of the numbers of ON and OFF events over seeds: ours (20) against v2e's (5), 1e-3 for all of a clip."""
    folder, ours = shared / "vectors" / "v2e", 20
    stats = json.loads((folder / "noise_stats.json").read_text())
    presets = {"clean": "clean", "noisy": "noisy", "v2e-default": "cli_default"}
    with np.load(folder / f"{clip}_32x24.npz") as file:
        data = {name: file[name] for name in ("frames", "times_25fps", "times_1kfps")}
    for base in ("25fps", "1kfps"):
        for preset, name in presets.items():
            theirs = stats[f"preset/{clip}/{base}/{name}"]
            p = [simulate(data["frames"], data[f"times_{base}"], preset, seed=seed).p for seed in range(ours)]
            for polarity, label in ((1, "on"), (0, "off")):
                counts = np.array([(events == polarity).sum() for events in p])
                n = theirs["seeds"]
                freedom = ours + n - 2
                variance = (((counts - counts.mean()) ** 2).sum() + n * theirs[f"{label}_std"] ** 2) / freedom
                t = (counts.mean() - theirs[f"{label}_mean"]) / np.sqrt(variance * (1 / ours + 1 / n))
                assert abs(t) < student.ppf(1 - 1e-3 / 2 / 12, freedom), (base, preset, label, counts.mean(), theirs)


def test_drawn_thresholds_are_normal_and_bounded() -> None:
    for sigma in (0.02, 0.05, 0.1):
        sensor = build_sensor(DVSPixel(sigma_thres=sigma), (640, 480), 7, "v2e")
        for drawn in (sensor.on_step, sensor.off_step):
            clipped = float((drawn == np.float32(0.01)).mean())
            expected = NormalDist(0.2, sigma).cdf(0.01)
            assert clipped == pytest.approx(expected, abs=5 * np.sqrt(expected / drawn.size) + 1e-5)
            inside = drawn[drawn > 0.01]
            assert np.median(inside) == pytest.approx(
                0.2, abs=5 * 1.3 * sigma / np.sqrt(drawn.size) + sigma * clipped * 1.5
            )
        assert abs(np.corrcoef(sensor.on_step.ravel(), sensor.off_step.ravel())[0, 1]) < 5 / np.sqrt(640 * 480)


def test_what_differs_from_pixel_to_pixel_does_so_independently() -> None:
    pixel = DVSPixel(sigma_thres=0.02, leak_rate_hz=1.0, noise_rate_cov_decades=0.1, scidvs=True)
    sensor = build_sensor(pixel, (320, 240), 7, "v2e")
    maps = [sensor.on_step, sensor.off_step, np.log(sensor.leak_hz), np.log(sensor.decay_hz)]
    together = np.corrcoef([values.ravel() for values in maps])
    assert np.abs(together - np.eye(4)).max() < 5 / np.sqrt(320 * 240)
