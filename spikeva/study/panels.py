"""Further pictures for the report: one window in every encoding, what compression adds, the spikes of a trained network."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikeva.encode import encode, list_encodings
from spikeva.events import EventStream

if TYPE_CHECKING:
    from torch import Tensor, nn

    from spikeva.simulate import DVSPixel

Arrays = dict[str, NDArray[Any]]
JPEG_QUALITY = 8
NEURONS = 64  # of a layer that are drawn


def every_encoding(events: EventStream, end_us: int, bits: int, dt: int) -> Arrays:
    """`{name: channels [C, H, W]}` of the window that ends at `end_us`, in each encoding.

    The window is that of a TBR of `bits` and `dt` (us), whose steps the others have, too; counts are of the whole window. A voxel
    grid has two bins at least. Encodings of the user's own have the window of their defaults.
    """
    span = bits * dt
    own: dict[str, dict[str, int]] = {
        "tbr": {"bits": bits, "dt": dt},
        "bitplanes": {"bits": bits, "dt": dt},
        "spikes": {"steps": bits, "dt": dt},
        "counts": {"steps": 1, "dt": span},
        "voxel": {"bins": max(bits, 2), "dt": max(span // max(bits, 2), 1)},
    }
    found = {}
    for name in list_encodings():
        codes = encode(events, name, ends=[end_us], **own.get(name, {}))
        found[name] = codes[0].reshape(-1, *codes.shape[-2:])
    return found


def compression(
    frames: NDArray[np.uint8], times: NDArray[np.float64], end_us: int, span_us: int, pixel: "str | DVSPixel" = "clean"
) -> Arrays:
    """Frame and event counts of one window, simulated from `frames` [T, H, W] and from the same frames through JPEG.

    `{lossless,compressed}_{frame,on,off}` [H, W] and `note`. Every frame is compressed on its own: blocks and ringing that
    move with the face look like changes of light to the pixels, and become events that no camera would see.
    """
    import cv2

    from spikeva.simulate import simulate

    def through(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        done, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not done:
            raise RuntimeError("OpenCV could not write a JPEG picture")
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)

    at = int(newest(times, end_us))
    found: Arrays = {"note": np.array(f"JPEG, quality {JPEG_QUALITY} of 100")}
    for side, video in (("lossless", frames), ("compressed", np.stack([through(frame) for frame in frames]))):
        events = simulate(video, times, pixel)
        counts = encode(events, "counts", ends=[end_us], dt=span_us)
        found |= {f"{side}_frame": video[at], f"{side}_on": counts[0, 0, 0], f"{side}_off": counts[0, 0, 1]}
    return found


def newest(times: NDArray[np.float64], t_us: "int | NDArray[np.int64]") -> NDArray[np.intp]:
    """The index of the last frame, of those at `times` (s), that is there at each of `t_us`; the first where none is."""
    whole = np.rint(times * 1e6).astype(np.int64)  # as label times are rounded
    return np.asarray(np.searchsorted(whole, t_us, side="right") - 1).clip(0)


def raster(model: "nn.Module", inputs: "Tensor") -> Arrays:
    """`{layer: spikes [T, neurons] (bool)}` of up to `NEURONS` neurons of each spiking layer, evenly spread, for one sample.

    Args:
        inputs: [1, T, C, H, W].
    """
    import torch

    found: Arrays = {}

    def keep(name: str) -> Any:
        def hook(_: Any, __: Any, output: Any) -> None:
            spikes = output[0] if isinstance(output, tuple) else output
            flat = spikes.detach().reshape(spikes.shape[0], -1)
            chosen = np.unique(np.linspace(0, flat.shape[1] - 1, NEURONS).round().astype(int))
            found[name] = flat[:, chosen].numpy() > 0

        return hook

    spiking = [(name, layer) for name, layer in model.named_modules() if getattr(layer, "spiking", False)]
    hooks = [layer.register_forward_hook(keep(name)) for name, layer in spiking]
    try:
        with torch.no_grad():
            model.eval()(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found
