"""A new neuron in twenty lines: it passes the check of all neurons, and trains inside any spiking model.

Run: python examples/05_a_new_neuron.py [folder for the picture]
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import torch

import spikeva
from spikeva.neurons import Neuron, register_neuron
from spikeva.report import figures
from spikeva.study.panels import raster
from spikeva.testing import check_neuron

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
out.mkdir(parents=True, exist_ok=True)


def refractory_step(x, state, p, rule):
    """(spikes, state) after one step: a LIF that hears nothing in the step after a spike."""
    v, tired = state
    h = p["beta"] * v + (1 - tired) * x
    s = rule.fire(h - p["theta"])
    return s, (rule.discharge(h, s, p["theta"]), s.detach())


@register_neuron("refractory")
class Refractory(Neuron):
    """Refractory LIF: h = beta v + (1 - s_before) x; s = H(h - theta), with a learned decay."""

    step = staticmethod(refractory_step)
    STATES = ("v", "tired")
    RESETS = ("zero", "subtract")

    def __init__(self, beta: float = 0.9, **options):
        super().__init__(**options)
        self.decay("beta", beta, learn=True)


# Checks every reset and surrogate in float32, float64 and bfloat16, carried state, batches and copies against the step.
check_neuron("refractory")
print("check_neuron: passed")
print(spikeva.neurons.table("refractory"))

# A toy in which valence is how many ON events there are and arousal how many OFF events.
torch.manual_seed(0)
target = torch.rand(64, 2) * 2 - 1
rate = 0.1 + 0.05 * target
x = (torch.rand(64, 8, 2, 16, 16) < rate[:, None, :, None, None]).float()  # [B, T, (ON, OFF), H, W]

model = spikeva.create_model("snn_convnet", in_channels=2, width=8, depth=2, neuron="refractory", surrogate="atan")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
for step in range(40):
    loss = torch.nn.functional.mse_loss(model(x), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 13 == 0:
        print(f"step {step:2d}  mean squared error {loss.item():.3f}")
assert loss.item() < 0.1, "the toy should be learned"

# The spikes of the first layer for one sample: no neuron fires twice in a row.
name, spikes = next(iter(raster(model, x[:1]).items()))
assert not (spikes[1:] & spikes[:-1]).any()
ax = figures.raster(spikes, f"{name}: a refractory neuron rests a step")
ax.figure.savefig(out / "05_a_new_neuron.png", dpi=120)
print(out / "05_a_new_neuron.png")
