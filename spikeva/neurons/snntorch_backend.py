"""The backend 'snntorch': its Leaky and Synaptic, fed our parameters at every call.

The library's object is held outside the module tree and owns nothing: parameters, state and reset stay ours, so that
the state_dict is the same for every backend and a layer can be pickled and copied. An immediate reset is applied here
(`reset_mechanism="none"`), which is its only exact form: the library's own reset_delay=False tests the membrane again
after the reset. The delayed reset is the library's own.
"""

from threading import Lock
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from spikeva.neurons.base import Rule, Run, Runner, State, Step
from spikeva.neurons.cuba import cuba_step
from spikeva.neurons.li import li_step
from spikeva.neurons.lif import lif_step
from spikeva.neurons.rlif import Recurrent, rlif_step

if TYPE_CHECKING:
    from spikeva.neurons.base import Neuron


def why_not(neuron: "Neuron") -> str | None:
    """What keeps snntorch from running `neuron`, None where it can."""
    step, rule = type(neuron).step, neuron.rule
    if step not in (lif_step, rlif_step, cuba_step, li_step):
        return "snntorch has no such dynamics; use backend 'fused'"
    if rule.reset == "subtract_delayed" and not rule.detach:
        return "snntorch always detaches its delayed reset; set detach_reset=True or use backend 'fused'"
    return None


def build(neuron: "Neuron") -> Runner:
    """The callable that runs this neuron's layers."""
    step = type(neuron).step
    return Recurrent(SnnTorch(lif_step, neuron.rule)) if step is rlif_step else SnnTorch(step, neuron.rule)


class SnnTorch:
    """Runs the layers of one neuron on a snntorch object of its own, built on demand and never pickled."""

    def __init__(self, step: Step, rule: Rule) -> None:
        import snntorch

        kind = snntorch.Synaptic if step is cuba_step else snntorch.Leaky
        args: dict[str, Any] = {"beta": 0.5, "alpha": 0.5} if step is cuba_step else {"beta": 0.5}
        delayed = rule.reset == "subtract_delayed" and step is not li_step
        self._made_from, self._turn = (step, rule), Lock()
        self.library = kind(
            **args, spike_grad=rule.surrogate, reset_mechanism="subtract" if delayed else "none", reset_delay=True
        )
        # the class keeps every object ever built in this list; ours would never be freed
        instances = snntorch.SpikingNeuron.instances
        instances[:] = [other for other in instances if other is not self.library]

    def __reduce__(self) -> tuple[type["SnnTorch"], tuple[Step, Rule]]:
        return SnnTorch, self._made_from

    def __call__(self, run: Run) -> tuple[Tensor, State]:
        if torch.compiler.is_compiling():
            return self._run(run)
        with self._turn:  # the library's object holds a call's state meanwhile
            return self._run(run)

    def _run(self, run: Run) -> tuple[Tensor, State]:
        library, state, wide = self.library, run.state, run.state[0].dtype
        fed = {"beta": "beta", "theta": "threshold"} | ({"alpha": "alpha"} if run.step is cuba_step else {})
        for ours, theirs in fed.items():
            value = run.p.get(ours, run.p["beta"])  # an integrator has no threshold: any will do
            setattr(library, theirs, value.view_as(value))  # a parameter itself would become one of the library's
        places = ("syn", "mem") if run.step is cuba_step else ("mem",)
        outputs = []
        for x in run.x:
            # where the library's own call would put it, after `state == None`, which torch before 2.13 does not compile
            for place, value in zip(places, state, strict=True):
                setattr(library, place, value)
            spikes, *rest, v = library(x.to(wide))
            if run.step is li_step:
                spikes = v
            else:
                v = run.rule.discharge(v, spikes, run.p["theta"])
            state = (*rest, v)
            outputs.append(spikes.to(run.x.dtype))
        self._forget(wide)
        return torch.stack(outputs), state

    def _forget(self, dtype: torch.dtype) -> None:
        """Leave no tensor of the call in the library's object: it would keep the graph alive."""
        for name in ("mem", "syn", "alpha", "beta", "threshold", "reset"):
            if hasattr(self.library, name):
                setattr(self.library, name, torch.zeros(0, dtype=dtype))
