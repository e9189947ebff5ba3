"""Export to NIR: write a trained spiking network as a graph for other simulators and chips, and read it back with the same spikes.

Run: python examples/08_export_to_nir.py [folder for the results]
NIR files need the package nir: pip install 'spikeva[nir]'. A trained cell of a study: spikeva export CELL --out model.nir
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import nir
import torch
from matplotlib import pyplot as plt
from torch.utils.data import DataLoader

import spikeva
from spikeva import encode
from spikeva.datasets import standin
from spikeva.events import EventClip
from spikeva.models.snn.nir_graph import export_nir, import_nir
from spikeva.neurons import Neuron
from spikeva.report import figures
from spikeva.training.data import Windows
from spikeva.training.loss import create_loss

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
torch.manual_seed(0)
SIZE, SPIKES = 32, {"steps": 4, "dt": 10_000}

# A network as in 03_train_a_spiking_net.py, trained for a few steps. NIR resets to zero: so must the neuron.
clips = standin("afew-va-like", out / "faces", identities=8, clips=2, size=SIZE, seconds=0.64, fps=50, workers=0)
model = spikeva.create_model("snn_convnet", in_channels=2, width=8, depth=3, neuron="lif", reset="zero")
optimizer, loss_of = torch.optim.AdamW(model.parameters(), lr=3e-3), create_loss("mse+ccc")
samples = Windows(clips.paths, {"encoding": "spikes", **SPIKES}, "snn", frames=4)
for x, y in 4 * list(DataLoader(samples, 16, shuffle=True)):
    loss = loss_of(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
model.eval()

# Written and read back: BatchNorm lies in the convolutions now, each neuron has its threshold and time constant.
again = import_nir(path := export_nir(model, out / "08_model.nir", (SIZE, SIZE)))
print(f"{path.name}: {' > '.join(name for name, _ in nir.read(path).edges)} > output")


def follow(net: torch.nn.Module, x: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """(spikes of each layer [T, C, H, W], prediction after each step [T, 2]) for one sample [1, T, C, H, W]."""
    spikes = []
    layers = [m for m in net.modules() if isinstance(m, Neuron) and m.spiking]
    hooks = [m.register_forward_hook(lambda _m, _i, found: spikes.append(found[0][:, 0])) for m in layers]
    with torch.no_grad():
        prediction, _ = net.steps(x.transpose(0, 1))
    for hook in hooks:
        hook.remove()
    return spikes, prediction[:, 0]


# A whole clip (synthetic), 64 steps of 10 ms, through both.
with EventClip(clips.paths[0]) as clip:
    codes = encode.encode(clip.events(), "spikes", ends=range(40_000, 640_001, 40_000), **SPIKES)
x = torch.from_numpy(encode.model_input(codes, "spikes", "snn", **SPIKES))[None]
(before, predicted), (after, read) = follow(model, x), follow(again, x)
differ = [int((a != b).sum()) for a, b in zip(before, after, strict=True)]
for i, (a, b) in enumerate(zip(before, after, strict=True)):
    print(f"layer {i}: {int(a.sum())} spikes before, {int(b.sum())} after, {differ[i]} differ")

figure, axes = plt.subplots(3, 1, figsize=(6.4, 6.6), sharex=True, layout="constrained")
for ax, spikes, title in ((axes[0], before, "before: as trained"), (axes[1], after, "after: as read from NIR")):
    some = spikes[2].flatten(1).numpy()[:, ::8] > 0
    figures.raster(some, f"{title}, layer 2 (synthetic face)", ax=ax).set_xlabel("")
axes[2].plot(predicted, label=("valence before", "arousal before"))
axes[2].plot(read, "k.", markersize=3, label=("after", "_"))
axes[2].set(xlabel="time step", title=f"{sum(differ)} of {sum(int(a.sum()) for a in before)} spikes differ")
axes[2].legend(ncols=3)
figure.savefig(out / "08_export_to_nir.png", dpi=120)
print(out / "08_export_to_nir.png")
