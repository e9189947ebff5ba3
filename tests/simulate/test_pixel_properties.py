"""What the equations say must follow when a clip is changed, and how bad input is refused."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spikeva import DVSPixel
from spikeva.errors import UserError
from spikeva.simulate import Simulator, simulate
from spikeva.simulate.frames import to_luma, to_luma_of_tensor

CLIPS = arrays(np.uint8, (5, 7, 9))
TIMES = np.arange(5) * 0.01
quick = settings(max_examples=25)


def rows(frames: Any, times: Any = TIMES, pixel: Any = "ideal", **kw: Any) -> list[tuple[int, ...]]:
    e = simulate(frames, times, pixel, **kw)
    return sorted(zip(*(getattr(e, n).tolist() for n in "txyp"), strict=True))


EVERYTHING = DVSPixel(
    sigma_thres=0.03,
    cutoff_hz=30.0,
    leak_rate_hz=2.0,
    leak_jitter_fraction=0.2,
    noise_rate_cov_decades=0.1,
    shot_noise_rate_hz=5.0,
    refractory_period_s=0.004,
)


@quick
@given(
    CLIPS,
    st.sampled_from([0.25, 2.0, 8.0]),
    st.sampled_from([DVSPixel.preset("clean"), EVERYTHING, replace(EVERYTHING, photoreceptor_noise=True)]),
    st.sampled_from(["v2e", "crossing"]),
)
def test_time_has_no_scale_of_its_own(frames: Any, factor: float, pixel: DVSPixel, timing: str) -> None:
    """A clip played slower, seen by a pixel whose rates are as much lower: the same events one by one, as much later."""
    slower = replace(
        pixel,
        cutoff_hz=pixel.cutoff_hz / factor,
        leak_rate_hz=pixel.leak_rate_hz / factor,
        shot_noise_rate_hz=pixel.shot_noise_rate_hz / factor,
        refractory_period_s=pixel.refractory_period_s * factor,
    )
    a = simulate(frames, TIMES, pixel, seed=1, timing=timing)
    b = simulate(frames, TIMES * factor, slower, seed=1, timing=timing)
    fast, slow = (np.stack([e.t, e.y, e.x, e.p]).astype(np.int64) for e in (a, b))
    if timing == "crossing":  # events of one microsecond are in raster order: compare pixel by pixel
        fast, slow = (e[:, np.lexsort((e[2], e[1]))] for e in (fast, slow))
    np.testing.assert_array_equal(fast[1:], slow[1:])
    assert np.abs(slow[0] - fast[0] * factor).max(initial=0) <= (1 + factor) / 2


@quick
@given(CLIPS)
def test_still_prefix_only_delays(frames: Any) -> None:
    still = np.concatenate([frames[:1]] * 3 + [frames])
    times = np.concatenate([[0.0, 0.1, 0.2], 0.3 + TIMES])
    late = rows(still, times)
    assert [(x, y, p) for _, x, y, p in sorted(late, key=lambda r: r[1:])] == [
        (x, y, p) for _, x, y, p in sorted(rows(frames), key=lambda r: r[1:])
    ]
    assert all(t > 300_000 - 1 for t, *_ in late)


@quick
@given(CLIPS)
def test_transposed_picture(frames: Any) -> None:
    assert rows(frames.transpose(0, 2, 1)) == sorted((t, y, x, p) for t, x, y, p in rows(frames))


@quick
@given(arrays(np.uint8, (5, 7, 9), elements=st.integers(21, 255)))
def test_inverted_contrast_swaps_polarity(frames: Any) -> None:
    """L -> c - L in ln units is I -> k / I; with the thresholds swapped, ON becomes OFF at the same times."""
    inverted = 21 * 255 / frames.astype(np.float64)
    pixel = DVSPixel(pos_thres=0.17, neg_thres=0.31)
    ours = rows(frames.astype(np.float64), pixel=pixel)
    theirs = rows(inverted, pixel=replace(pixel, pos_thres=0.31, neg_thres=0.17))
    a, b = np.zeros((2, 7, 9, 2)), None
    b = a[1]
    for _, x, y, p in ours:
        a[0][y, x, p] += 1
    for _, x, y, p in theirs:
        b[y, x, 1 - p] += 1
    assert np.abs(a[0] - b).max() <= 1  # a difference at a threshold may fall to either side by rounding
    assert (a[0] != b).sum() <= 2


@pytest.mark.parametrize("engine", ["reference", "numba", "torch"])
def test_the_last_pixel_of_the_widest_picture(engine: str) -> None:
    frames = np.zeros((2, 1, 65536), np.uint8)
    frames[1, 0, -1] = 255
    assert set(simulate(frames, TIMES[:2], "ideal", engine=engine).x) == {65535}


@pytest.mark.parametrize("engine", ["reference", "numba", "torch"])
def test_constant_video_is_silent(engine: str) -> None:
    frames = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 24, 32)).astype(np.uint8), 10, axis=0)
    for pixel in ("ideal", "clean", DVSPixel(cutoff_hz=30.0, refractory_period_s=0.001)):
        assert len(simulate(frames, np.arange(10) * 0.04, pixel, engine=engine)) == 0


@pytest.mark.parametrize("engine", ["reference", "numba", "torch"])
def test_a_surround_without_a_time_constant_follows_at_once(engine: str) -> None:
    """However close the frames: light that changes everywhere alike is not seen, an edge is."""
    frames = np.array([50, 200], np.uint8)[:, None, None] * np.ones((1, 6, 8), np.uint8)
    for tau, seen in ((None, 0), (0.0, 0), (5.0, 6 * 8)):
        events = simulate(frames, [0, 1e-4], DVSPixel(cs_lambda_pixels=2.0, cs_tau_p_ms=tau), engine=engine)
        assert len(set(zip(events.x, events.y, strict=True))) == seen
    frames[1, :, 4:] = 50
    assert len(simulate(frames, [0, 1e-4], DVSPixel(cs_lambda_pixels=2.0), engine=engine)) > 0


def test_crossing_times_of_a_ramp() -> None:
    """ln I rises by 1 in 1 s: with threshold 0.2 events come at 0.2, 0.4, ... s."""
    times = np.array([0.0, 0.25, 0.5, 0.95])
    frames = (50.0 * np.exp(times))[:, None, None] * np.ones((1, 2, 3))
    events = simulate(frames, times, "ideal", timing="crossing")
    np.testing.assert_allclose(events.t[::6] / 1e6, [0.2, 0.4, 0.6, 0.8], atol=1e-5)
    assert len(events) == 24
    assert events.p.all()


def test_busiest_pixel_sets_v2es_times() -> None:
    """v2e's known artefact: a pixel with 1 event fires at the first of the 4 steps that the busiest one needs."""
    frames = np.array([[[50.0, 50.0]], [[50.0 * np.exp(0.85), 50.0 * np.exp(0.25)]]])
    events = simulate(frames, [0.0, 0.04], "ideal")
    assert events.t.tolist() == [10_000, 10_000, 20_000, 30_000, 40_000]
    assert events.x.tolist() == [0, 1, 0, 0, 0]


def test_times_start_where_the_clip_starts() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 5)).astype(np.uint8)
    a, b = simulate(frames, [0, 0.1, 0.2], "ideal"), simulate(frames, [100, 100.1, 100.2], "ideal")
    assert np.abs(a.t + 100_000_000 - b.t).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_luma_of_a_tensor_is_that_of_an_array(dtype: type) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (500, 800, 3)).astype(dtype) * (dtype(0.7) if dtype is not np.uint8 else dtype(1))
    found = to_luma_of_tensor(torch.from_numpy(rgb))
    np.testing.assert_array_equal(found.numpy(), to_luma(rgb))
    assert found.numpy().dtype == to_luma(rgb).dtype == dtype


def test_rgb_is_bt601_luma() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    luma = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in rgb])
    assert np.abs(luma - rgb @ np.array([0.299, 0.587, 0.114])).max() < 0.51
    assert rows(rgb, TIMES[:3]) == rows(luma, TIMES[:3])


GOOD = np.zeros((3, 4, 5), np.uint8)
NAN = np.full((3, 4, 5), np.nan)


@pytest.mark.parametrize(
    ("frames", "times", "kw", "message"),
    [
        (GOOD[:1], [0.0], {}, "at least 2 frames, got 1"),
        (NAN, TIMES[:3], {}, r"luma in 0\.\.255, found nan at index \(0, 0, 0\)"),
        (GOOD + 256.0, TIMES[:3], {}, r"0\.\.255, found 256"),
        (GOOD + 0.5, TIMES[:3], {}, r"0\.\.255, got floats of at most 0\.5; multiply them by 255"),
        (GOOD + 1.0, TIMES[:3], {}, r"0\.\.255, got floats of at most 1; multiply them by 255"),
        (GOOD.astype(np.int16) - 1, TIMES[:3], {}, r"0\.\.255, found -1"),
        (GOOD[0], TIMES[:4], {}, r"\[T, H, W\] luma"),
        (GOOD[:, :, :0], TIMES[:3], {}, "no pixels"),
        (np.zeros((2, 1, 65537), np.uint8), TIMES[:2], {}, "at most 65536 pixels wide and high, found 65537 x 1"),
        (GOOD > 0, TIMES[:3], {}, "got bool"),
        (GOOD, [0.0, 0.1], {}, "one time in seconds a frame: 3 frames"),
        (GOOD, [0.0, 0.1, 0.1], {}, "must increase: frame 2 is at 0.1 s"),
        (GOOD, [0.0, np.nan, 1.0], {}, "finite seconds, found nan at frame 1"),
        (GOOD, [1.7e15, 1.7e15 + 4e4, 1.7e15 + 8e4], {}, r"must be seconds, found 1\.7e\+15; are these micro-"),
        (GOOD, [0, 1e11, 2e11], {"timing": "crossing"}, r"span 2e\+11 s at once .* micro-"),
        (GOOD, ["a", "b", "c"], {}, "must be seconds, as numbers"),
        (GOOD, np.arange(3).astype("timedelta64[ms]"), {}, r"must be seconds, as numbers \(found timedelta64\[ms\]\)"),
        (iter(GOOD), TIMES[:3], {}, "got iterator; frames that come one by one go to Simulator.stream"),
        ([[[1, 2]], [[1, 2, 3]]], TIMES[:2], {}, "frames must be an array .*inhomogeneous"),
        (torch.zeros(3, 4, 5, dtype=torch.bfloat16), TIMES[:3], {}, "frames must be an array .*BFloat16"),
        (GOOD, TIMES[:3], {"pixel": "cleen"}, "did you mean 'clean'"),
        (GOOD, TIMES[:3], {"engine": "nunba"}, "did you mean 'numba'"),
        (GOOD, TIMES[:3], {"timing": "esim"}, "there are: v2e, crossing"),
        (GOOD, TIMES[:3], {"interpolation": "flw"}, "did you mean 'flow'"),
        (GOOD, TIMES[:3], {"subframes": 3}, "subframes need an interpolation .*, got 3 with 'none'"),
        (GOOD, TIMES[:3], {"interpolation": None}, "unknown interpolation None"),
        (
            GOOD,
            TIMES[:3],
            {"interpolation": "flow", "subframes": 2.5},
            r"subframes must be a whole number .*, got 2\.5",
        ),
        (GOOD, TIMES[:3], {"threads": 1.5}, r"threads must be a whole number of at least 1, got 1\.5"),
        (GOOD, TIMES[:3], {"threads": "2"}, "threads must be a whole number of at least 1, got '2'"),
        (GOOD, TIMES[:3], {"seed": -1}, "seed must be"),
        (GOOD, TIMES[:3], {"thresholds": 0.2}, r"thresholds must be a pair of maps \(ON, OFF\)"),
        (GOOD, TIMES[:3], {"thresholds": (GOOD, GOOD, GOOD)}, r"thresholds must be a pair of maps \(ON, OFF\)"),
        (GOOD, TIMES[:3], {"thresholds": ("a", "b")}, r"ON map must be \[H, W\] numbers"),
        (GOOD, TIMES[:3], {"thresholds": (np.ones((4, 5)), np.ones((5, 4)))}, r"OFF map has shape \(5, 4\)"),
        (GOOD, TIMES[:3], {"thresholds": (np.zeros((4, 5)), np.ones((4, 5)))}, "ON map must be finite and above 0"),
    ],
)
def test_bad_input(frames: Any, times: Any, kw: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        simulate(frames, times, **kw)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pos_thres": 0.0}, "pos_thres must be at least 0.01"),
        ({"neg_thres": float("nan")}, "neg_thres must be a finite number"),
        ({"cutoff_hz": -1.0}, "cutoff_hz must not be negative"),
        ({"photoreceptor_noise": True}, "needs shot_noise_rate_hz > 0 and cutoff_hz > 0"),
        ({"cs_tau_p_ms": 5.0}, "set both or neither"),
        ({"scidvs": 1}, "must be True or False"),
    ],
)
def test_bad_pixel(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DVSPixel(**values)


def test_numbers_of_numpy_become_pythons() -> None:
    pixel = DVSPixel(pos_thres=np.float32(0.25), cutoff_hz=np.int64(30), cs_lambda_pixels=np.float64(2))  # type: ignore[arg-type]  # NumPy's own
    assert pixel == DVSPixel(pos_thres=0.25, cutoff_hz=30.0, cs_lambda_pixels=2.0)
    assert {type(v) for v in (pixel.pos_thres, pixel.cutoff_hz, pixel.cs_lambda_pixels)} == {float}


def test_a_clip_goes_on_in_time_and_size() -> None:
    camera = Simulator("ideal")
    camera.feed(GOOD, TIMES[:3])
    with pytest.raises(UserError, match="must increase: frame 3 is"):
        camera.feed(GOOD, TIMES[:3])
    with pytest.raises(UserError, match=r"changed size .* at frame 3"):
        camera.feed(GOOD[:, :2], TIMES[:3] + 1)


@pytest.mark.parametrize(
    ("frame", "time", "message"),
    [
        (GOOD[0], 0.6, "must increase: frame 7 is at 0.6 s, the one before at 0.6 s"),
        (GOOD[0], np.nan, "found nan at frame 7"),
        (GOOD[0, :3], 0.7, "changed size within a clip: .* at frame 7"),
        (NAN[0], 0.7, r"found nan at index \(7, 0, 0\)"),
    ],
)
def test_frames_of_a_stream_count_from_its_start(frame: Any, time: float, message: str) -> None:
    """Whether the frame is the first of its block or not."""
    clip = [(GOOD[0], 0.1 * i) for i in range(7)]
    for block in (1, 4, 100):
        with pytest.raises(UserError, match=message):
            list(Simulator("ideal").stream([*clip[:6], (GOOD[0], 0.6), (frame, time)], pixels=block * 20))
