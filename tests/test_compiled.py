"""Compiled code on disk never outlives its sources."""

import os
import subprocess
import sys
import time

import pytest

USER = """
from spikeva._compiled import njit
from values import VALUE

@njit(cache=True)
def value():
    return VALUE
"""
CALL = "import user; print(user.value(), sum(user.value.stats.cache_hits.values()))"


@pytest.fixture
def call(tmp_path):
    (tmp_path / "user.py").write_text(USER)
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}

    def run() -> list[int]:
        ran = subprocess.run(
            [sys.executable, "-c", CALL], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return [int(word) for word in ran.stdout.split()]

    return run


def test_a_constant_of_another_file_is_not_remembered(call, tmp_path):
    values = tmp_path / "values.py"
    values.write_text("VALUE = 1\n")
    assert call() == [1, 0]
    assert call() == [1, 1]  # from the disk
    values.write_text("VALUE = 22\n")
    later = time.time() + 1  # as a file changed after the compiled code was written
    os.utime(values, (later, later))
    assert call() == [22, 0]
