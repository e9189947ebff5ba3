"""The backend 'fused': one kernel over the whole time axis where `fused_ops` has one, else the eager reference.

A neuron is known by its step function, so a subclass that changes `step` is never run by another neuron's kernel.
"""

from typing import TYPE_CHECKING

from torch import Tensor

from spikeva.neurons import fused_ops
from spikeva.neurons.base import Run, Runner, State, scan

if TYPE_CHECKING:
    from spikeva.neurons.base import Neuron


def why_not(neuron: "Neuron") -> str | None:
    """None: every neuron with a step runs here, in a kernel or as the eager reference."""
    return None


def build(neuron: "Neuron") -> Runner:
    """The callable that runs this neuron's layers."""
    return execute


def execute(run: Run) -> tuple[Tensor, State]:
    """(output [T, B, ...], last state) of `run`, by its kernel, else by the eager reference."""
    return fused_ops.execute(run) if fused_ops.why_not(run) is None else scan(run)
