"""How many operations a network does on real inputs, layer by layer.

Rule of counting (that of NeuroBench, Yik et al. 2025): a layer call whose inputs are all -1, 0 or 1 needs no
multiplication, so its operations are accumulates (AC) and only those of non-zero inputs and weights happen; any other
call needs multiply-accumulates (MAC). Padding is no input. Biases, normalisation, pooling and activations are not
counted; neurons are counted as state updates.

A spiking or leaky layer is told by its attribute `spiking`: True where it emits spikes, False where it only keeps a
state. One whose spikes come back to it has a parameter `recurrent` [C, C, kernel, kernel], through which they do in the step
after, and the spikes of the step before as the last of its state.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


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
class Tally:
    """Layers by name in the order of first use, and what no layer accounts for."""

    samples: int
    layers: dict[str, Layer] = field(default_factory=dict)
    emitted: dict[str, int] = field(default_factory=dict)  # outputs of spiking layers, spikes or not
    uncounted: dict[str, int] = field(default_factory=dict)
    inside: int = 0

    def layer(self, name: str, module: "nn.Module") -> Layer:
        from torch import nn

        whole = isinstance(module, nn.MultiheadAttention)  # its projection of outputs is a layer within it
        parameters = sum(p.numel() for p in module.parameters(recurse=whole))
        return self.layers.setdefault(name, Layer(name, type(module).__name__, parameters=parameters))


def count(model: "nn.Module", batch: "Tensor") -> Tally:
    """What one forward pass does, told by hooks on every layer; matrix products outside them become `uncounted`."""
    from torch import nn
    from torch.utils._python_dispatch import TorchDispatchMode

    tally = Tally(samples=len(batch))

    class Outside(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class has no types
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
                if _recurrent(module):
                    _count_recurrence(tally.layer(name, module), module, args, out, tally.samples)
                    tally.inside -= 1
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
                if _recurrent(module):
                    hooks.callback(module.register_forward_pre_hook(enter).remove)
                hooks.callback(module.register_forward_hook(hook(name), with_kwargs=True).remove)
        with Outside():  # type: ignore[no-untyped-call]  # torch's class has no types
            model(batch)
    return tally


_PRODUCTS = {
    "convolution", "mm", "addmm", "bmm", "baddbmm", "addmv", "mv", "dot", "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_attention_math", "_scaled_dot_product_cudnn_attention", "_thnn_fused_lstm_cell",
    "mkldnn_rnn_layer", "_cudnn_rnn",
}  # fmt: skip


def _count_neurons(tally: Tally, layer: Layer, module: Any, x: "Tensor", out: Any) -> None:
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


def _recurrent(module: Any) -> bool:
    from torch import nn

    weight = getattr(module, "recurrent", None)
    return isinstance(weight, nn.Parameter) and weight.ndim == 4


def _count_recurrence(layer: Layer, module: Any, args: Any, out: Any, n: int) -> None:
    """The products of the spikes [T, B, C, H, W] or [T, B, C] (the middle tap alone) with the weights of their way back."""
    import torch
    from torch import nn

    spikes, state = out[0] if isinstance(out, tuple) else out, args[1] if len(args) > 1 else None
    heard = torch.cat([torch.zeros_like(spikes[:1]) if state is None else state[-1][None], spikes[:-1]]).flatten(0, 1)
    channels, kernel = module.recurrent.shape[1:3]
    way: nn.Module = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
    way.weight = module.recurrent
    if spikes.ndim == 3:
        way = nn.Linear(channels, channels, bias=False)
        way.weight = nn.Parameter(module.recurrent[..., kernel // 2, kernel // 2])
    _count_products(layer, way, (heard,), {}, heard, n)


def _count_products(layer: Layer, module: Any, args: Any, kwargs: Any, out: Any, n: int) -> None:
    from torch import nn

    x: Tensor = args[0] if args else next(iter(kwargs.values()))
    if isinstance(module, nn.RNNBase):
        # Each weight is used once a step; zeros of the hidden state cannot be seen from here.
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
    # Output channels are alike to an input, so that one channel a group, weighted by how many there are, does for all.
    per_tap = present.reshape(2, groups, -1, *weight.shape[1:]).sum(2).double()
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
