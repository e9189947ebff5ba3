"""The engines make the same events, however a clip is cut and however many threads there are."""

import time
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from spikeva import DVSPixel, EventStream
from spikeva.errors import UserError
from spikeva.simulate import Simulator, exact, simulate
from spikeva.simulate.draws import philox
from spikeva.simulate.engines import compiled
from spikeva.simulate.engines.receptor import MAIN, REST
from spikeva.simulate.engines.tiles import TILE
from spikeva.simulate.luma import LUMA_AT, LUMA_STEPS, lin_log
from spikeva.simulate.timing import MOST_SLOTS, slot_times

PIXELS = {
    "ideal": DVSPixel(),
    "low-pass": DVSPixel(cutoff_hz=3000.0),
    "clean": DVSPixel.preset("clean"),
    "noisy": DVSPixel.preset("noisy"),
    "v2e-default": DVSPixel.preset("v2e-default"),
    "photoreceptor": DVSPixel(
        cutoff_hz=100.0,
        shot_noise_rate_hz=5.0,
        photoreceptor_noise=True,
        leak_rate_hz=0.3,
        leak_jitter_fraction=0.2,
        refractory_period_s=0.001,
    ),
    "surround": DVSPixel(cs_lambda_pixels=2.5, cs_tau_p_ms=5.0, shot_noise_rate_hz=10.0, sigma_thres=0.03),
    "scidvs": DVSPixel(scidvs=True, sigma_thres=0.03),
    "both noises at once": DVSPixel(shot_noise_rate_hz=1000.0, sigma_thres=0.05),  # ON and OFF of a pixel in one frame
    "long rest": DVSPixel(pos_thres=0.1, refractory_period_s=0.006, shot_noise_rate_hz=1.0),
    "surround that follows at once": DVSPixel(cs_lambda_pixels=2.5, leak_rate_hz=3.0),
    "scidvs with all else": DVSPixel(
        sigma_thres=0.03,
        cutoff_hz=100.0,
        leak_rate_hz=3.0,
        leak_jitter_fraction=0.2,
        shot_noise_rate_hz=5.0,
        photoreceptor_noise=True,
        refractory_period_s=0.0002,
        cs_lambda_pixels=2.5,
        cs_tau_p_ms=5.0,
        scidvs=True,
    ),
}


def clip(dtype: Any = np.uint8, count: int = 12, width: int = 61, height: int = 37) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (height, width)).astype(float)
    moving = [still * (0.6 + 0.5 * np.sin(i / 3 + np.arange(width) / 9)) for i in range(count)]
    return np.clip(moving, 0, 255).astype(dtype), 3.25 + 0.002 * np.arange(count) ** 1.3


def same(a: EventStream, b: EventStream) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in "txyp")


@pytest.mark.parametrize("timing", ["v2e", "crossing"])
@pytest.mark.parametrize("name", PIXELS)
def test_numba_and_torch_are_the_reference(name: str, timing: str) -> None:
    frames, times = clip()
    if name.startswith("scidvs"):
        times = np.arange(len(frames)) * 1e-3
    wanted = simulate(frames, times, PIXELS[name], seed=5, engine="reference", timing=timing)
    assert len(wanted) > 1000
    for engine in ("numba", "torch"):
        assert same(wanted, simulate(frames, times, PIXELS[name], seed=5, engine=engine, timing=timing)), engine


@pytest.mark.parametrize("timing", ["v2e", "crossing"])
@pytest.mark.parametrize("name", ["noisy", "photoreceptor", "both noises at once", "long rest"])
def test_pictures_of_several_tiles(name: str, timing: str) -> None:
    """Tiles begin within a row; their pixels have places, memories and random numbers of their own."""
    frames, times = clip(count=6, width=150, height=70)
    assert 2 * TILE < frames[0].size < 3 * TILE
    wanted, found = (
        simulate(frames, times, PIXELS[name], seed=5, engine=engine, timing=timing) for engine in ("reference", "numba")
    )
    assert same(wanted, found)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_shot_noise_where_a_random_number_lies_at_the_rate(dtype: Any) -> None:
    """Among a million draws some dozens need all their bits."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 600, 800)).astype(dtype)
    frames, times = frames[[0, 0, 1, 1]], np.arange(4) * 0.04
    pixel = DVSPixel(pos_thres=3.0, neg_thres=2.0, sigma_thres=0.5, shot_noise_rate_hz=5.0)
    wanted = simulate(frames, times, pixel, engine="reference")
    assert len(wanted) > 100_000
    assert same(wanted, simulate(frames, times, pixel, engine="numba"))


@pytest.mark.parametrize("pixel", [DVSPixel(), DVSPixel(sigma_thres=0.02), DVSPixel(cutoff_hz=1e6)])
def test_pixels_that_come_back(pixel: DVSPixel) -> None:
    """Flicker between few levels: differences that are whole thresholds but for rounding, up or down."""
    rng = np.random.default_rng(0)
    frames, times = rng.choice([10, 40, 160, 255], (12, 37, 61)).astype(np.uint8), np.arange(12) * 0.01
    streams = [simulate(frames, times, pixel, engine=engine) for engine in ("reference", "numba", "torch")]
    assert same(streams[0], streams[1])
    assert same(streams[0], streams[2])


@pytest.mark.parametrize("pixel", [DVSPixel(), DVSPixel(cutoff_hz=1e6)])
def test_thresholds_that_divide_a_step_but_for_rounding(pixel: DVSPixel) -> None:
    """A step of light is n thresholds, or hardly less: n or n - 1 events."""
    rng = np.random.default_rng(0)
    frames = rng.uniform(0, 255, (2, 120, 100)).astype(np.float32)
    n = rng.integers(1, 50, frames[0].shape)
    steps = lin_log(frames[1].astype(float)).astype(float) - lin_log(frames[0].astype(float))
    thresholds = np.abs(steps) / n
    streams = [
        simulate(frames, [0, 1], pixel, thresholds=(thresholds, thresholds), engine=engine)
        for engine in ("reference", "numba", "torch")
    ]
    assert n.sum() - n.size / 2 < len(streams[0]) < n.sum() - n.size / 4
    assert same(streams[0], streams[1])
    assert same(streams[0], streams[2])


def rest_and_unrest(dtype: Any) -> tuple[Any, Any]:
    """Two tiles of pixels, most of which rest; some flicker, all do for a while, all are black and white once, and some creep."""
    rng = np.random.default_rng(0)
    still = rng.uniform(0, 255, (60, 100))
    frames = np.repeat(still[None], 60, 0)
    frames[:, 20:22] = rng.choice([0, 10, 40, 160, 255], (60, 2, 100))
    frames[20:26] *= np.where(np.arange(6) % 2, 1, 0.3)[:, None, None]
    frames[40:42] = [np.zeros_like(still), np.full_like(still, 255)]
    frames[44:, 45:46] += np.linspace(-60, 60, 16)[:, None, None]
    return np.clip(frames, 0, 255).astype(dtype), np.arange(60) * 1e-3


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize(
    "pixel",
    [
        DVSPixel(),
        DVSPixel.preset("clean"),
        DVSPixel(pos_thres=0.01, neg_thres=0.015),
        DVSPixel(pos_thres=1.3, neg_thres=0.9, sigma_thres=0.3),
    ],
)
def test_pixels_that_rest_and_wake(pixel: DVSPixel, dtype: Any) -> None:
    frames, times = rest_and_unrest(dtype)
    wanted = simulate(frames, times, pixel, engine="reference")
    for block in (60, 7):
        camera = Simulator(pixel, engine="numba")
        found = [camera.feed(frames[i : i + block], times[i : i + block]) for i in range(0, 60, block)]
        assert same(wanted, EventStream.merge(*found))


@pytest.mark.parametrize(
    ("pixel", "timing"),
    [
        (DVSPixel(leak_rate_hz=100.0), "v2e"),
        (DVSPixel(shot_noise_rate_hz=20.0), "v2e"),
        (DVSPixel(cutoff_hz=30.0), "v2e"),
        (DVSPixel(refractory_period_s=0.002), "v2e"),
        (DVSPixel(), "crossing"),
    ],
)
def test_pixels_whose_light_rests_while_they_do_not(pixel: DVSPixel, timing: str) -> None:
    frames, times = rest_and_unrest(np.uint8)
    streams = [
        simulate(frames[:24], times[:24], pixel, engine=engine, timing=timing) for engine in ("reference", "numba")
    ]
    assert len(streams[0]) > 1000
    assert same(*streams)


def test_pixels_of_any_threshold_rest_and_wake() -> None:
    frames, times = rest_and_unrest(np.float32)
    on, off = (10 ** np.random.default_rng(i).uniform(-3, 30, (60, 100)) for i in range(2))
    on[20] = 1e-12  # a count beyond int32 is 0, as v2e's
    streams = [simulate(frames, times, thresholds=(on, off), engine=engine) for engine in ("reference", "numba")]
    assert len(streams[0]) > 1000
    assert same(*streams)


@pytest.mark.parametrize("brighter", [True, False])
def test_pixels_whose_luma_lies_on_a_bound(brighter: bool) -> None:
    """Rounding decides whether they make an event: the equations must be asked."""
    bounds = 1 + np.arange(600).reshape(60, 10)
    thresholds = np.full((60, 100), 0.5)
    thresholds[:, :10] = bounds / LUMA_STEPS
    frames = np.full((3, 60, 100), LUMA_AT[99])
    frames[2 if brighter else slice(2), :, :10] = LUMA_AT[99 + bounds]
    maps = thresholds, thresholds
    streams = [simulate(frames, [0, 1, 2], thresholds=maps, engine=engine) for engine in ("reference", "numba")]
    assert 400 < len(streams[0]) < 590
    assert same(*streams)


def test_times_late_in_a_clip() -> None:
    """A frame's times are counted from both its ends, as v2e's are: where float32 is coarse, it matters up to which one."""
    frames = np.random.default_rng(0).integers(0, 256, (600, 2, 2), np.uint8)
    pixel, times = DVSPixel(pos_thres=0.05, neg_thres=0.05), np.linspace(0, 30, 600)
    assert same(*(simulate(frames, times, pixel, engine=engine) for engine in ("reference", "numba")))


def test_float_luma_is_the_same_on_all_engines() -> None:
    frames, times = clip(np.float32)
    streams = [simulate(frames, times, "clean", engine=engine) for engine in ("reference", "numba", "torch")]
    assert same(streams[0], streams[1])
    assert same(streams[0], streams[2])
    assert not same(streams[0], simulate(frames.astype(np.uint8), times, "clean"))


@pytest.mark.parametrize("engine", ["reference", "numba", "torch"])
def test_events_do_not_depend_on_the_cut(engine: str) -> None:
    frames, times = clip()
    whole = simulate(frames, times, "noisy", seed=1, engine=engine)
    camera = Simulator("noisy", seed=1, engine=engine)
    cuts = [camera.feed(frames[a:b], times[a:b]) for a, b in ((0, 1), (1, 5), (5, 5), (5, 6), (6, 12))]
    assert same(whole, EventStream.merge(*cuts))
    streamed = Simulator("noisy", seed=1, engine=engine).stream(zip(frames, times, strict=True), pixels=5 * 61 * 37)
    assert same(whole, EventStream.merge(*streamed))


@pytest.mark.parametrize("engine", ["reference", "numba", "torch"])
def test_streaming_holds_one_block(engine: str) -> None:
    """However long the video: frames alive at a time, and the peak of memory beside a short one's."""
    size, block = (40, 64), 4
    alive, most = 0, 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def video(count: int) -> Iterator[tuple[Any, float]]:
        nonlocal alive, most
        rng = np.random.default_rng(0)
        for i in range(count):
            frame = rng.integers(0, 256, size).astype(np.uint8)
            weakref.finalize(frame, gone)
            alive += 1
            most = max(most, alive)
            yield frame, i * 0.01

    def peak(count: int) -> int:
        camera = Simulator("noisy", engine=engine, threads=1)
        tracemalloc.start()
        events = sum(len(part) for part in camera.stream(video(count), pixels=block * size[0] * size[1]))
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert events > 1000 * count
        return result

    peak(8)  # compile
    assert min(peak(80) for _ in range(3)) < 1.1 * min(peak(16) for _ in range(3))  # others' allocations only add
    assert most <= 2 * block + 1  # one block, and the next one's frames while its events are made


@pytest.mark.parametrize("preset", ["noisy", "v2e-default"])
def test_events_do_not_depend_on_threads(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "FEW", 1)  # else small frames that go one by one have one thread
    rng = np.random.default_rng(1)
    frames, times = rng.integers(0, 256, (6, 100, 200)).astype(np.uint8), np.arange(6) * 0.01
    streams = [simulate(frames, times, preset, threads=threads) for threads in (1, 2, 5)]
    assert same(streams[0], streams[1])
    assert same(streams[0], streams[2])


@pytest.mark.parametrize("timing", ["v2e", "crossing"])
@pytest.mark.parametrize("engine", ["reference", "numba", "torch"])
def test_more_events_of_a_pixel_than_light_can_make_are_an_error(engine: str, timing: str) -> None:
    frames = np.zeros((3, 4, 5), np.uint8)
    frames[2, 1, 1] = 255
    thresholds = np.full((2, 4, 5), 0.2)
    thresholds[:, 1, 1] = 1e-5
    with pytest.raises(
        UserError, match=r"a pixel made at least 5\d{5} events in the frame at 2\.0+ s: .* its threshold is tiny"
    ):
        simulate(frames, [0, 1, 2], thresholds=tuple(thresholds), engine=engine, timing=timing)


@pytest.mark.parametrize("slots", [1, 2, 3, 10, 1001, MOST_SLOTS])
@pytest.mark.parametrize("start", [0.0, 1e-5, 17.3, 1e4, 1e7])
def test_times_counted_from_both_ends_of_a_frame_do_not_cross(start: float, slots: int) -> None:
    for length in (1e-6, 1 / 30, 1.0, 700.0):
        times = slot_times(start, start + length, slots)
        assert len(times) == slots
        assert np.all(np.diff(times) >= 0)


def test_what_fails_in_a_thread_fails_when_all_are_done() -> None:
    done = []

    def work(i: int) -> None:
        if i % 2:
            raise ValueError(f"strip {i}")
        time.sleep(0.02)
        done.append(i)

    pool = compiled.Pool(4 * TILE, 4)
    for items in ([0, 1, 2, 4], [1, 0, 2, 4]):
        done.clear()
        with pytest.raises(ValueError, match="strip 1"):
            pool.map(work, items)
        assert sorted(done) == [0, 2, 4]


def test_seed_decides() -> None:
    frames, times = clip()
    assert same(simulate(frames, times, "noisy", seed=2**64 - 1), simulate(frames, times, "noisy", seed=2**64 - 1))
    assert not same(simulate(frames, times, "noisy", seed=1), simulate(frames, times, "noisy", seed=2))
    assert not same(simulate(frames, times, "noisy", seed=1), simulate(frames, times, "noisy", seed=1 + 2**32))


def test_the_low_passs_division_in_two_parts_is_exact() -> None:
    luma = np.arange(256) + 20.0
    assert np.array_equal(luma * REST + luma * MAIN, luma / 275)


def test_logarithm_and_sinh_of_tables_are_the_true_ones() -> None:
    x = np.geomspace(1, 255, 10_000)
    np.testing.assert_allclose(exact.log(x), np.log(x), rtol=0, atol=4e-15)
    y = np.geomspace(1e-6, 700, 10_000)
    y = np.concatenate([-y, [0], y])
    np.testing.assert_allclose(exact.sinh(y), np.sinh(y), rtol=2e-13, atol=1e-15)
    beyond = exact.sinh(np.array([-np.inf, -701.0, 701.0, np.inf, np.nan]))
    np.testing.assert_array_equal(beyond, [*exact.sinh(np.array([-700.0, -700.0, 700.0, 700.0])), np.nan])


def test_philox_known_answers() -> None:
    """Vectors of the Random123 distribution (kat_vectors, philox4x32-10)."""
    assert [int(w[0]) for w in philox(np.zeros(1, np.uint64), 0, 0, 0, 0)] == [
        0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8
    ]  # fmt: skip
    words = philox(
        np.array([0x243F6A88], np.uint64), 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822 | (0x299F31D0 << 32)
    )
    assert [int(w[0]) for w in words] == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@pytest.mark.parametrize("engine", ["reference", "numba", "torch"])
def test_mirrored_and_read_only_frames(engine: str) -> None:
    """A row that is turned round has a negative stride on an axis of length 1."""
    frames, times = clip(height=1)
    wanted = simulate(frames[:, ::-1, ::-1].copy(), times, "ideal", engine=engine)
    assert len(wanted)
    frames.flags.writeable = False
    assert same(wanted, simulate(frames[:, ::-1, ::-1], times, "ideal", engine=engine))
    assert len(simulate(frames, times, "ideal", engine=engine)) == len(wanted)


def test_strided_frames_and_a_batch_of_clips() -> None:
    import torch

    from spikeva.simulate.engines.device import simulate_batch
    from spikeva.simulate.sensor import build_sensor

    frames, times = clip()
    turned = np.ascontiguousarray(frames.transpose(0, 2, 1)).transpose(0, 2, 1)
    assert same(simulate(frames, times, "clean"), simulate(turned, times, "clean"))
    both = torch.from_numpy(np.stack([frames, frames[:, ::-1]]))
    sensors = [build_sensor(DVSPixel.preset("noisy"), (61, 37), seed, "v2e") for seed in (3, 4)]
    for i, (t, x, y, p) in enumerate(simulate_batch(both, times, sensors)):
        alone = simulate(both[i].numpy(), times - times[0], "noisy", seed=3 + i)
        assert same(alone, EventStream(t, x, y, p, (61, 37)))


def test_where_nothing_is_compiled_the_compiled_engine_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.config.DISABLE_JIT", 1)
    frames = np.zeros((2, 4, 4), np.uint8)
    with pytest.raises(UserError, match="unset NUMBA_DISABLE_JIT, or take engine='reference'"):
        simulate(frames, [0.0, 0.1])
    assert len(simulate(frames, [0.0, 0.1], engine="reference")) == 0
