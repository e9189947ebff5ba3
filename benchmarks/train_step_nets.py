"""The nets of `train_step.py`: of each, a way to build it for every contestant."""

import functools
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import sidebyside as side
import torch
from torch import Tensor, nn

from spikeva import create_model
from spikeva.models.snn.pool import MaxPool2d
from spikeva.models.snn.sparse.conv import SparseConv2d
from spikeva.neurons import list_neurons, make_neuron
from spikeva.neurons.base import Neuron

BETA, WIDTHS = 0.9, (2, 32, 64, 128, 256)
STOCK: dict[type[nn.Module], type[nn.Module]] = {SparseConv2d: nn.Conv2d, MaxPool2d: nn.MaxPool2d}  # ours: PyTorch's


class Folded(nn.Module):
    """The net with all convolutions and norms over T*B and a layer [T, B, ...] -> [T, B, ...] for its neurons."""

    def __init__(
        self, layer: Callable[[], Callable[[Tensor, nn.Module], Tensor]], convolution: type[nn.Conv2d] = nn.Conv2d
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convolution(a, b, 3, 2, 1, bias=False) for a, b in pairwise(WIDTHS))
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in WIDTHS[1:])
        self.layers = [layer() for _ in self.norms]
        self.readout = nn.Linear(WIDTHS[-1], 2)

    def forward(self, x: Tensor) -> Tensor:
        steps = x.shape[:2]
        for conv, norm, layer in zip(self.convs, self.norms, self.layers, strict=True):
            x = layer(conv(x.flatten(0, 1)).unflatten(0, steps), norm)
        prediction: Tensor = self.readout(x.mean((0, 3, 4)))
        return prediction


class Loop(nn.Module):
    """The net as the libraries' examples write it: every module once per time step, state in hand."""

    def __init__(self, cell: Callable[[], Callable[[Tensor, Any], tuple[Tensor, Any]]]) -> None:
        super().__init__()
        self.net = Folded(lambda: lambda x, norm: x)
        self.cells = [cell() for _ in self.net.norms]

    def forward(self, x: Tensor) -> Tensor:
        states: list[Any] = [None] * len(self.cells)
        total: Tensor | float = 0.0
        for step in x:
            for i, (conv, norm) in enumerate(zip(self.net.convs, self.net.norms, strict=True)):
                step, states[i] = self.cells[i](norm(conv(step)), states[i])
            total = total + step.mean((2, 3))
        prediction: Tensor = self.net.readout(total / len(x))
        return prediction


def apart(x: Tensor, norm: nn.Module) -> Tensor:
    normalised: Tensor = norm(x.flatten(0, 1))
    return normalised.unflatten(0, x.shape[:2])


def convnets() -> dict[str, Callable[[], nn.Module]]:
    """Name -> how to build the convnet."""

    def lif() -> Neuron:
        return make_neuron("lif", beta=BETA, reset="zero", detach_reset=False)

    def alone() -> Callable[[Tensor, nn.Module], Tensor]:
        neuron = lif()
        return lambda x, norm: neuron(apart(x, norm))[0]

    def with_norm() -> Callable[[Tensor, nn.Module], Tensor]:
        neuron = lif()
        return lambda x, norm: neuron(x, norm=norm)[0]

    found: dict[str, Callable[[], nn.Module]] = {
        "ReLU": lambda: Folded(lambda: lambda x, norm: torch.relu(apart(x, norm))),
        "spikeva LIF": lambda: Folded(alone),
        "spikeva BN + LIF": lambda: Folded(with_norm),
        "spikeva LIF, sparse": lambda: Folded(alone, SparseConv2d),
        "spikeva BN + LIF, sparse": lambda: Folded(with_norm, SparseConv2d),
    }
    if side.found("snntorch"):
        found["snntorch, hard reset"] = lambda: Loop(lambda: leaky(False))
        found["snntorch, delayed reset"] = lambda: Loop(lambda: leaky(True))
    if side.found("norse"):
        from norse.torch import LIFBoxCell, LIFBoxParameters

        def norse_cell() -> Callable[[Tensor, Any], tuple[Tensor, Any]]:
            cell = LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor(1 - BETA)), dt=1.0)
            return lambda x, state: cell(x / (1 - BETA), state)

        found["norse"] = lambda: Loop(norse_cell)
    if side.found("spikingjelly"):

        def node() -> Callable[[Tensor, nn.Module], Tensor]:
            lif = jelly()
            return lambda x, norm: lif(apart(x, norm))[0]

        found["spikingjelly"] = lambda: Folded(node)
    return found


def leaky(delay: bool) -> Callable[[Tensor, Any], tuple[Tensor, Any]]:
    """snntorch's LIF: (input, membrane or None) -> (spikes, membrane)."""
    import snntorch

    cell = snntorch.Leaky(beta=BETA, reset_mechanism="subtract" if delay else "zero", reset_delay=delay)
    return lambda x, state: cell(x, cell.reset_mem() if state is None else state)


def jelly() -> "Jelly":
    """spikingjelly's LIF; on a GPU its own kernels: native ones where it was built with them, else Triton's."""
    from spikingjelly.activation_based import surrogate
    from spikingjelly.activation_based.neuron import LIFNode

    return Jelly(
        LIFNode(
            1 / (1 - BETA), decay_input=False, v_reset=0.0, detach_reset=False, surrogate_function=surrogate.ATan(),
            step_mode="m",
        )
    )  # fmt: skip


class Relu(nn.Module):
    """ReLU in a neuron's place."""

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        return torch.relu(x), None


class Jelly(nn.Module):
    """spikingjelly's neuron in the place of one of ours."""

    def __init__(self, node: nn.Module) -> None:
        super().__init__()
        self.node = node

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        from spikingjelly.activation_based import functional

        functional.reset_net(self.node)
        return self.node(x), None


class Cell(nn.Module):
    """A library's neuron for one time step in the place of one of ours: [1, B, ...] and its state."""

    def __init__(self, cell: Callable[[Tensor, Any], tuple[Tensor, Any]]) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        spikes, state = self.cell(x[0], state)
        return spikes[None], state


class Stepped(nn.Module):
    """Layers that see one time step after the other, as the libraries' examples go: [T, B, ...] -> [T, B, ...]."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        spikes, state = [], None
        for step in x.split(1):
            out, state = self.layers(step, state)
            spikes.append(out)
        return torch.cat(spikes), state


class Apart(nn.Module):
    """A neuron that no norm is fused with."""

    def __init__(self, neuron: Neuron) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return self.neuron(x, state)


def resnets() -> dict[str, Callable[[], nn.Module]]:
    """Name -> how to build the spiking ResNet-18 or its relatives."""

    def build(replace: Callable[[Neuron], nn.Module] | None = None, sparse: bool = False, **options: Any) -> nn.Module:
        model = create_model("snn_resnet18_fusion", in_channels=2, neuron="lif", **options)
        for module in list(model.modules()):
            if type(module) in STOCK and not sparse:
                stock = STOCK[type(module)]
                module.forward = functools.partial(stock.forward, module)  # type: ignore[method-assign]  # PyTorch's own forward is the contestant
            for name, child in list(module.named_children()):
                # the readout's leaky integrator stays; a neuron in `Apart` is met again inside it
                if replace and isinstance(child, Neuron) and child.spiking and not isinstance(module, Apart):
                    setattr(module, name, replace(child))
        return model

    def stepped(delay: bool) -> nn.Module:
        model = build(lambda _: Cell(leaky(delay)))
        model.body = Stepped(model.body)
        return model

    found: dict[str, Callable[[], nn.Module]] = {
        "ReLU": lambda: build(lambda _: Relu()),
        "spikeva LIF": lambda: build(Apart),
        "spikeva BN + LIF": build,
        "spikeva LIF, sparse": lambda: build(Apart, sparse=True),
        "spikeva BN + LIF, sparse": lambda: build(sparse=True),
    }
    if side.found("snntorch"):
        found["snntorch, hard reset"] = lambda: stepped(False)
        found["snntorch, delayed reset"] = lambda: stepped(True)
        found["backend snntorch"] = lambda: build(backend="snntorch")
    if side.found("spikingjelly"):
        found["spikingjelly"] = lambda: build(lambda _: jelly())
    return found


def neurons() -> dict[str, Callable[[], nn.Module]]:
    """Name -> how to build snn_convnet with each neuron."""
    found: dict[str, Callable[..., nn.Module]] = {"ReLU": lambda: create_model("ann_convnet", in_channels=2)}
    for name in sorted({*list_neurons()} - {"li"}):  # which does not spike
        found[name] = functools.partial(create_model, "snn_convnet", in_channels=2, neuron=name)
    if side.found("snntorch"):
        found["snntorch, lif"] = functools.partial(found["lif"], backend="snntorch")
    return found
