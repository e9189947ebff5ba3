"""Spiking models as NIR graphs (Pedersen et al. 2024, "Neuromorphic intermediate representation"): export and import.

A NIR neuron is a differential equation; a step of length dt turns tau v' = -v + r x into v + dt/tau (r x - v), so that

    tau = dt / (1 - beta),  r = tau / dt         give  h = beta v + x,

likewise tau_syn = dt / (1 - alpha), w_in = tau_syn / dt for the current-based LIF, and r = 1 / dt for the IF. BatchNorm is
folded into the convolution before it. Every neuron's parameters have the shape of its layer, one value per neuron. The
graph ends with the readout's currents; how they are gathered over time is no NIR node and is stored as metadata, with dt.

dt is 1e-4 s unless told otherwise: snntorch's importer takes that for granted.
"""

import copy
import io
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikeva import __version__
from spikeva._atomic import write_bytes
from spikeva.errors import UserError
from spikeva.models.snn.layers import Chain, Convolution, Folded, SpikingModel, ThresholdBatchNorm2d
from spikeva.models.snn.readout import LinearReadout
from spikeva.neurons.base import Neuron
from spikeva.neurons.cuba import CUBA, cuba_step
from spikeva.neurons.integrate_fire import IF
from spikeva.neurons.lif import LIF, lif_step

DT = 1e-4
MOST_NEURONS = 1 << 26  # of a graph; writing it takes 53 bytes each (chosen here)


def export_nir(model: nn.Module, path: Path | str, size: tuple[int, int], dt: float = DT) -> Path:
    """Write `model`, in eval mode, for pictures of `size` (height, width) as a NIR file; returns its path.

    Raises UserError that says what NIR has no node for: another reset than to zero, other dynamics than IF, LIF and CUBA,
    max pooling, BatchNorm per step, other topologies than a chain, pooling windows that are not all equal; and for a `dt`
    (seconds) outside of 1e-12 to 1e12, a size that is not above 0, or one that comes to more than 2**26 neurons.
    """
    nir = _nir()
    if not 1e-12 <= dt <= 1e12:  # far from where a time constant in 32 bits is 0 or infinite
        raise UserError(f"dt, the seconds of one step, must be from 1e-12 to 1e12, got {dt:g}")
    if min(size) < 1:
        raise UserError(f"size must be (height, width) of at least 1 pixel each, got {size}")
    if not isinstance(model, SpikingModel) or not isinstance(model.body, Chain):
        raise UserError(f"{type(model).__name__} cannot be exported: NIR export takes a chain of layers (snn_convnet)")
    if not isinstance(model.readout, LinearReadout) or model.readout.score is not None:
        raise UserError("readout 'weighted' cannot be exported: NIR has no node for weights that depend on the spikes")
    nodes = dict(_nodes(fold_norms(model), size, dt))
    names = list(nodes)
    metadata = {
        "dt": dt, "spikeva": __version__, "readout": model.readout.how, "readout_beta": model.readout.beta,
    }  # fmt: skip
    graph = nir.NIRGraph(nodes, list(pairwise(names)), metadata=metadata)
    path = Path(path)
    content = io.BytesIO()  # HDF5 itself, on a disk that is full, ends the process
    nir.write(content, graph)
    write_bytes(path, content.getvalue())
    return path


def import_nir(path: Path | str, backend: str = "auto") -> SpikingModel:
    """The spiking model in a NIR file: a chain of Conv2d, IF, LIF, CubaLIF, AvgPool2d, Flatten and one Affine at its end.

    A file of another program's must hold `dt` in its metadata, or is taken to mean 1e-4 s; its readout is then the mean
    of the currents. Raises UserError for what has no counterpart here, such as a time constant of less than dt.
    """
    nir = _nir()
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        graph = nir.read(path)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not a NIR graph ({type(error).__name__}: {error})") from error
    metadata: dict[str, Any] = {k: v.decode() if isinstance(v, bytes) else v for k, v in graph.metadata.items()}
    dt = _seconds(metadata.get("dt", DT), path)
    nodes = [node for node in _in_order(graph) if not isinstance(node, (nir.Input, nir.Output))]
    *body, head = nodes or [None]
    if not isinstance(head, nir.Affine):
        found = "holds no node" if head is None else f"ends with {_kind(head)}"
        raise UserError(f"{path} must end with an Affine node, the readout's currents; it {found}")
    readout = LinearReadout(
        head.weight.shape[1], metadata.get("readout", "count"), float(metadata.get("readout_beta", 0.9)),
        outputs=head.weight.shape[0],
    )  # fmt: skip
    _fill(readout.linear, head.weight, head.bias)
    return SpikingModel(Chain(*(_layer(node, dt, backend) for node in body)), readout).eval()


def _nir() -> Any:
    try:
        import nir
    except ImportError:
        raise UserError("NIR files need the package nir: pip install 'spikeva[nir]'") from None
    return nir


def _seconds(value: Any, path: Path) -> float:
    """dt as a file's metadata say it."""
    try:
        dt = float(value)
    except (TypeError, ValueError):
        dt = math.nan
    if not 0 < dt < math.inf:
        raise UserError(
            f"{path}: dt in its metadata, the seconds of one step, must be a number above 0, found {value!r}"
        )
    return dt


def _kind(thing: object) -> str:
    return type(thing).__name__


def fold_norms(model: SpikingModel) -> SpikingModel:
    """A copy of a convolutional model whose norms are folded into the convolutions before them, in eval mode.

    The sums are taken in another order than before, so a membrane within rounding of its threshold may fire differently.
    Raises UserError for layers other than convolutions before the last, and for a norm per time step.
    """
    model = copy.deepcopy(model).eval()
    *convolutions, _ = model.body.children()
    for layer in convolutions:
        if not isinstance(layer, Convolution):
            raise UserError(f"{_kind(layer)} cannot be exported: NIR export takes a chain of layers (snn_convnet)")
        conv, norm = layer.conv.module, layer.spikes.norm
        module = norm.module if isinstance(norm, Folded) else norm
        assert isinstance(conv, nn.Conv2d)
        if isinstance(module, nn.BatchNorm2d):
            layer.conv = Folded(_fold(conv, module))
            layer.spikes.norm = Folded(nn.Identity())
        elif not isinstance(module, nn.Identity):
            raise UserError(
                f"norm {_kind(module)} cannot be exported: it has weights per time step, a NIR graph has none"
            )
    return model


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    if isinstance(norm, ThresholdBatchNorm2d):
        scale, shift = scale * norm.theta, shift * norm.theta
    made = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding)  # type: ignore[arg-type]  # pairs, in a Conv2d
    _fill(made, conv.weight.double() * scale[:, None, None, None], shift)
    return made


def _fill(module: nn.Conv2d | nn.Linear, weight: Any, bias: Any) -> None:
    assert module.bias is not None
    with torch.no_grad():
        module.weight.copy_(torch.as_tensor(weight))
        module.bias.copy_(torch.as_tensor(bias))


# ---- export


def _nodes(model: SpikingModel, size: tuple[int, int], dt: float) -> Iterator[tuple[str, Any]]:
    """(name, node) along the chain of a model without norms."""
    nir = _nir()
    *convolutions, _ = model.body.children()
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    x = torch.empty(1, 1, first.in_channels, *size, device="meta")  # of which the shape alone is asked for
    neurons = 0
    yield "input", nir.Input({"input": np.array(x.shape[2:])})
    for i, layer in enumerate(convolutions):
        assert isinstance(layer, Convolution)
        conv = layer.conv.module
        assert isinstance(conv, nn.Conv2d)
        bias = np.zeros(conv.out_channels, np.float32) if conv.bias is None else _array(conv.bias)
        yield (
            f"conv_{i}",
            nir.Conv2d(
                tuple(x.shape[3:]), _array(conv.weight), conv.stride, conv.padding, conv.dilation, conv.groups, bias
            ),
        )
        x = copy.deepcopy(layer.conv).to("meta")(x)[0]
        neurons += x.numel()
        if neurons > MOST_NEURONS:
            raise UserError(
                f"a picture of {size[0]} x {size[1]} comes to {neurons:,} neurons by layer {i + 1}, and NIR holds values of each; "
                f"at most {MOST_NEURONS:,} are written: choose a smaller size"
            )
        yield f"spikes_{i}", _neuron_node(layer.spikes.neuron, x, dt)
        if layer.pool is not None:
            pool = layer.pool.module
            if not isinstance(pool, nn.AvgPool2d):
                raise UserError("pool='max' cannot be exported: NIR has average pooling only")
            sides = (np.array(_pair(value)) for value in (pool.kernel_size, pool.stride, pool.padding))
            yield f"pool_{i}", nir.AvgPool2d(*sides)
            x = layer.pool(x)[0]
    grid = next(m for m in model.body.modules() if isinstance(m, nn.AdaptiveAvgPool2d)).output_size
    assert isinstance(grid, int)
    if any(n % grid for n in x.shape[3:]):
        raise UserError(
            f"a picture of {size[0]} x {size[1]} comes to {x.shape[3]} x {x.shape[4]} before the grid of {grid} x {grid}: "
            f"NIR pools equal windows only; choose a size that comes to a multiple of {grid}"
        )
    window = np.array(x.shape[3:]) // grid
    yield "grid", nir.AvgPool2d(window, window, np.zeros(2, int))
    yield "flatten", nir.Flatten({"input": np.array([x.shape[2], grid, grid])}, 0, -1)
    assert isinstance(model.readout, LinearReadout)
    linear = model.readout.linear
    yield "readout", nir.Affine(_array(linear.weight), _array(linear.bias))
    yield "output", nir.Output({"output": np.array([linear.out_features])})


def _neuron_node(neuron: Neuron, x: Tensor, dt: float) -> Any:
    """The NIR node of `neuron` for a layer of currents `x` [1, 1, C, H, W]."""
    nir = _nir()
    step = type(neuron).step
    if step not in (lif_step, cuba_step):
        raise UserError(f"{_kind(neuron)} cannot be exported: NIR's spiking nodes are IF, LIF and CubaLIF")
    if neuron.rule.reset != "zero":
        raise UserError(
            f"reset {neuron.rule.reset!r} cannot be exported: NIR's {_kind(neuron)} resets to a value, and an importer "
            "would make it a reset to zero without a word; train with reset='zero'"
        )
    shape = tuple(x.shape[2:])
    p = {k: np.broadcast_to(_array(v), shape).copy() for k, v in neuron.parameters_of_step(x).items()}
    theta, zero = p["theta"], np.zeros(shape, np.float32)
    if not neuron.leaky:
        return nir.IF(np.full(shape, 1 / dt, np.float32), theta, zero)
    tau = _tau(p["beta"], dt)
    r = (tau / np.float32(dt)).astype(np.float32)
    if step is lif_step:
        return nir.LIF(tau, r, zero, theta, zero)
    tau_syn = _tau(p["alpha"], dt)
    return nir.CubaLIF(
        tau_syn=tau_syn, tau_mem=tau, r=r, v_leak=zero, v_threshold=theta, v_reset=zero,
        w_in=(tau_syn / np.float32(dt)).astype(np.float32),
    )  # fmt: skip


def _tau(beta: NDArray[np.float32], dt: float) -> NDArray[np.float32]:
    """Time constants that `_beta` turns into exactly `beta`: the nearest float32, or its neighbour where that rounds off."""
    tau = (dt / (1 - beta.astype(np.float64))).astype(np.float32)
    for _ in range(4):
        off = _beta(tau, dt) - beta
        tau = np.where(off == 0, tau, np.nextafter(tau, np.where(off > 0, np.float32(0), np.float32(np.inf))))
    return tau


def _beta(tau: NDArray[np.float32], dt: float) -> NDArray[np.float32]:
    """The decay per step, in the arithmetic of snntorch's importer."""
    return np.asarray(1 - dt / tau, np.float32)


def _array(value: Tensor) -> NDArray[np.float32]:
    return value.detach().cpu().float().numpy()


# ---- import


def _in_order(graph: Any) -> list[Any]:
    """The nodes of a graph that is one chain, from input to output."""
    after = dict(graph.edges)
    if len(after) != len(graph.edges) or len(set(after.values())) != len(after):
        raise UserError("this NIR graph branches or joins; spikeva reads chains")
    starts = set(after) - set(after.values())
    name = starts.pop() if len(starts) == 1 else None
    found: list[Any] = []
    while name is not None and len(found) <= len(graph.nodes):
        found.append(graph.nodes[name])
        name = after.get(name)
    if len(found) != len(graph.nodes):
        raise UserError("this NIR graph is no single chain from an input to an output; spikeva reads chains")
    return found


def _layer(node: Any, dt: float, backend: str) -> nn.Module:
    """The layer of one node."""
    nir = _nir()
    if isinstance(node, nir.Conv2d):
        out, within, *kernel = node.weight.shape
        stride, dilation = _pair(node.stride), _pair(node.dilation)
        padding = node.padding if isinstance(node.padding, str) else _pair(node.padding)
        conv = nn.Conv2d(within * int(node.groups), out, tuple(kernel), stride, padding, dilation, int(node.groups))
        _fill(conv, node.weight, node.bias)
        return Folded(conv)
    if isinstance(node, nir.AvgPool2d):
        return Folded(nn.AvgPool2d(_pair(node.kernel_size), _pair(node.stride), _pair(node.padding)))
    if isinstance(node, nir.Flatten):
        return Folded(nn.Flatten())
    if isinstance(node, nir.Affine):
        raise UserError("an Affine node inside the chain: spikeva reads one, the readout at its end")
    if not isinstance(node, (nir.IF, nir.LIF, nir.CubaLIF)):
        raise UserError(f"NIR node {_kind(node)} has no counterpart here")
    return _neuron(node, dt, backend)


def _neuron(node: Any, dt: float, backend: str) -> Neuron:
    """The neuron of an IF, LIF or CubaLIF node, its input scaled into the threshold where r is another than ours."""
    nir = _nir()
    if np.any(node.v_reset) or np.any(getattr(node, "v_leak", 0)):
        raise UserError(f"NIR node {_kind(node)}: v_leak and v_reset other than 0 have no counterpart here")
    options: dict[str, Any] = {"reset": "zero", "backend": backend}
    scale = node.r * dt
    if isinstance(node, nir.CubaLIF):
        scale = node.r * dt / node.tau_mem * (node.w_in * dt / node.tau_syn)
    elif isinstance(node, nir.LIF):
        scale = node.r * dt / node.tau
    for name, factor in (("v_threshold", node.v_threshold), ("r (or w_in)", scale)):
        if not np.all(factor > 0):
            raise UserError(f"NIR node {_kind(node)}: {name} must be above 0, found {np.min(factor):g}")
    scale = np.where(np.isclose(scale, 1, rtol=1e-5), 1, scale)
    theta = _per_channel(node.v_threshold / scale, "v_threshold")
    values = {"theta": theta}
    if isinstance(node, nir.CubaLIF):
        values |= {"alpha": _decay(node.tau_syn, dt, "tau_syn"), "beta": _decay(node.tau_mem, dt, "tau_mem")}
    elif isinstance(node, nir.LIF):
        values |= {"beta": _decay(node.tau, dt, "tau")}
    channels = None if all(np.ptp(v) == 0 for v in values.values()) else len(theta)
    kind = CUBA if isinstance(node, nir.CubaLIF) else LIF if isinstance(node, nir.LIF) else IF
    neuron = kind(channels=channels, **options)
    for name, value in values.items():
        stored = getattr(neuron, name)
        stored.copy_(torch.as_tensor(value[0] if channels is None else value, dtype=stored.dtype))
    return neuron


def _decay(tau: NDArray[np.float32], dt: float, name: str) -> NDArray[Any]:
    """The decay of each channel in a step of `dt` seconds. Raises UserError for a `tau` of less than one."""
    if not np.all(tau >= np.float32(dt)):
        raise UserError(
            f"{name} of a NIR neuron must be at least a step of {dt:g} s, found {np.min(tau):g} s; is dt in the file's "
            "metadata? Where it is not, 1e-4 s is taken"
        )
    return _per_channel(_beta(tau, dt), name)


def _per_channel(value: NDArray[Any], name: str) -> NDArray[Any]:
    """One value per channel of a full-shape array [C, ...]."""
    flat = np.asarray(value).reshape(len(value), -1)
    if np.any(np.ptp(flat, axis=1)):
        raise UserError(f"{name} varies within a channel; spikeva's neurons have one value per channel or layer")
    return flat[:, 0]


def _pair(value: Any) -> tuple[int, int]:
    a, b = np.broadcast_to(np.asarray(value), 2)
    return int(a), int(b)
