"""Train a spiking network in a plain PyTorch loop, on rendered faces: every number here is synthetic.

Run: python examples/03_train_a_spiking_net.py [folder for the results] [number of steps]
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib import pyplot as plt
from torch.utils.data import DataLoader

import spikeva
from spikeva import encode
from spikeva.datasets import standin
from spikeva.evaluation import metrics
from spikeva.report import figures
from spikeva.training.data import Windows
from spikeva.training.loss import create_loss

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 30
torch.manual_seed(0)

# Event clips of 8 people; 2 of them are held out. Made once, found again on the next run.
clips = standin("afew-va-like", out / "faces", identities=8, clips=2, size=32, seconds=0.64, fps=50, workers=0)
split = clips.split(test=0.25, seed=0)
spikes = {"encoding": "spikes", "steps": 4, "dt": 10_000}  # 4 binary frames of 10 ms, ON and OFF apart
train, test = (Windows(part.paths, spikes, "snn", frames=4) for part in (split.train, split.test))

# 4 windows of 4 steps: 16 time steps through leaky integrate-and-fire neurons.
model = spikeva.create_model("snn_convnet", in_channels=encode.channels("spikes", "snn"), width=8, neuron="lif")
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
loss_of, history = create_loss("mse+ccc"), []
while len(history) < steps:
    for x, y in DataLoader(train, batch_size=16, shuffle=True, drop_last=True):
        loss = loss_of(model(x), y)  # [B, T, C, H, W] -> [B, 2]: valence, arousal
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
        if len(history) == steps:
            break

model.eval()
with torch.no_grad():
    pairs = [(model(x), y) for x, y in DataLoader(test, batch_size=32)]
predicted, label = (torch.cat(part).numpy() for part in zip(*pairs, strict=True))
for i, axis in enumerate(("valence", "arousal")):
    found = metrics.regression(label[:, i], predicted[:, i])
    print(
        f"{axis}: CCC {found['ccc']:.2f}, RMSE {found['rmse']:.2f} on {len(split.test.subjects)} held-out people (synthetic)"
    )
print("so few clips and steps only show that it runs; for results, run configs/quick.yaml")

which = np.array([sample.clip for sample in test.samples])
means = [np.array([v[which == c].mean(0) for c in range(len(split.test))]) for v in (label, predicted)]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
left.plot(history)
left.set(xlabel="step", ylabel="loss", title="training (synthetic faces)")
figures.plane(*means, "snn", ax=right)
right.set_title("held-out clips: label to prediction (synthetic)", pad=14)
figure.savefig(out / "03_train_a_spiking_net.png", dpi=120)
print(out / "03_train_a_spiking_net.png")
