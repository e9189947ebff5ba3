"""Pictures for the report that only the study can make."""

import numpy as np
import torch

from spikeva.encode import channels, list_encodings
from spikeva.models import create_model
from spikeva.simulate import simulate
from spikeva.study import panels


def _disc(frames: int = 20, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:size, :size]
    turn = np.linspace(8, 24, frames)
    video = np.array([np.where(np.hypot(x - t, y - 16) < 6, 180, 60 + 2 * x) for t in turn])
    return video.astype(np.uint8), np.arange(frames) / 100


def test_every_encoding_shows_the_same_window() -> None:
    video, times = _disc()
    window = panels.every_encoding(simulate(video, times), 100_000)
    assert list(window) == list_encodings()
    for name, pictures in window.items():
        assert len(pictures) == channels(name, "ann")
    fired = window["counts"].sum(0) > 0
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
