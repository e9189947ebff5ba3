"""What one window costs a network: operations from real inputs, state, memory traffic, energy, latency, peak memory.

Rule of counting (that of NeuroBench, Yik et al. 2025): a layer call whose inputs are all -1, 0 or 1 needs no
multiplication, so its operations are accumulates (AC) and only those of non-zero inputs and weights happen; any other
call needs multiply-accumulates (MAC). Padding is no input. Biases, normalisation, pooling and activations are not
counted; neurons are counted as state updates.

A spiking or leaky layer is told by its attribute `spiking`: True where it emits spikes, False where it only keeps a
state.
"""

import gc
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from spikeva.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class EnergyModel:
    """Picojoules an operation, and which operations are charged."""

    mac: float
    ac: float
    source: str
    state_update: float = 0.0
    memory_access: float = 0.0
    zero_skipping: bool = False

    def picojoules(self, count: "Layer") -> float:
        """The energy of what was counted."""
        macs = count.effective_macs if self.zero_skipping else count.macs
        arithmetic = self.mac * macs + self.ac * count.acs + self.state_update * count.state_updates
        return arithmetic + self.memory_access * count.memory_accesses


_HOROWITZ = "45 nm, float32: Horowitz, ISSCC 2014 (add 0.9 pJ, multiply 3.7 pJ)"
ENERGY_MODELS = {
    "45nm-arithmetic": EnergyModel(4.6, 0.9, f"{_HOROWITZ}; MACs and ACs only"),
    "45nm-zero-skipping": EnergyModel(
        4.6, 0.9, f"{_HOROWITZ}; as 45nm-arithmetic on hardware that skips an ANN's zeros too", zero_skipping=True
    ),
    "45nm-memory": EnergyModel(
        4.6,
        0.9,
        f"{_HOROWITZ}; a state update is one MAC; a 32-bit access to small SRAM 5 pJ (Han et al., NIPS 2015)",
        state_update=4.6,
        memory_access=5.0,
    ),
}


@dataclass
class Layer:
    """Counts of one layer, per window (sample).

    `dense`: connections times uses, zeros included. `macs` and `acs` as in the rule above; `effective_macs` leaves
    out MACs with a zero input or weight. `memory_accesses` are 32-bit words without any reuse: a MAC reads its weight
    and its input, an output is written once; an AC reads its weight and reads and writes its sum, a non-zero input is
    read once; a state update reads and writes the state, a spike is written once (after Lemaire et al., ICONIP 2022).
    """

    name: str
    type: str
    dense: float = 0.0
    macs: float = 0.0
    effective_macs: float = 0.0
    acs: float = 0.0
    state_updates: float = 0.0
    spikes: float = 0.0
    spike_rate: float | None = None
    memory_accesses: float = 0.0
    parameters: int = 0


@dataclass
class _Tally:
    """Layers by name in the order of first use, and what no layer accounts for."""

    samples: int
    layers: dict[str, Layer] = field(default_factory=dict)
    emitted: dict[str, int] = field(default_factory=dict)  # outputs of spiking layers, spikes or not
    uncounted: dict[str, int] = field(default_factory=dict)
    inside: int = 0

    def layer(self, name: str, module: "nn.Module") -> Layer:
        parameters = sum(p.numel() for p in module.parameters(recurse=False))
        return self.layers.setdefault(name, Layer(name, type(module).__name__, parameters=parameters))


def measure(model: "nn.Module", batch: "Tensor", kind: str, *, repeats: int = 20) -> dict[str, Any]:
    """The cost per window of `model` on `batch` `[B, T, C, H, W]`, which are real inputs: operations depend on them.

    `{parameters, macs, acs, dense, effective_macs, state_updates, memory_accesses, spike_rate, energy_pj,
    energy_models_pj, latency_ms, peak_memory_bytes, uncounted, layers}`. Counts are means over the B windows.
    spike_rate: spikes per neuron and time step (None without spiking layers). energy_pj: under "45nm-arithmetic"; the
    others in energy_models_pj. latency_ms: median of `repeats` runs of one window on the model's device.
    peak_memory_bytes: parameters, buffers, input and every tensor alive at the fullest moment of one window's
    inference. uncounted: matrix products outside any layer known here. All but latency_ms are the same at every run.
    Raises UserError for kind "snn" without a spiking layer.
    """
    import torch

    if kind not in ("ann", "snn"):
        raise UserError(f"kind must be 'ann' or 'snn', not {kind!r}")
    if batch.ndim == 0 or not len(batch):
        raise UserError(f"the cost needs at least one window, not a batch of shape {tuple(batch.shape)}")
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            tally = _count(model, batch)
            peak = peak_memory(model, batch[:1])
            latency = _latency(model, batch[:1], repeats)
    finally:
        model.train(training)
    emitted = sum(tally.emitted.values())
    if kind == "snn" and not tally.emitted:
        raise UserError("kind 'snn', but no layer with the attribute `spiking = True` ran; give such layers one")
    layers = list(tally.layers.values())
    total = Layer("total", type(model).__name__)
    for name in ("dense", "macs", "effective_macs", "acs", "state_updates", "spikes", "memory_accesses"):
        setattr(total, name, sum(getattr(layer, name) for layer in layers))
    energies = {name: energy.picojoules(total) for name, energy in ENERGY_MODELS.items()}
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": total.macs,
        "acs": total.acs,
        "dense": total.dense,
        "effective_macs": total.effective_macs,
        "state_updates": total.state_updates,
        "memory_accesses": total.memory_accesses,
        "spike_rate": total.spikes * tally.samples / emitted if emitted else None,
        "energy_pj": energies["45nm-arithmetic"],
        "energy_models_pj": energies,
        "latency_ms": latency,
        "peak_memory_bytes": peak,
        "uncounted": tally.uncounted,
        "layers": [asdict(layer) for layer in layers],
    }


def peak_memory(model: "nn.Module", *inputs: "Tensor") -> int:
    """The bytes of all tensors alive at the fullest moment of `model(*inputs)`, with parameters, buffers and inputs.

    Storages are followed from the operation that first shows them until they are freed, so the number depends on the
    network and the input's shape alone, not on the allocator; scratch memory inside one operation is not seen.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_iter

    alive: dict[int, int] = {}
    now = peak = 0

    def free(key: int) -> None:
        nonlocal now
        now -= alive.pop(key)

    def see(tensor: "Tensor") -> None:
        nonlocal now, peak
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in alive:
            alive[key] = storage.nbytes()
            weakref.finalize(storage, free, key)
            now += storage.nbytes()
            peak = max(peak, now)

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            for leaf in tree_iter((args, kwargs, out)):
                if isinstance(leaf, torch.Tensor):
                    see(leaf)
            return out

    with torch.no_grad(), _no_garbage_collection(), Watch():  # type: ignore[no-untyped-call]
        for tensor in (*model.parameters(), *model.buffers(), *inputs):
            see(tensor)
        model(*inputs)
    return peak


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Tensors caught in reference cycles then live on, instead of dying at a moment that differs from run to run."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _latency(model: "nn.Module", window: "Tensor", repeats: int) -> float:
    """Median milliseconds of one forward pass, after two that are not counted."""
    import statistics

    import torch

    times = []
    for _ in range(2 + max(1, repeats)):
        if window.is_cuda:
            torch.cuda.synchronize(window.device)
        start = time.perf_counter()
        model(window)
        if window.is_cuda:
            torch.cuda.synchronize(window.device)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[2:])


def _count(model: "nn.Module", batch: "Tensor") -> _Tally:
    """What one forward pass does, told by hooks on every layer; matrix products outside them become `uncounted`."""
    from torch import nn
    from torch.utils._python_dispatch import TorchDispatchMode

    tally = _Tally(samples=len(batch))

    class Outside(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.overloadpacket.__name__
            if not tally.inside and name in _PRODUCTS:
                tally.uncounted[name] = tally.uncounted.get(name, 0) + 1
            return func(*args, **(kwargs or {}))

    def enter(module: Any, args: Any) -> None:
        tally.inside += 1

    def hook(name: str) -> Any:
        def leave(module: Any, args: Any, kwargs: Any, out: Any) -> None:
            if isinstance(getattr(module, "spiking", None), bool):
                _count_neurons(tally, tally.layer(name, module), module, args[0], out)
            else:
                _count_products(tally.layer(name, module), module, args, kwargs, out, tally.samples)
                tally.inside -= 1

        return leave

    counted = (nn.modules.conv._ConvNd, nn.Linear, nn.RNNBase, nn.MultiheadAttention)
    skip: set[str] = set()
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if any(name.startswith(outer) for outer in skip):
                continue
            if isinstance(module, counted) and not getattr(module, "transposed", False):
                hooks.callback(module.register_forward_pre_hook(enter).remove)
                hooks.callback(module.register_forward_hook(hook(name), with_kwargs=True).remove)
                skip.add(name + ".")
            elif isinstance(getattr(module, "spiking", None), bool):
                hooks.callback(module.register_forward_hook(hook(name), with_kwargs=True).remove)
        with Outside():  # type: ignore[no-untyped-call]
            model(batch)
    return tally


_PRODUCTS = {
    "convolution", "mm", "addmm", "bmm", "baddbmm", "addmv", "mv", "dot", "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_attention_math", "_scaled_dot_product_cudnn_attention", "_thnn_fused_lstm_cell",
    "mkldnn_rnn_layer", "_cudnn_rnn",
}  # fmt: skip


def _count_neurons(tally: _Tally, layer: Layer, module: Any, x: "Tensor", out: Any) -> None:
    n = tally.samples
    layer.state_updates += x.numel() / n
    layer.memory_accesses += 2 * x.numel() / n
    if module.spiking:
        spikes = out[0] if isinstance(out, tuple) else out
        emitted = int((spikes != 0).sum())
        layer.spikes += emitted / n
        layer.memory_accesses += emitted / n
        tally.emitted[layer.name] = tally.emitted.get(layer.name, 0) + spikes.numel()
        layer.spike_rate = layer.spikes * n / tally.emitted[layer.name]


def _count_products(layer: Layer, module: Any, args: Any, kwargs: Any, out: Any, n: int) -> None:
    from torch import nn

    x: Tensor = args[0] if args else next(iter(kwargs.values()))
    if isinstance(
        module, nn.RNNBase
    ):  # each weight is used once a step; zeros of the hidden state are not seen from here
        steps = x.shape[:-1].numel()
        dense = effective = steps * sum(p.numel() for k, p in module.named_parameters() if k.startswith("weight"))
    elif isinstance(module, nn.MultiheadAttention):
        dense = effective = _attention_products(module, args, kwargs)
    else:
        dense, effective = _linear_products(module, x)
    if not isinstance(module, nn.RNNBase | nn.MultiheadAttention) and bool(((x == 0) | (x.abs() == 1)).all()):
        layer.acs += effective / n
        layer.memory_accesses += (3 * effective + int((x != 0).sum())) / n
    else:
        first = out[0] if isinstance(out, tuple) else out
        layer.macs += dense / n
        layer.effective_macs += effective / n
        layer.memory_accesses += (2 * dense + first.numel()) / n
    layer.dense += dense / n


def _linear_products(module: Any, x: "Tensor") -> tuple[int, int]:
    """(all products, those of a non-zero input and a non-zero weight) of a convolution or a linear layer on x.

    Products per input position = the gradient of the layer's summed output with every weight 1 (or non-zero ? 1 : 0).
    """
    import torch
    from torch import nn

    weight = module.weight.detach()
    if isinstance(module, nn.Linear):
        used = (x != 0).reshape(-1, module.in_features).sum(0)
        return x.numel() * module.out_features, int((used * (weight != 0).sum(0)).sum())
    batched = x.ndim == weight.ndim
    x = x if batched else x[None]
    groups = module.groups
    present = torch.stack([torch.ones_like(weight, dtype=torch.bool), weight != 0])
    per_tap = (
        present.reshape(2, groups, -1, *weight.shape[1:]).sum(2).double()
    )  # output channels are interchangeable: sum over them
    counts = []
    for taps in per_tap:
        with torch.enable_grad():
            probe = torch.ones(1, *x.shape[1:], dtype=torch.float64, device=x.device, requires_grad=True)
            (fan_out,) = torch.autograd.grad(module._conv_forward(probe, taps, None).sum(), probe)
        counts.append(fan_out[0].round().long())
    return len(x) * int(counts[0].sum()), int(((x != 0).sum(0) * counts[1]).sum())


def _attention_products(module: Any, args: Any, kwargs: Any) -> int:
    """Projections of queries, keys, values and outputs, and the two products of attention itself."""
    given = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
    query, key, value = (given[name] for name in ("query", "key", "value"))
    time_axis = 1 if module.batch_first and query.ndim == 3 else 0
    samples = query.shape[1 - time_axis] if query.ndim == 3 else 1
    queries, keys = query.shape[time_axis], key.shape[time_axis]
    width = module.embed_dim
    projections = queries * width * 2 * width + keys * width * (key.shape[-1] + value.shape[-1])
    return int(samples * (projections + 2 * queries * keys * width))
