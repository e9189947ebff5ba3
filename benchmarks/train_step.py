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
from pathlib import Path
from typing import Any

import sidebyside as side
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from train_step_nets import convnets, neurons, resnets

from spikeva import create_model
from spikeva.datasets.standins import standin
from spikeva.encode import channels
from spikeva.events import EventClip
from spikeva.training import data

LOOPS = ("snntorch", "norse")
PEAKS = 3  # processes whose peak memory is measured: a heap's holes differ from one to the next by several MB


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
