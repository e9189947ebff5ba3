"""engine="v2e" with the real v2e, where it can be imported (a clone of SensorsINI/v2e on PYTHONPATH)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from spikeva import DVSPixel, EventStream
from spikeva.cli import main
from spikeva.errors import UserError
from spikeva.events import read_events
from spikeva.simulate import Simulator, simulate
from spikeva.simulate.engines.v2e import load

SIZE = (64, 48)


@pytest.fixture(autouse=True)
def _v2e() -> None:
    try:
        load()
    except UserError as error:
        pytest.skip(str(error))


def clip(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    still = np.random.default_rng(0).integers(0, 256, SIZE[::-1]).astype(float)
    moving = [still * (0.6 + 0.5 * np.sin(i / 3 + np.arange(SIZE[0]) / 9)) for i in range(count)]
    return np.clip(moving, 0, 255).astype(np.uint8), np.arange(count) * 0.002


def multiset(events: EventStream) -> np.ndarray:
    """The events in an order of their own; v2e shuffles those of one time."""
    return np.sort(((events.t * SIZE[0] + events.x) * SIZE[1] + events.y) * 2 + events.p)


@pytest.mark.parametrize(
    "pixel", [DVSPixel(), DVSPixel(cutoff_hz=300.0), DVSPixel(refractory_period_s=0.0005)], ids=["ideal", "low-pass", "rest"]
)  # fmt: skip
@pytest.mark.parametrize("engine", ["reference", "numba", "torch"])
def test_our_engines_make_its_events(pixel: DVSPixel, engine: str) -> None:
    frames, times = clip()
    theirs = simulate(frames, times + 3.25, pixel, engine="v2e")
    assert len(theirs) > 10_000
    assert np.array_equal(multiset(theirs), multiset(simulate(frames, times + 3.25, pixel, engine=engine)))


def test_mirrored_frames() -> None:
    frames, times = clip()
    theirs, ours = (simulate(frames[:, :, ::-1], times, "ideal", engine=e) for e in ("v2e", "numba"))
    assert np.array_equal(multiset(theirs), multiset(ours))


def test_given_thresholds_are_its_thresholds() -> None:
    frames, times = clip()
    rng = np.random.default_rng(1)
    maps = tuple((0.2 + 0.03 * rng.standard_normal(SIZE[::-1])).clip(0.01).astype(np.float32) for _ in range(2))
    for luma in (frames, frames + np.float32(0.25) * (frames < 255)):
        theirs, ours = (simulate(luma, times, "clean", engine=e, thresholds=maps) for e in ("v2e", "numba"))  # type: ignore[arg-type]  # engines by name
        assert np.array_equal(multiset(theirs), multiset(ours))


@pytest.mark.parametrize("preset", ["clean", "noisy", "v2e-default"])
def test_its_noise_is_ours_in_number_and_a_function_of_the_seed(preset: str) -> None:
    """Ten seeds of either were seen to make numbers of events up to 8 per cent apart: the maps of thresholds differ."""
    frames, times = clip()
    ours, theirs, again, other = (
        simulate(frames, times, preset, engine=e, seed=s) for e, s in (("numba", 1), ("v2e", 1), ("v2e", 1), ("v2e", 2))
    )
    assert np.array_equal(multiset(theirs), multiset(again))
    assert not np.array_equal(multiset(theirs), multiset(other))
    assert len(theirs) == pytest.approx(len(ours), rel=0.1)
    camera = Simulator(preset, engine="v2e", seed=1)
    cut = EventStream.merge(camera.feed(frames[:5], times[:5]), camera.feed(frames[5:], times[5:]))
    assert np.array_equal(multiset(theirs), multiset(cut))


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIKEVA_SLOMO", raising=False)
    frames, times = clip()
    np.savez(tmp_path / "clip.npz", frames=frames, timestamps=times)
    clip_, out = str(tmp_path / "clip.npz"), tmp_path / "out.h5"
    assert main(["simulate", clip_, "-o", str(out), "--preset", "ideal", "--engine", "v2e"]) == 0
    assert np.array_equal(multiset(read_events(out)), multiset(simulate(frames, times, "ideal")))
    assert main(["simulate", clip_, "-o", str(out), "--interpolate", "v2e-slomo"]) == 2
    assert "set SPIKEVA_SLOMO to SuperSloMo39.ckpt" in " ".join(capsys.readouterr().err.split())
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "other.ckpt").read_bytes()[:100])
    for name, reason in (("other", "it holds state_dict"), ("cut", "not SuperSloMo's weights")):
        monkeypatch.setenv("SPIKEVA_SLOMO", str(tmp_path / f"{name}.ckpt"))
        assert main(["simulate", clip_, "-o", str(out), "--interpolate", "v2e-slomo"]) == 2
        assert reason in " ".join(capsys.readouterr().err.split())
    assert main(["doctor"]) == 0
    assert "the original simulator" in capsys.readouterr().out
