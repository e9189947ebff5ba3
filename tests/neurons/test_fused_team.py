import sys

import numba
import numpy as np
import pytest
import torch

from spikeva.neurons import fused_team


@numba.njit(nogil=True)
def count(x: np.ndarray, add: bool, out: np.ndarray, edges: np.ndarray, share: int) -> None:
    for i in range(edges[share], edges[share + 1]):
        out[i] += x[i] + add


@pytest.mark.parametrize("team", [True, False])
@pytest.mark.parametrize("shares", [1, 2, 7])
def test_every_share_is_done_once(shares: int, team: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not team:
        monkeypatch.setattr(fused_team, "_openmp", False)
    edges = np.linspace(0, 1000, shares + 1).astype(np.int64)
    for dtype in (np.float32, np.float64):
        out = np.zeros(1000, dtype)
        fused_team.share_out(count, (np.arange(1000, dtype=dtype), True, out, edges), shares)
        assert np.array_equal(out, np.arange(1000) + 1)


def test_memory_laid_out_differently_is_another_type() -> None:
    out, edges = np.zeros(10, np.float32), np.array([0, 5, 10])
    for x in (np.arange(10, dtype=np.float32), np.arange(20, dtype=np.float32)[::2]):
        fused_team.share_out(count, (x, False, out, edges), 2)
    assert out.tolist() == [3.0 * i for i in range(10)]


def test_torch_has_the_openmp_that_is_looked_for() -> None:
    if sys.platform != "linux" or "OpenMP" not in torch.__config__.parallel_info():
        pytest.skip("torch's threads are another system's here")
    assert fused_team._openmp
