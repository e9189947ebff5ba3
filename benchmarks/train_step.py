"""A training step of the same net with ReLU, with our neurons and with the libraries' loops, side by side.

    python benchmarks/train_step.py [--net convnet|resnet18|neurons] [--threads 1] [--repeats 7] [--batch 4] [--channels-last]
        [--profile] [--memory default|kept]

convnet: 2-32-64-128-256 3 x 3 stride-2 convolutions with BatchNorm, neurons and a linear readout, on [16, 4, 2, 96, 96].
resnet18: snn_resnet18_fusion on [1, 8, 2, 96, 96] beside itself with ReLU or a library's neurons for its own; "backend snntorch" is
snntorch's neuron behind convolutions that see all time steps at once.
neurons: snn_convnet with each neuron, and its twin ann_convnet, which sees every step as a frame, on [16, 24, 2, 64, 64].
On a GPU: bfloat16, [16, 64, 2, 96, 96] and [16, 16, 2, 128, 128]; `--batch` is another size of the batch.
All convolutions and poolings are PyTorch's, but for "sparse": there the products with 0 are left out, and a pooling keeps
little for its backward pass, as in all spiking models of spikeva on a CPU.
The libraries' surrogates are atan, ours is its default, a sigmoid, which costs more.
`--profile` says instead where a step's time goes, operation by operation, and where an epoch's does: reading, encoding,
batching, transfer, model. Peak memory is what two steps add to a built net and its input, gradients included, in a process of its own where another
such net has made a step before: the median of three processes.
"""

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import sidebyside as side
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from spikeva import create_model
from spikeva.datasets.standins import standin
from spikeva.encode import channels
from spikeva.events import EventClip
from spikeva.models.snn.pool import MaxPool2d
from spikeva.models.snn.sparse.conv import SparseConv2d
from spikeva.neurons import list_neurons, make_neuron
from spikeva.neurons.base import Neuron
from spikeva.training import data

BETA, WIDTHS = 0.9, (2, 32, 64, 128, 256)
LOOPS = ("snntorch", "norse")
PEAKS = 3  # processes whose peak memory is measured: a heap's holes differ from one to the next by several MB
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


def step_of(
    build: Callable[[], nn.Module], batch: Tensor, device: str, layout: torch.memory_format
) -> Callable[[], None]:
    """One training step (forward, loss, backward) of a new net."""
    torch.manual_seed(0)
    model, target = build().to(device, memory_format=layout), torch.zeros(2, device=device)

    def step() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            prediction = model(batch)
        (prediction.float() - target).square().mean().backward()

    return step


def first_built(start: Callable[[], Callable[[], None]]) -> Callable[[], None]:
    """A step that builds its net when it is first called, in the process that calls it."""
    built: list[Callable[[], None]] = []

    def step() -> None:
        if not built:
            built.append(start())
        built[0]()

    return step


def profile_steps(steps: dict[str, Callable[[], None]], repeats: int, device: str) -> None:
    """Print each operation's own milliseconds in a step, of the device's time, medians over steps in turns."""
    clock = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    seen: dict[str, dict[str, list[float]]] = {}
    for round_ in range(repeats + 2):
        for name, step in steps.items():
            with torch.profiler.profile() as profile:
                step()
                if device == "cuda":
                    torch.cuda.synchronize()
            for event in profile.key_averages() if round_ > 1 else ():
                seen.setdefault(event.key, {}).setdefault(name, []).append(getattr(event, clock) / 1000)
    of = {op: {n: statistics.median(t) for n, t in times.items()} for op, times in seen.items()}
    first = sorted(of, key=lambda op: -max(of[op].values()))[:14]
    rows = [(op, *(f"{of[op].get(n, 0):.2f}" for n in steps)) for op in first]
    rows.append(("all", *(f"{sum(t.get(n, 0) for t in of.values()):.2f}" for n in steps)))
    side.table("Own time of the operations in a step, ms", ("operation", *steps), rows)


def profile_epoch(device: str) -> None:
    """Print where the time of an epoch goes: 24 rendered clips, TBR-8 in 3 windows of 80 ms, snn_convnet, batches of 8."""
    spent: dict[str, float] = {}

    def timed(stage: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            found = run(*args, **options)
            if device == "cuda":
                torch.cuda.synchronize()
            spent[stage] = spent.get(stage, 0.0) + time.perf_counter() - start
            return found

        return wrapped

    with tempfile.TemporaryDirectory() as folder:
        standin("afew-va-like", folder, identities=12, clips=2, workers=ThreadPoolExecutor(1))
        options = {"encoding": "tbr", "bits": 8, "dt": 10000}
        windows = data.Windows(sorted(Path(folder).glob("events/*/*.h5")), options, "snn", 3)
        model = create_model("snn_convnet", in_channels=channels("tbr", "snn", bits=8, dt=10000)).to(device)
        optimiser = torch.optim.Adam(model.parameters())

        def epoch() -> None:
            for x, y in DataLoader(windows, 8, shuffle=True):
                x, y = timed("transfer", lambda x=x, y=y: (x.to(device), y.to(device)))()
                loss = timed("model, forward", lambda x=x, y=y: (model(x) - y).square().mean())()
                timed("model, backward", loss.backward)()
                timed("optimiser", optimiser.step)()
                optimiser.zero_grad()

        epoch()
        spent.clear()
        read, encode, model_input, item = EventClip.events, data.encode, data.model_input, data.Windows.__getitem__
        try:
            EventClip.events = timed("reading events", read)
            data.encode, data.model_input = timed("encoding", encode), timed("layout for the model", model_input)
            data.Windows.__getitem__ = timed("item", item)
            timed("epoch", epoch)()
        finally:
            EventClip.events, data.encode, data.model_input, data.Windows.__getitem__ = read, encode, model_input, item
    whole, one = spent.pop("epoch"), spent.pop("item")
    inside = sum(spent[n] for n in ("reading events", "encoding", "layout for the model"))
    spent["rest of a sample"] = one - inside
    spent["batching and the loop"] = whole - sum(spent.values())
    rows = [(n, f"{1000 * t:.0f}", f"{100 * t / whole:.1f} %") for n, t in sorted(spent.items(), key=lambda s: -s[1])]
    rows.append((f"epoch of {len(windows)} samples", f"{1000 * whole:.0f}", "100 %"))
    side.table("An epoch's time, no loader workers", ("stage", "ms", "share"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=["convnet", "resnet18", "neurons"], default="convnet")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, help="sequences a step")
    parser.add_argument("--channels-last", action="store_true", help="weights, and so activations, in that layout")
    parser.add_argument("--profile", action="store_true", help="where a step's time goes, instead of the comparison")
    args = parser.parse_args()
    torch.set_num_threads(1)  # a process that has used several threads hangs where it forks
    device = "cuda" if torch.cuda.is_available() else "cpu"
    builders = {"convnet": convnets, "resnet18": resnets, "neurons": neurons}[args.net]()
    if device == "cuda":  # the sparse convolutions are a CPU's
        builders = {name: build for name, build in builders.items() if "sparse" not in name}
    if args.net == "convnet":
        shape = (16, args.batch or (64 if device == "cuda" else 4), 2, 96, 96)
    elif args.net == "neurons":
        shape = (args.batch or 16, 24, 2, 64, 64)
    else:
        shape = (args.batch or 16, 16, 2, 128, 128) if device == "cuda" else (args.batch or 1, 8, 2, 96, 96)
    batch = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.1).float().to(device)
    torch.set_num_threads(args.threads)
    side.environment("snntorch", "norse", "spikingjelly")
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    starts = {name: functools.partial(step_of, build, batch, device, layout) for name, build in builders.items()}
    if args.profile:
        shown = ("ReLU", "spikeva BN + LIF", "spikeva BN + LIF, sparse")
        profile_steps({name: starts[name]() for name in shown if name in starts}, args.repeats, device)
        profile_epoch(device)
        return
    cuda = device == "cuda"
    peaks = {
        name: statistics.median(side.peak_megabytes(start, cuda) for _ in range(PEAKS))
        for name, start in starts.items()
    }
    times = side.in_turns({name: first_built(start) for name, start in starts.items()}, args.repeats, cuda, seconds=90)
    head: tuple[str, ...] = ("net", "ms", "/ ReLU", "snntorch / it", "peak MB", "/ ReLU")
    relu, peak = times["ReLU"], peaks["ReLU"]
    slowest = next((t for name, t in times.items() if name.startswith("snntorch")), float("nan"))
    rows = [
        (name, f"{t:.1f}", f"{t / relu:.2f}", f"{slowest / t:.2f}", f"{peaks[name]:.0f}", f"{peaks[name] / peak:.2f}")
        for name, t in times.items()
    ]
    if cuda:  # what is left where the CPU gives the GPU its work at once; loops over time wait for the GPU and cannot be captured
        graphs = {name: side.as_graph(start()) for name, start in starts.items() if not name.startswith(LOOPS)}
        alone = side.in_turns(graphs, args.repeats, cuda)
        head = (*head, "as a CUDA graph, ms", "/ ReLU")
        shown = {name: (f"{t:.1f}", f"{t / alone['ReLU']:.2f}") for name, t in alone.items()}
        rows = [(*row, *shown.get(row[0], ("", ""))) for row in rows]
    side.table(f"Training step of {args.net} on {list(shape)}, median of {args.repeats}", head, rows)


if __name__ == "__main__":
    side.in_both_memories(main)
