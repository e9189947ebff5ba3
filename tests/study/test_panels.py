"""Pictures for the report that only the study can make."""

from pathlib import Path

import numpy as np
import torch

from spikeva.datasets import ClipSet
from spikeva.encode import channels, encode, list_encodings
from spikeva.events import EventStream, write_clip
from spikeva.models import create_model
from spikeva.simulate import simulate
from spikeva.study import panels
from spikeva.study.config import parse
from spikeva.study.gallery import gallery_made_from, write_gallery


def _disc(frames: int = 20, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:size, :size]
    turn = np.linspace(8, 24, frames)
    video = np.array([np.where(np.hypot(x - t, y - 16) < 6, 180, 60 + 2 * x) for t in turn])
    return video.astype(np.uint8), np.arange(frames) / 100


def test_every_encoding_shows_the_same_window() -> None:
    video, times = _disc()
    events = simulate(video, times)
    for bits, dt in ((8, 2500), (4, 10_000), (1, 40_000)):
        window = panels.every_encoding(events, 100_000, bits, dt)
        assert list(window) == list_encodings()
        steps = {"counts": {}, "voxel": {"bins": max(bits, 2)}, "spikes": {"steps": bits}}
        for name, pictures in window.items():
            assert len(pictures) == channels(name, "ann", **steps.get(name, {"bits": bits}))
        fired = window["counts"].sum(0) > 0
        assert np.array_equal(fired, encode(events, "counts", ends=[100_000], dt=bits * dt)[0, 0].sum(0) > 0)
        assert fired.any()
        assert np.array_equal(window["tbr"][0] > 0, fired)
        assert np.array_equal(window["spikes"].any(0), fired)


def test_compression_adds_events() -> None:
    video, times = _disc()
    sides = panels.compression(video, times, 100_000, 40_000)
    events = {s: int(sides[f"{s}_on"].sum()) + int(sides[f"{s}_off"].sum()) for s in ("lossless", "compressed")}
    assert events["compressed"] > 1.2 * events["lossless"] > 0
    assert not np.array_equal(sides["lossless_frame"], sides["compressed_frame"])
    assert "JPEG" in str(sides["note"])


def test_raster_holds_the_spikes_of_each_spiking_layer() -> None:
    torch.manual_seed(0)
    model = create_model("snn_convnet", in_channels=1, width=4)
    inputs = torch.rand(1, 6, 1, 32, 32) * 3
    found = panels.raster(model, inputs)
    assert len(found) == sum(bool(getattr(layer, "spiking", False)) for layer in model.modules())
    for spikes in found.values():
        assert spikes.shape[0] == 6
        assert spikes.shape[1] <= panels.NEURONS
        assert spikes.dtype == bool
    assert not any(layer._forward_hooks for layer in model.modules())


def test_the_gallery_of_clips_without_a_video_has_their_events_in_every_encoding(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 400_000, 2000))
    events = EventStream(t, *(rng.integers(0, n, 2000) for n in (16, 16, 2)), (16, 16))
    labels = {"t_us": np.arange(1, 11) * 40_000, "valence": np.zeros(10), "arousal": np.zeros(10)}
    (tmp_path / "a.mp4").touch()
    for name in ("a", "b"):  # of what else they say, nothing is taken for what stand-ins say of their frames
        facts = {"subject": name, "clip": name, "domain": "films", "simulator": "v2e", "frames": "a.mp4"}
        write_clip(tmp_path / f"{name}.h5", events, labels=labels, attributes=facts)
    grid = {"models": [{"model": "snn_convnet"}], "encodings": [{"encoding": "tbr", "bits": 8, "dt": 5000}]}
    study = parse({"study": "s", "regression": {"dataset": "prepared", "root": str(tmp_path)}, "grid": grid})
    write_gallery(tmp_path / "gallery.npz", study, ClipSet.read(tmp_path))
    with np.load(tmp_path / "gallery.npz") as arrays:
        assert arrays["1/on"].shape == (10, 16, 16)
        whole = arrays["0/on"]
        assert {name for name in arrays.files if "/enc/" in name} == {f"0/enc/{name}" for name in list_encodings()}
        assert {name for name in arrays.files if name[:2] not in ("0/", "1/")} == {"made_from"}
        assert not any("frames" in name for name in arrays.files)

    grid["encodings"] = [{"encoding": "tbr", "bits": 1, "dt": 40_000}, *grid["encodings"]]  # the finest is shown
    study = parse({"study": "s", "regression": {"dataset": "prepared", "root": str(tmp_path)}, "grid": grid})
    write_gallery(tmp_path / "two.npz", study, ClipSet.read(tmp_path))
    with np.load(tmp_path / "two.npz") as arrays, np.load(tmp_path / "gallery.npz") as one:
        np.testing.assert_array_equal(arrays["0/tbr"], one["0/tbr"])
        assert len(np.unique(one["0/tbr"])) > 16

    grid["encodings"] = [{"encoding": "spikes", "steps": 4, "dt": 10_000}]  # of the same 40 ms
    study = parse({"study": "s", "regression": {"dataset": "prepared", "root": str(tmp_path)}, "grid": grid})
    write_gallery(tmp_path / "other.npz", study, ClipSet.read(tmp_path))
    with np.load(tmp_path / "other.npz") as arrays:
        np.testing.assert_array_equal(arrays["0/on"], whole)
        assert (arrays["0/tbr"] > 0).sum() == ((arrays["0/on"] + arrays["0/off"]) > 0).sum()


def test_the_gallery_shows_each_label_with_its_own_frame(tmp_path: Path) -> None:
    """At 30 frames a second two of three times are no whole number of us."""
    times = np.arange(12) / 30
    video = np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((16, 16), np.uint8)
    np.savez(tmp_path / "video.npz", frames=video, times=times)
    labels = {"t_us": np.rint(times * 1e6).astype(np.int64), "valence": np.zeros(12), "arousal": np.zeros(12)}
    facts = {"subject": "a", "clip": "a", "domain": "films", "frames": "video.npz"}
    events = EventStream(np.arange(0, 400_000, 100), *(np.zeros(4000, int) for _ in range(3)), (16, 16))
    write_clip(tmp_path / "a.h5", events, labels=labels, attributes=facts)
    grid = {"models": [{"model": "snn_convnet"}], "encodings": [{"encoding": "tbr", "bits": 8, "dt": 5000}]}
    study = parse({"study": "s", "regression": {"dataset": "prepared", "root": str(tmp_path)}, "grid": grid})
    write_gallery(tmp_path / "gallery.npz", study, ClipSet.read(tmp_path), made_from="these")
    with np.load(tmp_path / "gallery.npz") as arrays:
        assert arrays["0/t_us"][0] == 66_667
        assert arrays["0/frames"][:, 0, 0].tolist() == list(range(2, 12))
    assert gallery_made_from(tmp_path / "gallery.npz") == "these"
    (tmp_path / "gallery.npz").write_bytes((tmp_path / "gallery.npz").read_bytes()[:99])
    assert gallery_made_from(tmp_path / "gallery.npz") is None, "it is damaged, and made anew"
