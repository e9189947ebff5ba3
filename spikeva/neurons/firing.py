"""Whether the neurons of a network are alive: firing rates of layers, silent and saturated ones."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikeva.neurons.base import Neuron

# spikes per neuron and step below or above which a layer passes nothing on (chosen here)
SILENT, SATURATED = 0.001, 0.9
NAMED = 6  # layers in a sentence


class Health(NamedTuple):
    """Firing of one layer on one batch."""

    layer: str  # its name in the model
    rate: float  # spikes per neuron and time step

    @property
    def state(self) -> str:
        """ "silent", "saturated" or "alive"."""
        return "silent" if self.rate < SILENT else "saturated" if self.rate > SATURATED else "alive"


def health(model: nn.Module, batch: Tensor) -> list[Health]:
    """Firing of every spiking layer of `model` on `batch`, in the order in which the layers run.

    The model runs once, without gradients, in the mode it is in (a new model's BatchNorm knows its statistics in training
    mode only); buffers and random state are put back. A layer that is called several times counts with its last call.
    """
    found: dict[str, Health] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, Neuron) and module.spiking:
            hooks.append(module.register_forward_hook(lambda _m, _i, out, name=name: _note(found, name, out[0])))
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.no_grad(), torch.random.fork_rng([batch.device] if batch.is_cuda else []):
            model(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for buffer, value in buffers:
            buffer.copy_(value)
    return list(found.values())


def unhealthy(layers: list[Health], normed: bool = False) -> str:
    """What is wrong with the layers that are silent or saturated, with their names and what to do; "" where all are alive.

    `normed`: a norm scales the neurons' input by theta already, so that neither another theta nor a norm would help.
    """
    said = []
    for state, theta, beta in (("silent", "lower", "raise"), ("saturated", "raise", "lower")):
        found = [layer for layer in layers if layer.state == state]
        if not found:
            continue
        names = ", ".join(repr(layer.layer) for layer in found[:NAMED])
        names += f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        which = f"spiking layer {names} is" if len(found) == 1 else f"spiking layers {names} are"
        rates = sorted({f"{layer.rate:.4f}" for layer in found})
        remedy = f"{beta} beta or train longer" if normed else f"{theta} theta or {beta} beta, or use norm='bn'"
        said.append(
            f"{which} {state}: {' to '.join(rates[:: max(1, len(rates) - 1)])} spikes per neuron and step; {remedy}"
        )
    return ". ".join(said)


def _note(found: dict[str, Health], name: str, spikes: Tensor) -> None:
    found[name] = Health(name, float(spikes.float().mean()))
