"""What one prediction costs a network: operations from real inputs, state, memory traffic, energy, latency, peak memory.

`operations` says what is counted and how.
"""

import gc
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from spikeva.errors import UserError
from spikeva.evaluation.operations import Layer, count

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

    def picojoules(self, done: Layer) -> float:
        """The energy of what was counted."""
        macs = done.effective_macs if self.zero_skipping else done.macs
        arithmetic = self.mac * macs + self.ac * done.acs + self.state_update * done.state_updates
        return arithmetic + self.memory_access * done.memory_accesses


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


def measure(model: "nn.Module", batch: "Tensor", kind: str, *, repeats: int = 20) -> dict[str, Any]:
    """The cost per sample of `model` on `batch` `[B, T, C, H, W]`, which are real inputs: operations depend on them.

    `{parameters, macs, acs, dense, effective_macs, state_updates, memory_accesses, spike_rate, energy_pj,
    energy_models_pj, latency_ms, peak_memory_bytes, uncounted, layers}`. Counts are means over the B samples.
    spike_rate: spikes per neuron and time step (None without spiking layers). energy_pj: under "45nm-arithmetic"; the
    others in energy_models_pj. latency_ms: median of `repeats` runs of one sample on the model's device.
    peak_memory_bytes: parameters, buffers, input and every tensor alive at the fullest moment of one sample's
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
            tally = count(model, batch)
            peak = peak_memory(model, batch[:1])
            latency = _latency(model, batch[:1], repeats)
    finally:
        model.train(training)
    emitted = sum(tally.emitted.values())
    if kind == "snn" and not tally.emitted:
        raise UserError("kind 'snn', but no layer with the attribute `spiking = True` ran; give such layers one")
    layers = list(tally.layers.values())
    counts = ("dense", "macs", "effective_macs", "acs", "state_updates", "spikes", "memory_accesses")
    sums = {name: sum(getattr(layer, name) for layer in layers) for name in counts}
    total = Layer("total", type(model).__name__, **sums)
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

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class has no types
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            for leaf in tree_iter((args, kwargs, out)):
                if isinstance(leaf, torch.Tensor):
                    see(leaf)
            return out

    with torch.no_grad(), _no_garbage_collection(), Watch():  # type: ignore[no-untyped-call]  # torch's class has no types
        for tensor in (*model.parameters(), *model.buffers(), *inputs):
            see(tensor)
        model(*inputs)
    return peak


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Tensors caught in reference cycles then live on, instead of dying at a moment that differs from run to run."""
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
