"""The backend 'fused': one kernel over the whole time axis where a provider has one, else the eager reference.

A provider is a module named in PROVIDERS with

    why_not(run: Run) -> str | None            what keeps it from this run (dynamics, device, surrogate), None: nothing
    execute(run: Run) -> tuple[Tensor, State]  (output, last state), equal to `scan(run)`: the same spikes exactly
    STEPS: frozenset[Step]                     the dynamics it has kernels for

A neuron is known by its step function, so a subclass that changes `step` is never run by another neuron's kernel.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from torch import Tensor

from spikeva.neurons.base import Run, Runner, State, scan

if TYPE_CHECKING:
    from spikeva.neurons.base import Neuron

PROVIDERS: tuple[str, ...] = ("spikeva.neurons.fused_ops",)  # module names; the first that can execute a run does

_loaded: list[ModuleType] = []


def providers() -> list[ModuleType]:
    """The provider modules, imported on first use (outside a compiled graph: neurons are built there)."""
    if not _loaded:
        _loaded.extend(import_module(name) for name in PROVIDERS)
    return _loaded


def why_not(neuron: "Neuron") -> str | None:
    """None: every neuron with a step runs here, in a kernel or as the eager reference."""
    return None


def build(neuron: "Neuron") -> Runner:
    """The callable that runs this neuron's layers."""
    providers()
    return execute


def execute(run: Run) -> tuple[Tensor, State]:
    """(output [T, B, ...], last state) of `run`, by the first provider that can, else by the eager reference."""
    for provider in _loaded:
        if provider.why_not(run) is None:
            result: tuple[Tensor, State] = provider.execute(run)
            return result
    return scan(run)
