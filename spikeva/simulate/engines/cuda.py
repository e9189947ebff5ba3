"""The pixel model on a GPU: chunks of frames through the Triton kernels, events counted, placed and written there.

A chunk takes two looks of the host: at the largest number of events of a pixel in each frame, which says how many slots there
are, and at the number of events, which says how much room they take.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeva.simulate.engines import cuda_kernels as kernels
from spikeva.simulate.pixel import DVSPixel
from spikeva.simulate.timing import check_slots

if TYPE_CHECKING:
    from spikeva.simulate.engines.device import DeviceColumns, TorchEngine

CHUNK = 1 << 24  # pixels x frames worked on at a time
TABLE = 1 << 24  # entries of a table of counts
GRID = 65_535  # CUDA's limit of a grid's second axis
LAUNCH = {"BLOCK": kernels.BLOCK, "num_warps": 4, "enable_fp_fusion": False}


class Chunk(NamedTuple):
    """What is known of F frames of N clips, [N, F, n] unless said, on the device; of size 1 where there is no use for it."""

    records: Tensor  # int32, see `cuda_kernels`
    lasts: Tensor  # time of the last event before the frame, s
    befores: Tensor  # signal - base when the frame starts, in the state's precision
    afters: Tensor  # and when it ends
    steps: Tensor  # parameters [F, COLUMNS], float64
    most: Tensor  # the largest number of events of a pixel [N, F], at least 1, int32


def covers(pixel: DVSPixel) -> bool:
    """Whether the kernels know all that the pixel does."""
    return not (pixel.photoreceptor_noise or pixel.cs_lambda_pixels or pixel.scidvs)


def frame_steps(pixel: DVSPixel, before: float, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernels' parameters [F, COLUMNS] of the frames at `seconds`, with `before` the time before the first."""
    starts = np.concatenate([[before], seconds[:-1]])
    dt = seconds - starts
    low_pass = dt / (1 / (np.pi * 2 * pixel.cutoff_hz)) if pixel.cutoff_hz > 0 else 0 * dt
    period = np.full_like(dt, pixel.refractory_period_s)
    return np.stack([starts, seconds, low_pass, pixel.shot_noise_rate_hz / 2 * dt, period], axis=1)


class KernelRunner:
    """Takes the clips of a `TorchEngine` on from their second frame, in its state."""

    def __init__(self, engine: "TorchEngine") -> None:
        self.engine, self.pixel = engine, engine.sensor.pixel
        self.clips, self.n = engine.on.shape
        self.device = engine.on.device
        self.blocks = -(-self.n // kernels.BLOCK)
        self.length = max(1, min(CHUNK // (self.clips * self.n), GRID))
        seeds = np.array([s.seed for s in engine.sensors], np.uint64)
        self.seeds = torch.from_numpy(seeds.view(np.int64)).to(self.device)
        self.crossing = engine.sensor.timing == "crossing"
        self.wait = self.pixel.refractory_period_s > 0
        self.shot = self.pixel.shot_noise_rate_hz > 0
        self.constants = {"CROSSING": self.crossing, "WAIT": self.wait, "SHOT": self.shot, **LAUNCH}

    def events(self, frames: Tensor, seconds: NDArray[np.float64]) -> Iterator[list["DeviceColumns"]]:
        """Events of each clip in `frames` [N, T, H, W] at `seconds` [T], some frames at a time."""
        for start in range(0, len(seconds), self.length):
            part = slice(start, start + self.length)
            luma = frames[:, part].to(self.device).flatten(2).contiguous()
            with torch.cuda.device(luma.get_device()):  # none for -1, a CPU
                chunk = self._expose(luma, seconds[part])
                slots = chunk.most.cpu().numpy().astype(np.int64)
                for most, time in zip(slots.max(axis=0).tolist(), seconds[part].tolist(), strict=True):
                    check_slots(most, time)
                rows = slots + self.shot
                blocks = [self._emit(chunk, rows[:, a:b], a) for a, b in self._spans(rows.sum(axis=0))]
            yield from blocks

    def _expose(self, luma: Tensor, seconds: NDArray[np.float64]) -> Chunk:
        """Run the pixels over `luma` [N, F, n]."""
        e, pixel, count = self.engine, self.pixel, luma.shape[1]

        def room(dtype: torch.dtype, needed: bool = True) -> Tensor:
            return torch.empty(luma.shape if needed else (1,), dtype=dtype, device=self.device)

        chunk = Chunk(
            records=room(torch.int32),
            lasts=room(torch.float64 if self.crossing else torch.float32, self.wait),
            befores=room(e.dtype, self.crossing),
            afters=room(e.dtype, self.crossing),
            steps=torch.from_numpy(frame_steps(pixel, e.time, seconds)).to(self.device),
            most=torch.ones(luma.shape[:2], dtype=torch.int32, device=self.device),
        )
        grid = self.blocks, self.clips
        one_by_one = self.wait and not self.crossing
        for begin in range(count) if one_by_one else [0]:
            kernels.expose[grid](
                luma, *chunk, e.byte_log, e.byte_intensity, e.inverse, e.log_cell, self.seeds,
                e.on, e.off, e.on_step, e.off_step, e.leak_hz, e.state, e.base, e.last,
                begin, begin + 1 if one_by_one else count, e.frame, count, self.n,
                float(pixel.leak_jitter_fraction), float(pixel.pos_thres), float(pixel.neg_thres),
                BYTES=luma.dtype == torch.uint8, LOW_PASS=pixel.cutoff_hz > 0, LEAK=pixel.leak_rate_hz > 0, **self.constants,
            )  # fmt: skip
            if one_by_one:
                kernels.memorise[grid](
                    chunk.records, chunk.lasts, chunk.steps, chunk.most,
                    e.on_step, e.off_step, e.state, e.base, e.last, begin, count, self.n, **LAUNCH,
                )  # fmt: skip
        e.frame, e.time = e.frame + count, float(seconds[-1])
        return chunk

    def _spans(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Spans of frames, of `rows` [F] rows each, whose tables keep to TABLE where there is more than one."""
        begin = 0
        for end in range(1, len(rows) + 1):
            if end == len(rows) or rows[begin : end + 1].sum() * self.blocks > TABLE:
                yield begin, end
                begin = end

    def _emit(self, chunk: Chunk, rows: NDArray[np.int64], begin: int) -> list["DeviceColumns"]:
        """Events of each clip in the frames from `begin` on, for which the table has `rows` [N, frames] rows."""
        e = self.engine
        ends = rows.cumsum().reshape(rows.shape)
        first_rows = torch.from_numpy(ends - rows).to(self.device)
        table = torch.zeros(int(ends[-1, -1]) * self.blocks, dtype=torch.int32, device=self.device)
        grid = self.blocks, rows.shape[1], self.clips

        def replay(starts: Tensor, events: tuple[Tensor, ...], emit: bool) -> None:
            kernels.replay[grid](
                *chunk, e.on, e.off, first_rows, table, starts, *events,
                begin, chunk.records.shape[1], self.n, e.sensor.size[0], self.blocks, EMIT=emit, **self.constants,
            )  # fmt: skip

        replay(table, self._room(0), False)
        stops = table.cumsum(0, dtype=torch.int64)
        last_entries = torch.from_numpy(ends[:, -1] * self.blocks - 1).to(self.device)
        bounds = [0, *stops[last_entries].tolist()]
        events = self._room(bounds[-1])
        replay(stops - table, events, True)
        return [self._in_order(*(column[a:b] for column in events)) for a, b in pairwise(bounds)]

    def _room(self, count: int) -> tuple[Tensor, ...]:
        """t, x, y, p and the keys of crossing times for `count` events; as the engine's."""
        types = torch.int64, torch.int16, torch.int16, torch.uint8, torch.int64
        return tuple(torch.empty(count, dtype=dtype, device=self.device) for dtype in types)

    def _in_order(self, t: Tensor, x: Tensor, y: Tensor, p: Tensor, keys: Tensor) -> "DeviceColumns":
        """A clip's events, sorted by their keys where these say when thresholds were crossed."""
        if self.crossing:
            order = torch.argsort(keys, stable=True)
            t, x, y, p = (column[order] for column in (t, x, y, p))
        return t, x, y, p
