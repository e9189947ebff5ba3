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


@pytest.fixture(params=["beside the sources", "elsewhere"])
def call(tmp_path, request):
    (tmp_path / "user.py").write_text(USER)
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    if request.param == "elsewhere":
        environment["NUMBA_CACHE_DIR"] = str(tmp_path / "elsewhere")

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


def test_nor_is_one_of_a_file_that_was_written_before_and_copied_here_later(call, tmp_path):
    """As by `rsync -a`, which keeps times."""
    values = tmp_path / "values.py"
    values.write_text("VALUE = 1\n")
    assert call() == [1, 0]
    time.sleep(0.05)  # the clock of a file system has steps
    values.write_text("VALUE = 22\n")
    os.utime(values, (1e9, 1e9))
    assert call() == [22, 0]
    assert call() == [22, 1]


def test_where_nothing_can_be_kept_it_is_compiled_anew_and_said(tmp_path):
    """As for another user than the owner of the sources, without a home of their own, in a container."""
    (tmp_path / "user.py").write_text(USER + "\n@njit(cache=True)\ndef twice():\n    return 2 * VALUE\n")
    (tmp_path / "values.py").write_text("VALUE = 1\n")
    (tmp_path / "__pycache__").touch()
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME"), os.devnull)
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | nowhere
    ran = subprocess.run(
        [sys.executable, "-c", CALL + "; print(user.twice())"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (ran.stdout.split(), ran.stderr.count("set NUMBA_CACHE_DIR")) == (["1", "0", "2"], 1), ran.stderr
