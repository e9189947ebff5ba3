"""First steps: a face, its events, two encodings, two networks, one picture. Everything here is synthetic.

Run: python examples/01_first_steps.py [folder for the picture]
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib import pyplot as plt

import spikeva
from spikeva import encode, faces
from spikeva.report import figures

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
out.mkdir(parents=True, exist_ok=True)

# A rendered face with known valence and arousal: frames float32 [T, H, W], luma 0..255.
clip = faces.make_clip("afew-va-like", identity=2, clip=0, size=96, seconds=1.2)
print(f"{clip.name}: {len(clip.frames)} frames of {clip.subject}, {len(clip.label_times)} labels")

# What an event camera would have seen: (t in us, x, y, p).
events = spikeva.simulate(clip.frames, clip.times, "clean", seed=0)
print(f"{len(events)} events in {events.duration / 1e6:.2f} s")

# Four windows before one label, as TBR frames and as raw spikes: the same 8 binary frames of 5 ms each.
frames, dt = 4, 5000
label = len(clip.label_times) // 2
t_us = round(clip.label_times[label] * 1e6)
ends = t_us - (frames - 1 - np.arange(frames)) * 8 * dt
tbr = spikeva.encode(events, "tbr", ends=ends, bits=8, dt=dt)  # [4, 1, H, W] codes
spikes = spikeva.encode(events, "spikes", ends=ends, steps=8, dt=dt)  # [4, 8, 2, H, W] bits
print(f"tbr {tbr.shape} {tbr.dtype}, spikes {spikes.shape} {spikes.dtype}")

# Each network gets the layout that it is made for. They are not trained yet: 03_train_a_spiking_net.py does that.
torch.manual_seed(0)
for name, kind, codes, encoding in (
    ("ann_resnet18_fusion", "ann", tbr, "tbr"),
    ("snn_convnet", "snn", spikes, "spikes"),
):
    options = {"dt": dt}
    model = spikeva.create_model(name, in_channels=encode.channels(encoding, kind, **options), width=16).eval()
    x = torch.from_numpy(encode.model_input(codes, encoding, kind, **options))[None]  # [1, T, C, H, W]
    with torch.no_grad():
        valence, arousal = model(x)[0].tolist()
    print(f"{name}: input {list(x.shape)}, valence {valence:+.2f}, arousal {arousal:+.2f} (untrained)")

# One picture: face, events, TBR over time, and the true valence and arousal.
show = np.linspace(8, len(clip.label_times) - 1, 5).astype(int)
times = np.rint(clip.label_times[show] * 1e6).astype(np.int64)
counts = spikeva.encode(events, "counts", ends=times, dt=40_000)
codes = spikeva.encode(events, "tbr", ends=times, bits=8, dt=dt)
examples = [
    {
        "frame": clip.frames[np.searchsorted(clip.times, t / 1e6).clip(0, len(clip.times) - 1)],
        "title": f"{t / 1e6:.2f} s",
    }
    | {"on": counts[i, 0, 0], "off": counts[i, 0, 1], "tbr": codes[i, 0]}
    for i, t in enumerate(times)
]
figure, (top, bottom) = plt.subplots(2, 1, figsize=(6, 6.2), height_ratios=(3, 1.4), layout="constrained")
figures.strip(examples, ax=top)
bottom.plot(clip.label_times, clip.valence, label="valence")
bottom.plot(clip.label_times, clip.arousal, "--", label="arousal")
bottom.set(xlabel="time (s)", ylim=(-1, 1), title=f"{clip.name}: true labels (synthetic)")
bottom.legend()
figure.savefig(out / "01_first_steps.png", dpi=120)
print(out / "01_first_steps.png")
