"""Zero-shot emotion of a recording: a network that learned valence and arousal on one domain reads an event file of another.

Run: python examples/06_zero_shot_on_a_recording.py [folder for the results] [event file]
Without a recording of your own, a posed (synthetic) face is recorded first; the network is trained for a minute at most.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from torch.utils.data import DataLoader

import spikeva
from spikeva import encode, faces
from spikeva.datasets import standin
from spikeva.evaluation import emotion
from spikeva.events import downscale
from spikeva.report import figures
from spikeva.training.data import Windows
from spikeva.training.loss import create_loss

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
torch.manual_seed(0)
SIZE, FRAMES, TBR = 32, 4, {"bits": 4, "dt": 10_000}
span = encode.span_us("tbr", **TBR)

# Valence and arousal, learned on film-like faces. A real study trains far longer: `spikeva compare configs/quick.yaml`.
clips = standin("afew-va-like", out / "faces", identities=8, clips=2, size=SIZE, seconds=0.64, fps=50, workers=0)
model = spikeva.create_model("ann_convnet", in_channels=encode.channels("tbr", "ann", **TBR), width=8)
optimizer, loss_of = torch.optim.AdamW(model.parameters(), lr=3e-3), create_loss("mse+ccc")
for _ in range(3):
    for x, y in DataLoader(Windows(clips.paths, {"encoding": "tbr", **TBR}, "ann", FRAMES), 16, shuffle=True):
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
model.eval()

# The recording: any event file. Crop the face, then bring it to the size that the network knows.
recording = Path(sys.argv[2]) if len(sys.argv) > 2 else out / "06_recording.h5"
shown = "unknown"
if len(sys.argv) <= 2:
    clip = faces.make_clip("nefer-like", identity=1, clip=0, size=64, seconds=1.28, emotion="happiness")
    pixel = spikeva.DVSPixel(**faces.pixel("nefer-like"))
    spikeva.write_events(recording, spikeva.simulate(clip.frames, clip.times, pixel, seed=1))
    shown = f"{clip.emotion} (synthetic)"
events = spikeva.read_events(recording)
factor = min(events.size) // SIZE
side = factor * SIZE
square = events.crop((events.size[0] - side) // 2, (events.size[1] - side) // 2, side, side)
events = next(downscale([square], factor))

# A prediction every 40 ms, from the windows that end there; then one point and its direction for the whole recording.
ends = np.arange(int(events.t[0]) + FRAMES * span, int(events.t[-1]), 40_000)  # cameras need not start at 0
grid = ends[:, None] - np.arange(FRAMES)[::-1] * span  # [n, FRAMES]
codes = spikeva.encode(events, "tbr", ends=grid.ravel(), **TBR).reshape(*grid.shape, 1, *events.size[::-1])
with torch.no_grad():
    path = model(torch.from_numpy(encode.model_input(codes, "tbr", "ann", **TBR))).numpy()
point = emotion.recording_point(path, "weighted")
said = emotion.classify(point[None])[0]
print(f"{recording.name}: valence {point[0]:+.2f}, arousal {point[1]:+.2f} -> {said}; shown: {shown}")

ax = figures.trajectories(None, {"ann": path})
ax.set_title(f"{recording.name}: read as {said}, shown {shown}", pad=14, fontsize=9)
ax.figure.savefig(out / "06_zero_shot_on_a_recording.png", dpi=120)
print(out / "06_zero_shot_on_a_recording.png")
