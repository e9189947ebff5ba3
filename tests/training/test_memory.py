import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import torch
from spikeva.training.memory import keep_freed

kept = keep_freed() if sys.argv[1] == "keep" else None
def fill(): torch.zeros(12_000_000)
for _ in range(30): fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): fill()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(what: str, **variables: str) -> tuple[str, int]:
    run = [sys.executable, "-W", "ignore", "-c", COUNT, what]
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "LD_PRELOAD"))}
    kept, count = subprocess.run(run, env=plain | variables, capture_output=True, text=True, check=True).stdout.split()
    return kept, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is another here")
def test_a_freed_tensor_is_not_mapped_again() -> None:
    _, without = faults("")
    kept, within = faults("keep")
    assert kept == "True"
    assert within < without / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is another here")
def test_what_the_user_has_set_stays() -> None:
    kept, count = faults("keep", MALLOC_MMAP_THRESHOLD_="131072")
    assert kept == "False"
    assert count > 5 * 1000
