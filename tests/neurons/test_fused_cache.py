"""Compiled code of several processes in one cache: each kernel is still the one that was asked for."""

import os
import subprocess
import sys
from pathlib import Path

VARIANTS = ("atan:zero", "sigmoid:subtract", "triangle:zero")
SCRIPT = """
import sys, torch
from spikeva.neurons import make_neuron

def gradient(variant, threads):
    surrogate, reset = variant.split(":")
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x = torch.randn(4, 2, 6, 130, 130, requires_grad=True)
    spikes, _ = make_neuron("lif", surrogate=surrogate, reset=reset, detach_reset=False)(x)
    (spikes * torch.linspace(-1, 1, x.numel()).view(x.shape)).sum().backward()
    return x.grad

alone = {v: gradient(v, 1) for v in sys.argv[1:]}
assert all(torch.equal(alone[v], gradient(v, 2)) for v in alone)
"""


def test_variants_compiled_by_processes_at_once_stay_apart(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    makers = [subprocess.Popen([*command, variant], env=environment) for variant in VARIANTS]
    assert [maker.wait() for maker in makers] == [0, 0, 0]
    assert subprocess.run([*command, *VARIANTS], env=environment).returncode == 0
