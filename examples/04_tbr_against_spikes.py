"""TBR against raw spikes: the same bits, read as one number or one after the other. Everything here is synthetic.

Run: python examples/04_tbr_against_spikes.py [folder for the picture]
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np

import spikeva
from spikeva import encode, faces
from spikeva.report import figures

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
out.mkdir(parents=True, exist_ok=True)

clip = faces.make_clip("afew-va-like", identity=2, clip=0, size=96, seconds=0.8)
events = spikeva.simulate(clip.frames, clip.times, "clean", seed=0)
ends = [320_000]  # one window that ends 0.32 s into the clip
settings = {"dt": 5000}  # 8 binary frames of 5 ms

tbr = spikeva.encode(events, "tbr", ends=ends, bits=8, **settings)  # [1, 1, H, W] uint8
planes = spikeva.encode(events, "bitplanes", ends=ends, bits=8, **settings)  # [1, 8, 1, H, W], oldest first
spikes = spikeva.encode(events, "spikes", ends=ends, steps=8, **settings)  # [1, 8, 2, H, W], ON and OFF apart

# A TBR code is its bitplanes, the newest as the most significant bit ...
weights = 2 ** np.arange(8).reshape(1, 8, 1, 1, 1)
assert np.array_equal((planes * weights).sum(axis=1), tbr)
# ... and the bitplanes are the spikes without their polarity. So the three differ in layout and in polarity only.
assert np.array_equal(spikes.max(axis=2, keepdims=True), planes)

active = spikes.any(axis=(0, 1, 2)).sum()
print(f"{len(events.slice_time(280_000, 320_000))} events in the window; {active} of {96 * 96} pixels saw one")
print(f"spikes in 8 steps: {spikes.sum()}; TBR codes used: {len(np.unique(tbr)) - 1} of 255")
for kind in ("ann", "snn"):
    for name, codes in (("tbr", tbr), ("bitplanes", planes), ("spikes", spikes)):
        x = encode.model_input(codes, name, kind, **settings)
        print(f"{name:>9} for an {kind}: {x.shape[0]} time step(s) of {x.shape[1]} channel(s)")

window = {name: a[0].reshape(-1, 96, 96) for name, a in (("TBR", tbr), ("bitplanes", planes), ("spikes", spikes))}
ax = figures.encodings(window)
ax.set_title("one window, oldest step left; spikes: ON, OFF by turns (synthetic)", fontsize=9)
ax.figure.savefig(out / "04_tbr_against_spikes.png", dpi=150)
print(out / "04_tbr_against_spikes.png")
