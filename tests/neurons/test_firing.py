"""Firing rates per layer, and what is said of those that are not alive."""

import torch
from torch import nn

from spikeva.models import create_model
from spikeva.neurons import health, make_neuron
from spikeva.neurons.firing import Health, unhealthy


class Two(nn.Module):
    """A layer that fires on every second input, then one of threshold 100."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = make_neuron("lif", beta=0.5)
        self.idle = make_neuron("lif", theta=100.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.idle(self.busy(x)[0])[0]


def test_health_names_the_silent_layer() -> None:
    model = Two().train()
    batch = torch.tensor([2.0, 0.0]).expand(4, 1, 2)  # first channel fires at each step, the second never
    layers = health(model, batch)
    assert [(h.layer, h.rate, h.state) for h in layers] == [("busy", 0.5, "alive"), ("idle", 0.0, "silent")]
    assert unhealthy(layers).startswith(
        "spiking layer 'idle' is silent: 0.0000 spikes per neuron and step; lower theta"
    )


def test_layers_of_one_state_are_told_in_one_sentence() -> None:
    rates = {"a": 0.0004, "b": 0.2, "c": 0.0, "d": 0.95, "e": 0.0002}
    layers = [Health(name, rate) for name, rate in rates.items()]
    silent, saturated = unhealthy(layers).split(". ")
    assert silent == (
        "spiking layers 'a', 'c', 'e' are silent: 0.0000 to 0.0004 spikes per neuron and step; "
        "lower theta or raise beta, or use norm='bn'"
    )
    assert saturated.startswith("spiking layer 'd' is saturated: 0.9500 spikes")
    assert unhealthy(layers[:1], normed=True).endswith("; raise beta or train longer")
    assert unhealthy(layers[1:2]) == ""


def test_of_many_layers_the_first_are_named() -> None:
    said = unhealthy([Health(f"layer{i}", 0.0) for i in range(9)])
    assert "spiking layers 'layer0', 'layer1', 'layer2', 'layer3', 'layer4', 'layer5' and 3 more are silent" in said


def test_saturated_layer() -> None:
    layers = health(nn.Sequential(make_neuron("lif", theta=0.01)), torch.ones(3, 2, 4))
    assert layers[0].state == "saturated"


def test_health_leaves_the_model_as_it_was() -> None:
    model = create_model("snn_convnet", in_channels=2, width=4, depth=2, dropout=0.5).train()
    batch = torch.rand(2, 6, 2, 16, 16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    assert [h.state for h in health(model, batch)] == ["alive", "alive"]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert model.training
