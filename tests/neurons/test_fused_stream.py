"""Stores past the cache: the same numbers as ordinary ones, wherever a row begins and ends."""

import numpy as np
import pytest
import torch
from torch import nn

from spikeva._compiled import njit
from spikeva.neurons import fused_numba, make_neuron
from spikeva.neurons.bnlif import BNLIF
from spikeva.neurons.fused_stream import LINE, fence, stream
from spikeva.neurons.fused_team import aligned


@njit()
def copied(to: np.ndarray, of: np.ndarray) -> None:
    stream(to, of)
    fence()


@pytest.mark.parametrize("first", [0, 1, 15])
@pytest.mark.parametrize("length", [0, 1, LINE - 1, LINE, LINE + 1, 5 * LINE + 3])
def test_a_row_is_stored_and_nothing_beside_it(first: int, length: int) -> None:
    room = aligned(4 * 8 * LINE).view(np.float32)
    room[:] = -1
    source = np.random.default_rng(0).random(length + 2, np.float32)
    copied(room[first : first + length], source)
    assert np.array_equal(room[first : first + length], source[:length])
    assert (np.delete(room, np.s_[first : first + length]) == -1).all()


class Fenced:
    """Rows to work in that begin as NaN, and one after them that must stay so."""

    def __init__(self) -> None:
        self.after: list[np.ndarray] = []

    def rows(self, shares: int, rows: int, width: int) -> np.ndarray:
        memory = aligned(4 * (shares * rows + 1) * width).view(np.float32)
        memory[:] = np.nan
        self.after.append(memory[-width:])
        return memory[:-width].reshape(shares, rows, width)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("steps", [7, 8])
@pytest.mark.parametrize(
    ("neuron", "norm", "joined", "plane"),
    [
        ("lif", False, False, (33, 65)),  # blocks of several chunks, rows at no line's start
        ("cuba", False, True, (5, 7)),
        ("plif", True, True, (9, 11)),  # gradients go through the BatchNorm later
        ("lif", True, True, (50, 90)),  # and while a channel is in the cache
    ],
)
def test_outputs_and_gradients_are_those_of_ordinary_stores(
    neuron: str,
    norm: bool,
    joined: bool,
    plane: tuple[int, int],
    steps: int,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    x, shortcut, weights = (torch.randn(steps, 3, 5, *plane) for _ in range(3))
    net = make_neuron(neuron, detach_reset=False)
    if norm:
        net = BNLIF(nn.BatchNorm2d(5), net)
    results, room, before = [], Fenced(), torch.get_num_threads()
    monkeypatch.setattr(fused_numba, "room_of_thread", room)
    try:
        torch.set_num_threads(threads)
        for least in (1 << 40, 0):
            monkeypatch.setattr(fused_numba, "PAST", least)
            leaves = [t.clone().requires_grad_() for t in (x, shortcut)]
            net.zero_grad()
            spikes = net(leaves[0], shortcut=leaves[1] if joined else None)[0]
            (spikes * weights).sum().backward()
            grads = [t.grad for t in (*leaves, *net.parameters()) if t.grad is not None]
            results.append([spikes, *grads])
    finally:
        torch.set_num_threads(before)
    assert room.after
    assert all(np.isnan(row).all() for row in room.after)
    assert len(results[0]) == len(results[1]) > 1
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
