"""The Triton kernels make the reference engine's events in its order: in Triton's interpreter, and on a GPU where there is one."""

import importlib.util
import re
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spikeva import DVSPixel
from spikeva.errors import UserError
from spikeva.events import EventStream
from spikeva.simulate import Simulator, simulate
from spikeva.simulate.engines import device as torch_engine
from spikeva.simulate.engines.device import TorchEngine, simulate_batch, simulate_on_device
from spikeva.simulate.engines.reference import ReferenceEngine
from spikeva.simulate.sensor import Sensor, build_sensor

pytest.importorskip("triton")
from spikeva.simulate.engines import cuda

PIXELS = {
    "clean": DVSPixel.preset("clean"),
    "noisy": DVSPixel.preset("noisy"),
    "v2e-default": DVSPixel.preset("v2e-default"),
    "ideal behind a low-pass": DVSPixel(cutoff_hz=300.0),  # thresholds that are no float32 numbers
    "both noises at once": DVSPixel(shot_noise_rate_hz=1000.0, sigma_thres=0.05),  # ON and OFF of a pixel in one frame
    "long rest": DVSPixel(pos_thres=0.1, refractory_period_s=0.006, shot_noise_rate_hz=1.0),
}
WIDTH, HEIGHT = 24, 10


def load() -> ModuleType:
    """A fresh copy of the kernels' module."""
    spec = importlib.util.find_spec("spikeva.simulate.engines.cuda_kernels")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def interpreted(interpreter: None) -> ModuleType:
    """The kernels in Triton's interpreter and in blocks of few pixels.

    Triton decides when a kernel is defined whether to interpret it, one of its own library too: it is imported a second time.
    """
    triton = [name for name in sys.modules if re.match(r"triton(?!\._C)(\.|$)", name)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        for name in triton:
            patch.delitem(sys.modules, name)
        kernels = load()
        for name in [name for name in sys.modules if re.match(r"triton(?!\._C)(\.|$)", name)]:
            del sys.modules[name]
    kernels.BLOCK = 128
    return kernels


@pytest.fixture(params=["interpreter", "cuda"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where frames are put so that the kernels run: a GPU, or the CPU with Triton's interpreter."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        return "cuda"
    kernels = request.getfixturevalue("interpreted")
    monkeypatch.setattr(cuda, "kernels", kernels)
    monkeypatch.setitem(cuda.LAUNCH, "BLOCK", kernels.BLOCK)
    monkeypatch.setattr(torch_engine, "has_kernels", lambda device: True)
    return "cpu"


def clip(dtype: Any = np.uint8, count: int = 5, width: int = WIDTH, height: int = HEIGHT) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (height, width)).astype(float)
    moving = [still * (0.6 + 0.5 * np.sin(i / 3 + np.arange(width) / 9)) for i in range(count)]
    return np.clip(moving, 0, 255).astype(dtype), 0.002 * np.arange(count) ** 1.3


def sensor(pixel: DVSPixel, timing: str, seed: int = 5, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Sensor:
    return build_sensor(pixel, size, seed, timing)


def assert_same(found: Any, wanted: Any) -> None:
    for name, a, b in zip("txyp", found, wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, name)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("timing", ["v2e", "crossing"])
@pytest.mark.parametrize("name", PIXELS)
def test_kernels_are_the_reference(name: str, timing: str, dtype: Any, device: str) -> None:
    frames, times = clip(dtype)
    camera = sensor(PIXELS[name], timing)
    wanted = ReferenceEngine(camera).advance(frames, times)
    assert len(wanted[0]) > 150
    engine = TorchEngine(camera)
    assert_same(engine.advance(torch.from_numpy(frames).to(device), times), wanted)
    assert isinstance(engine.kernels, cuda.KernelRunner)


@pytest.mark.parametrize("timing", ["v2e", "crossing"])
@pytest.mark.parametrize("name", ["noisy", "v2e-default"])
@pytest.mark.parametrize("limits", [{"CHUNK": 2 * WIDTH * HEIGHT}, {"TABLE": 8}, {}])
def test_events_do_not_depend_on_the_cut(
    limits: dict[str, int], name: str, timing: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on calls nor on chunks, on spans of a chunk with a table, or on when events go to the host."""
    frames, times = clip()
    camera = sensor(PIXELS[name], timing)
    wanted = ReferenceEngine(camera).advance(frames, times)
    for limit, value in limits.items():
        monkeypatch.setattr(cuda, limit, value)
    monkeypatch.setattr(torch_engine, "HELD", 100)
    engine, given = TorchEngine(camera), torch.from_numpy(frames).to(device)
    cuts = [engine.advance(given[a:b], times[a:b]) for a, b in ((0, 1), (1, 2), (2, 2), (2, len(frames)))]
    assert_same([np.concatenate(column) for column in zip(*cuts, strict=True)], wanted)


@pytest.mark.parametrize("timing", ["v2e", "crossing"])
@pytest.mark.parametrize("name", ["clean", "v2e-default"])
def test_a_batch_of_clips(name: str, timing: str, device: str) -> None:
    frames, times = clip(count=4, width=21, height=7)  # no multiple of anything
    clips = np.stack([frames, frames[:, ::-1], 255 - frames])
    cameras = [sensor(PIXELS[name], timing, seed, (21, 7)) for seed in (3, 2**63 + 1, 5)]
    given = torch.from_numpy(clips).to(device)
    staying = simulate_on_device(given, times, cameras)
    for i, events in enumerate(simulate_batch(given, times, cameras)):
        assert_same(events, ReferenceEngine(cameras[i]).advance(clips[i], times))
        assert all(column.device == given.device for column in staying[i])
        assert_same([column.cpu().numpy() for column in staying[i]], events)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=arrays(np.uint8, (4, 5, 7)) | arrays(np.float64, (4, 5, 7), elements=st.floats(0, 255)),
    steps=st.lists(st.floats(1e-6, 5.0), min_size=3, max_size=3),
    pixel=st.builds(
        DVSPixel,
        pos_thres=st.floats(0.05, 1),
        neg_thres=st.floats(0.05, 1),
        sigma_thres=st.sampled_from([0, 0.05]),
        cutoff_hz=st.sampled_from([0, 30, 3000]),
        leak_rate_hz=st.sampled_from([0, 0.5]),
        leak_jitter_fraction=st.floats(0, 1),
        shot_noise_rate_hz=st.sampled_from([0, 5]),
        refractory_period_s=st.sampled_from([0, 1e-4, 0.01]),
    ),
    timing=st.sampled_from(["v2e", "crossing"]),
)
def test_any_pixel_any_times(frames: Any, steps: list[float], pixel: DVSPixel, timing: str, device: str) -> None:
    times = np.cumsum([0.0, *steps])
    camera = sensor(pixel, timing, size=(7, 5))
    found = TorchEngine(camera).advance(torch.from_numpy(frames).to(device), times)
    assert_same(found, ReferenceEngine(camera).advance(frames, times))


@pytest.mark.parametrize("pixel", [DVSPixel(), DVSPixel(sigma_thres=0.02), DVSPixel(cutoff_hz=1e6)])
def test_pixels_that_come_back(pixel: DVSPixel, device: str) -> None:
    """Flicker between few levels: differences that are whole thresholds but for rounding, up or down."""
    rng = np.random.default_rng(0)
    frames, times = rng.choice([10, 40, 160, 255], (6, HEIGHT, WIDTH)).astype(np.uint8), np.arange(6) * 0.01
    camera = sensor(pixel, "v2e")
    found = TorchEngine(camera).advance(torch.from_numpy(frames).to(device), times)
    assert_same(found, ReferenceEngine(camera).advance(frames, times))


def test_a_threshold_out_of_all_reason(device: str) -> None:
    camera = build_sensor(DVSPixel(), (2, 1), 0, "v2e", (np.full((1, 2), 1e-6), np.full((1, 2), 1e-6)))
    frames = torch.tensor([[[50, 50]], [[50, 250]]], dtype=torch.uint8, device=device)
    with pytest.raises(UserError, match=r"events in the frame at 0\.010000 s"):
        TorchEngine(camera).advance(frames, np.array([0.0, 0.01]))


def test_a_still_clip_is_silent(device: str) -> None:
    frames = torch.full((4, HEIGHT, WIDTH), 80, dtype=torch.uint8, device=device)
    t, x, y, p = TorchEngine(sensor(PIXELS["clean"], "v2e")).advance(frames, np.arange(4) * 0.01)
    assert len(t) == len(x) == len(y) == len(p) == 0


def test_rare_mechanisms_go_step_by_step(device: str) -> None:
    frames, times = clip()
    for pixel in (DVSPixel(cs_lambda_pixels=2.5, cs_tau_p_ms=5.0), DVSPixel(scidvs=True, sigma_thres=0.03)):
        camera = sensor(pixel, "v2e")
        engine = TorchEngine(camera)
        found = engine.advance(torch.from_numpy(frames).to(device), times)
        assert engine.kernels is None
        assert_same(found, ReferenceEngine(camera).advance(frames, times))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("timing", ["v2e", "crossing"])
@pytest.mark.parametrize("preset", ["clean", "noisy", "v2e-default"])
def test_large_frames_on_a_gpu(preset: str, timing: str) -> None:
    frames, times = clip(count=12, width=1280, height=720)
    given = torch.from_numpy(frames).cuda()
    wanted = simulate(frames, 3.25 + times, preset, timing=timing)
    found = simulate(given, 3.25 + times, preset, timing=timing, engine="torch")
    assert len(wanted) > 1_000_000
    assert_same([getattr(found, n) for n in "txyp"], [getattr(wanted, n) for n in "txyp"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_a_user_may_give_on_a_gpu() -> None:
    frames = torch.full((2, 4, 5), 80.0, device="cuda")
    with pytest.raises(UserError, match="need engine='torch'"):
        simulate(frames, [0.0, 0.1])
    with pytest.raises(UserError, match="takes frames on the CPU"):
        simulate(frames, [0.0, 0.1], engine="torch", interpolation="linear")
    camera = Simulator(engine="torch")
    for bad, message in (
        (frames[0], r"\[T, H, W\] luma or \[T, H, W, 3\] RGB"),
        (frames[..., None], r"\[T, H, W\] luma or \[T, H, W, 3\] RGB"),
        (frames.half(), "got torch.float16"),
        (frames * 4, "found 320.0"),
        (frames * torch.nan, "found nan"),
    ):
        with pytest.raises(UserError, match=message):
            camera.feed(bad, [0.0, 0.1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_colour_and_frames_one_by_one_on_a_gpu(dtype: torch.dtype) -> None:
    frames, times = clip()
    colour = np.stack([frames, 255 - frames, frames // 2], axis=-1)
    given = torch.from_numpy(colour).to("cuda", dtype)
    wanted = simulate(given.cpu().numpy(), times, "noisy")
    blocks = list(Simulator("noisy", engine="torch").stream(zip(given, times.tolist(), strict=True), pixels=2000))
    assert len(wanted) > 1000
    assert len(blocks) > 1
    for found in (simulate(given, times, "noisy", engine="torch"), EventStream.merge(*blocks)):
        assert_same([getattr(found, n) for n in "txyp"], [getattr(wanted, n) for n in "txyp"])


TYPES = {
    "luma": "*u8", "records": "*i32", "steps": "*fp64", "most": "*i32", "byte_log": "*fp32", "leak_hz": "*fp32",
    "on_step": "*fp32", "off_step": "*fp32", "rows": "*i64", "table": "*i32", "x": "*i16", "y": "*i16", "p": "*u8", "last": "*fp64",
    "byte_intensity": "*fp64", "inverse": "*fp64", "log_cell": "*fp64", "seeds": "*i64", "starts": "*i64", "t": "*i64", "keys": "*i64",
    "jitter": "fp32", "pos_thres": "fp32", "neg_thres": "fp32",
} | dict.fromkeys(("begin", "end", "number", "F", "n", "f", "width", "blocks"), "i32")  # fmt: skip
CONSTANTS = {"LOW_PASS": True, "LEAK": True, "SHOT": True, "WAIT": True, "EMIT": True, "BLOCK": 512}


@pytest.mark.parametrize("crossing", [False, True])
@pytest.mark.parametrize("bytes_", [False, True])
@pytest.mark.parametrize("name", ["expose", "memorise", "replay"])
def test_compiles_for_a_gpu_with_exact_operations(name: str, bytes_: bool, crossing: bool) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    kernel = getattr(load(), name)
    constants = CONSTANTS | {"BYTES": bytes_, "CROSSING": crossing}
    constants = {key: value for key, value in constants.items() if key in kernel.arg_names}
    double = dict.fromkeys(("on", "off", "state", "base", "befores", "afters"), "*fp64")
    types = TYPES | double | dict.fromkeys(constants, "constexpr") | {"lasts": "*fp64" if crossing else "*fp32"}
    source = ASTSource(
        kernel,
        {argument: types[argument] for argument in kernel.arg_names},
        {(kernel.arg_names.index(argument),): value for argument, value in constants.items()},
    )
    code = compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False}).asm["ptx"]
    assert not re.findall(r"fma\.rn\.f\w+|div\.(?:full|approx)\.\w+|\.ftz", code)
