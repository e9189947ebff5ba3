"""The pixel model in torch, for clips that live on a GPU: frames stay there, events are compacted there, clips go in batches.

Every operation is one that IEEE 754 rounds exactly, in the reference engine's order and precision, so that a GPU gives the same
events as a CPU. Arrays are [N, n]: clips, pixels. On a GPU with Triton, kernels (`cuda`) do all but the first frame; photoreceptor
noise, surround and SCIDVS go step by step, here.
"""

import math
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikeva.events.stream import Columns
from spikeva.simulate import draws, exact, luma
from spikeva.simulate.noise import filter_step, photoreceptor_vrms
from spikeva.simulate.sensor import SCIDVS_EFOLD, SCIDVS_GAIN, Sensor
from spikeva.simulate.surround import SETTLED, diffusion_steps
from spikeva.simulate.timing import check_slots, join, microseconds, slot_times

MASK = 0xFFFFFFFF
DeviceColumns: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""As `Columns`, on a device. What is not yet handed out has int16 coordinates, which torch can index, in place of uint16 ones."""
HELD = 1 << 26  # events that a GPU holds before they go to the host
DTYPES = {np.dtype(np.float32): torch.float32, np.dtype(np.float64): torch.float64}


class TorchEngine:
    """State of N clips of one pixel type, on `device` (default: where the first frames are)."""

    def __init__(self, *sensors: Sensor, device: str | torch.device | None = None) -> None:
        self.sensors, self.sensor, self.device = sensors, sensors[0], device
        self.frame, self.time = 0, 0.0
        self.state: Any = None
        self.signal: Any = None
        self.base: Any = None
        self.kernels: Any = None  # a `KernelRunner`, where the device and the pixel have one

    def advance(self, frames: Any, seconds: NDArray[np.float64]) -> Columns:
        """Events of one clip's `frames` [T, H, W] (array or tensor, luma 0..255) at `seconds` [T] since its first frame."""
        tensor = frames if isinstance(frames, Tensor) else torch.from_numpy(_plain(frames))
        return self.advance_batch(tensor[None], seconds)[0]

    def advance_batch(self, frames: Tensor, seconds: NDArray[np.float64]) -> list[Columns]:
        """Events of each of the N clips in `frames` [N, T, H, W], which share `seconds` [T]."""
        parts: list[list[Columns]] = []
        held: list[list[DeviceColumns]] = []
        for clips in self._blocks(frames, seconds):
            held.append(clips)
            if sum(len(t) for block in held for t, *_ in block) > HELD:
                parts.append(to_host(self._joined(held)))
                held = []
        if held or not parts:
            parts.append(to_host(self._joined(held)))
        return [join(clip) for clip in zip(*parts, strict=True)]

    def advance_on_device(self, frames: Tensor, seconds: NDArray[np.float64]) -> list[DeviceColumns]:
        """As `advance_batch`, with the events left on the device."""
        return self._joined(list(self._blocks(frames, seconds)))

    def _joined(self, blocks: list[list[DeviceColumns]]) -> list[DeviceColumns]:
        """Events of each clip, one block after the other, to be handed out."""
        nothing = self._columns(*(torch.empty(0, dtype=torch.int64, device=self.on.device) for _ in range(3)))
        parts = blocks or [[nothing] * len(self.sensors)]
        clips = []
        for clip in zip(*parts, strict=True):
            t, x, y, p = (torch.cat(column) if len(column) > 1 else column[0] for column in zip(*clip, strict=True))
            clips.append((t, x.view(torch.uint16), y.view(torch.uint16), p))
        return clips

    def _blocks(self, frames: Tensor, seconds: NDArray[np.float64]) -> Iterator[list[DeviceColumns]]:
        """Events of each clip, some frames at a time."""
        if self.frame == 0:
            self._place(frames.device if self.device is None else torch.device(self.device))
        if self.frame == 0 and len(seconds):
            self._start(self._brightness(self._values(frames, 0))[0])
            self.frame, self.time = 1, float(seconds[0])
            frames, seconds = frames[:, 1:], seconds[1:]
        if self.kernels is not None:
            yield from self.kernels.events(frames, seconds)
            return
        for f, stop in enumerate(seconds.tolist()):
            yield from self._step(self._values(frames, f), stop)
            self.frame, self.time = self.frame + 1, stop

    def _values(self, frames: Tensor, f: int) -> Tensor:
        """Luma [N, n] of frame `f`."""
        return frames[:, f].to(self.on.device).flatten(1)

    def _place(self, device: torch.device) -> None:
        """Maps and tables on `device`."""

        def put(array: Any) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        names = ("on", "off", "on_step", "off_step", "on_ratio", "off_ratio", "leak_hz", "decay_hz")
        maps = {name: put(np.stack([getattr(s, name).ravel() for s in self.sensors])) for name in names}
        self.on, self.off, self.on_step, self.off_step = (maps[n] for n in names[:4])
        self.on_ratio, self.off_ratio, self.leak_hz, self.decay_hz = (maps[n] for n in names[4:])
        self.quantile, self.slope = (put(a) for a in draws.quantiles())
        self.inverse, self.log_cell, self.power = put(exact.INVERSE), put(exact.LOG_CELL), put(exact.POWER)
        self.byte_log, self.byte_intensity = put(luma.LIN_LOG_OF_BYTE), put(luma.INTENSITY_OF_BYTE)
        # Divisors are tensors: CUDA divides by a Python number with its reciprocal, which rounds differently.
        self.grid, self.span, self.sinh_step = (put(np.float64(v)) for v in (luma.GRID, 275.0, exact.STEP))
        self.efold = put(np.array(SCIDVS_EFOLD, self.sensor.dtype))
        self.digits = put(draws.DIGITS)
        self.dtype = DTYPES[self.sensor.dtype]
        if has_kernels(device):
            from spikeva.simulate.engines.cuda import KernelRunner, covers

            self.kernels = KernelRunner(self) if covers(self.sensor.pixel) else None

    def _step(self, values: Tensor, stop: float) -> list[list[DeviceColumns]]:
        s, pixel, dt = self.sensor, self.sensor.pixel, stop - self.time
        log, intensity = self._brightness(values)
        before = self.signal - self.base
        if pixel.cutoff_hz > 0:
            eps = (intensity * (dt / (1 / (math.pi * 2 * pixel.cutoff_hz)))).clamp(max=1)
            self.state = (1 - eps) * self.state + eps * log
        else:
            self.state = log
        self.signal = self._signal(dt)
        noisy = pixel.leak_rate_hz > 0 or pixel.shot_noise_rate_hz > 0
        words = self._words(draws.FRAME) if noisy else log
        if pixel.leak_rate_hz > 0:
            rate = self.leak_hz * (1 - pixel.leak_jitter_fraction * self._jitter(words))
            self.base = self.base - (dt * rate) * self.on_step
        difference = self.signal - self.base
        on, off = _count(difference, self.on), _count(-difference, self.off)
        emit = self._crossings if s.timing == "crossing" else self._slots
        events, passed = emit(before, difference, on - off, stop)
        step = torch.where(passed > 0, self.on_step, self.off_step)
        self.base = self.base + passed.to(torch.float32) * step
        if pixel.photoreceptor_noise or pixel.shot_noise_rate_hz == 0:
            return [events]
        return [events, self._shot(words, intensity, dt, stop)]

    def _start(self, log: Tensor) -> None:
        s = self.sensor
        self.state = log.to(self.dtype)
        self.surround = self.state
        self.voltage = torch.zeros_like(log)
        self.highpass = torch.zeros_like(self.state)
        self.previous: Tensor | None = None
        self.last = torch.full_like(self.state, -float(s.refractory), dtype=torch.float64)
        self.base = self.state - self.surround if s.pixel.cs_lambda_pixels else self.state.clone()
        self.signal = self.base

    def _brightness(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """`luma.lin_log` (float32) and relative intensity (float64)."""
        if values.dtype == torch.uint8:
            index = values.long()
            return self.byte_log[index], self.byte_intensity[index]
        x = values.to(torch.float64)
        bits = x.clamp(min=1.0).view(torch.int64)
        cell = (bits >> 45) & (exact.CELLS - 1)
        mantissa = ((bits & ((1 << 52) - 1)) | (1023 << 52)).view(torch.float64)
        r = mantissa * self.inverse[cell] - 1.0
        series = r * (1.0 + r * (-1 / 2 + r * (1 / 3 + r * (-1 / 4 + r * (1 / 5)))))
        y = ((bits >> 52) - 1023).to(torch.float64) * exact.LN2 + (self.log_cell[cell] + series)
        y = torch.where(x <= luma.KNEE, x * luma.SLOPE, y)
        y = ((y * luma.GRID + exact.ROUND) - exact.ROUND) / self.grid
        return y.to(torch.float32), (x + 20.0) / self.span

    def _words(self, purpose: int) -> Tensor:
        """`draws.words` of every clip, int64 [N, n]."""
        n = self.on.shape[1]
        words = []
        for sensor in self.sensors:
            a = torch.arange((n + 3) // 4, device=self.on.device)
            b, c, d = (torch.full_like(a, v) for v in (self.frame, purpose, 0))
            for k0, k1 in draws.key_schedule(sensor.seed):
                p, q = a * draws.MULTIPLIERS[0], c * draws.MULTIPLIERS[1]  # the wrapped product has the right bits
                a, b, c, d = ((q >> 32) & MASK) ^ b ^ k0, q & MASK, ((p >> 32) & MASK) ^ d ^ k1, p & MASK
            words.append(torch.stack((a, b, c, d), dim=1).flatten()[:n])
        return torch.stack(words)

    def _jitter(self, words: Tensor) -> Tensor:
        """`draws.jitter`."""
        pairs = (words & 0x0F0F) + ((words >> 4) & 0x0F0F)
        return (((pairs & 0xFF) + (pairs >> 8)).to(torch.float32) - 30) * self.digits

    def _normal(self, words: Tensor) -> Tensor:
        """`draws.normal`."""
        bits = (2 * (words >> 9) + 1).to(torch.float32).view(torch.int32)
        index = (bits >> (23 - draws.BITS)) - (127 << draws.BITS)
        within = (bits & ((1 << (23 - draws.BITS)) - 1)).to(torch.float32) * 2.0 ** (draws.BITS - 23)
        z = self.quantile[index] + within * self.slope[index]
        return torch.where((words & 1) == 1, -z, z)

    def _signal(self, dt: float) -> Tensor:
        pixel = self.sensor.pixel
        signal = self.state
        if pixel.photoreceptor_noise:
            eps = filter_step(pixel, dt)
            new = photoreceptor_vrms(pixel, dt) * self._normal(self._words(draws.VOLTAGE))
            self.voltage = (1 - eps) * self.voltage + eps * new
        if pixel.cs_lambda_pixels:
            self._diffuse(*diffusion_steps(pixel, dt))
        if pixel.scidvs:
            step = torch.zeros_like(self.state) if self.previous is None else self.state - self.previous
            growth = self._sinh((self.highpass / self.efold).to(torch.float64)).to(self.dtype)
            self.highpass = self.highpass + (step - dt * (self.decay_hz * growth))
            self.previous = self.state
            signal = SCIDVS_GAIN * self.highpass
        signal = signal + self.voltage
        composed: Tensor = signal - self.surround if pixel.cs_lambda_pixels else signal
        return composed

    def _sinh(self, x: Tensor) -> Tensor:
        """`exact.sinh`."""
        y = x.abs().clamp(max=exact.SINH_LIMIT)
        k = (y / self.sinh_step + exact.ROUND) - exact.ROUND
        r = y - k * exact.STEP
        series = 1.0 + r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120)))))
        whole = k.nan_to_num(0.0).long()
        e = self.power[whole & (exact.STEPS - 1)] * series * (((whole >> 6) + 1023) << 52).view(torch.float64)
        return torch.copysign(0.5 * (e - 1.0 / e), x)

    def _diffuse(self, steps: int, drive: float, grid: float) -> None:
        """`surround.diffuse` of every clip."""
        width, height = self.sensor.size
        for clip in range(len(self.sensors)):
            surround, center = (v[clip].view(1, 1, height, width) for v in (self.surround.clone(), self.state))
            for _ in range(steps):
                s = torch.nn.functional.pad(surround.to(torch.float32), (1, 1, 1, 1), mode="replicate")
                around = (s[..., :-2, 1:-1] + s[..., 1:-1, :-2]) + (s[..., 1:-1, 2:] + s[..., 2:, 1:-1])
                change = drive * (center - surround) + grid * (around - 4 * s[..., 1:-1, 1:-1])
                surround = surround + change
                if not change.abs().max() > SETTLED:
                    break
            self.surround = self.surround.clone()
            self.surround[clip] = surround.flatten()

    def _slots(self, before: Tensor, after: Tensor, count: Tensor, stop: float) -> tuple[list[DeviceColumns], Tensor]:
        """v2e's times: see `ReferenceEngine._slots`."""
        most = count.abs().amax(dim=1).clamp(min=1).tolist()
        events, passed = [], count.clone()
        for clip, slots in enumerate(most):
            seconds = slot_times(self.time, stop, check_slots(slots, stop))
            number = count[clip]
            pixel = number.nonzero().flatten()
            number = number[pixel]
            if self.sensor.pixel.refractory_period_s > (stop - self.time) / slots:
                at = torch.from_numpy(seconds).to(number.device)
                slot, keep = self._rest(clip, pixel, number, lambda k, w, at=at: at[k].expand(len(w)), torch.float32)
                passed[clip] = 0
                passed[clip].index_add_(0, pixel[keep], number[keep].sign())
                pixel, number = pixel[keep], number[keep]
            else:
                slot = _ranks(number.abs())
                pixel, number = (v.repeat_interleave(number.abs()) for v in (pixel, number))
            order = torch.argsort(slot, stable=True)
            t = torch.from_numpy(microseconds(seconds)).to(slot.device)[slot[order]]
            events.append(self._columns(t, pixel[order], number[order] > 0))
        return events, passed

    def _crossings(
        self, before: Tensor, after: Tensor, count: Tensor, stop: float
    ) -> tuple[list[DeviceColumns], Tensor]:
        """Each event where the difference crosses its threshold: see `ReferenceEngine._spread`."""
        start, wait = self.time, self.sensor.pixel.refractory_period_s > 0
        events, passed = [], count.clone()
        for clip in range(len(count)):
            check_slots(int(count[clip].abs().max()), stop)
            pixel = count[clip].nonzero().flatten()
            number = count[clip][pixel]
            sign = number.sign().to(torch.float64)
            e0, e1 = (sign * v[clip][pixel].to(torch.float64) for v in (before, after))
            threshold = torch.where(number > 0, self.on[clip][pixel], self.off[clip][pixel]).to(torch.float64)

            def time(k: Any, which: Tensor, e0: Tensor = e0, e1: Tensor = e1, threshold: Tensor = threshold) -> Tensor:
                a, b, theta = e0[which], e1[which], threshold[which]
                part = (((k + 1) * theta - a) / (b - a)).clamp(0.0, 1.0)
                part = torch.where(b > a, part, torch.zeros_like(part))
                return (start + part * (stop - start)).clamp(max=stop)

            if wait:
                slot, keep = self._rest(clip, pixel, number, time, torch.float64)
                passed[clip] = 0
                passed[clip].index_add_(0, pixel[keep], number[keep].sign())
            else:
                slot = _ranks(number.abs())
                keep = torch.arange(len(number), device=number.device).repeat_interleave(number.abs())
            t = (time(slot, keep) * 1e6).round().long()
            pixel, on = pixel[keep], number[keep] > 0
            keys = ((t - round(start * 1e6)) * count.shape[1] + pixel) * 2 + on
            order = torch.argsort(keys, stable=True)
            events.append(self._columns(t[order], pixel[order], on[order]))
        return events, passed

    def _rest(self, clip: int, pixel: Tensor, number: Tensor, time: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Slots and records (positions in `pixel`) of the events that pass the refractory period."""
        period = torch.tensor(self.sensor.pixel.refractory_period_s, dtype=dtype, device=pixel.device)
        slots, keep = [], []
        which = torch.arange(len(pixel), device=pixel.device)
        for k in range(int(number.abs().max()) if len(number) else 0):
            which = which[number[which].abs() > k]
            t = time(k, which)
            ready = t - self.last[clip, pixel[which]].to(dtype) > period
            fires = which[ready]
            self.last[clip, pixel[fires]] = t[ready].to(torch.float64)
            slots.append(torch.full_like(fires, k))
            keep.append(fires)
        none = which[:0]
        return torch.cat([none, *slots]), torch.cat([none, *keep])

    def _shot(self, words: Tensor, intensity: Tensor, dt: float, stop: float) -> list[DeviceColumns]:
        pixel = self.sensor.pixel
        rate = (pixel.shot_noise_rate_hz / 2 * dt) * ((0.25 - 1) * intensity + 1)
        u = ((words & 0xFFFF0000) | (self._words(draws.FINE) >> 16)).to(torch.float64) * 2.0**-32
        on, off = u > 1 - rate * self.on_ratio, u < rate * self.off_ratio
        self.base = torch.where(on | off, self.state, self.base)
        end = np.float32(stop) if self.sensor.timing == "v2e" else np.float64(stop)
        events = []
        for clip in torch.stack([on, off], dim=2):
            where, second = clip.nonzero().T
            t = torch.full_like(where, round(float(end) * 1e6))
            events.append(self._columns(t, where, second == 0))
        return events

    def _columns(self, t: Tensor, pixel: Tensor, on: Tensor) -> DeviceColumns:
        width = self.sensor.size[0]
        x, y = (pixel % width).to(torch.int16), (pixel // width).to(torch.int16)
        return t, x, y, on.to(torch.uint8)


def _plain(frames: NDArray[Any]) -> NDArray[Any]:
    """`frames` as torch takes them: contiguous, writable, no stride negative (NumPy lets it be on an axis of length 1)."""
    array = np.ascontiguousarray(frames)
    return array if array.flags.writeable and min(array.strides) >= 0 else array.copy()


def has_kernels(device: torch.device) -> bool:
    """Whether there are compiled kernels for `device`."""
    return device.type == "cuda" and find_spec("triton") is not None


def to_host(clips: Sequence[DeviceColumns]) -> list[Columns]:
    """The clips' events as arrays. A GPU writes them into pinned memory, which torch keeps for the next ones."""

    def copy(column: Tensor) -> Tensor:
        if not column.is_cuda:
            return column
        host = torch.empty(column.shape, dtype=column.dtype, pin_memory=True)
        return host.copy_(column, non_blocking=True)

    copies = [tuple(copy(column) for column in clip) for clip in clips]
    if clips and clips[0][0].is_cuda:
        torch.cuda.current_stream(clips[0][0].device).synchronize()
    return [(t.numpy(), x.numpy(), y.numpy(), p.numpy()) for t, x, y, p in copies]


def _ranks(counts: Tensor) -> Tensor:
    """0..counts[i] - 1 for each i, one after the other."""
    total = counts.cumsum(0)
    everything = torch.arange(int(total[-1]) if len(total) else 0, device=counts.device)
    return everything - (total - counts).repeat_interleave(counts)


def _count(difference: Tensor, threshold: Tensor) -> Tensor:
    n = torch.div(difference.clamp(min=0), threshold, rounding_mode="floor")
    return torch.where(n < 2.0**31, n, torch.zeros_like(n)).long()


def simulate_batch(
    frames: Tensor, timestamps: Sequence[float] | NDArray[np.float64], sensors: Sequence[Sensor]
) -> list[Columns]:
    """Events of N clips [N, T, H, W] that share `timestamps` [T] (s), one sensor (and seed) a clip; t in us since the first frame."""
    times = np.asarray(timestamps, np.float64)
    return TorchEngine(*sensors).advance_batch(frames, times - times[0])


def simulate_on_device(
    frames: Tensor, timestamps: Sequence[float] | NDArray[np.float64], sensors: Sequence[Sensor]
) -> list[DeviceColumns]:
    """As `simulate_batch`, with the events left where the frames are."""
    times = np.asarray(timestamps, np.float64)
    return TorchEngine(*sensors).advance_on_device(frames, times - times[0])
