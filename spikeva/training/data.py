"""Samples: windows of a clip that end at a label's frame time, encoded when they are asked for."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from spikeva.datasets import ClipSet
from spikeva.encode import Augment, Kind, channels, encode, model_input, span_us
from spikeva.encode.base import REGISTRY, name_and_options
from spikeva.errors import UserError
from spikeva.events import EventClip
from spikeva.training.augment import Augmentation

EVENTS, ORDER = 1, 2  # set the random numbers of event changes and of an epoch's order apart from those of the map


class Sample(NamedTuple):
    """Which sample: a clip and a label of it, and the epoch that draws its augmentation (-1: none)."""

    clip: int
    label: int
    epoch: int = -1


class Windows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The samples of some clips for one encoding and one kind of model.

    A sample is `frames` consecutive windows of which the newest ends at the label's time: nothing after it is seen.
    Labels whose oldest window would begin before the clip does, at 0 us, have no sample.

    Args:
        paths: event clips, or a set of them, with labels `t_us`, and `valence` and `arousal` where they are known; `frame`, the number of each label's
            frame in its film, where labels are not of every frame.
        encoding: name and parameters, as ``{"encoding": "tbr", "bits": 8, "dt": 5000}``.
        kind: "ann" or "snn": the layout the model is made for.
        frames: number of windows K.
        history_us: a label needs so much of the clip before it; None: the K windows. A study gives its longest, so that
            every encoding is asked for the same labels.
        augmentation: applied to the encoded windows of samples drawn with an epoch; `seed` and the sample determine it.
        event_changes: applied to such a sample's events before they are encoded.

    Items are ``(input float32 [T, C, H, W], target float32 [2])``; the target is NaN where a clip has no labels.
    Raises UserError where a clip has not one of each label at each of its label times, or too little before all of them.
    """

    def __init__(
        self,
        paths: Sequence[Path] | ClipSet,
        encoding: Mapping[str, Any],
        kind: Kind,
        frames: int,
        *,
        history_us: int | None = None,
        augmentation: Augmentation | None = None,
        event_changes: Augment | None = None,
        seed: int = 0,
    ) -> None:
        self.paths = paths.paths if isinstance(paths, ClipSet) else list(paths)
        self.name, self.options = name_and_options(encoding)
        channels(self.name, kind, **self.options)  # refuses an unknown kind here, not at the first sample
        if not isinstance(frames, int | np.integer) or frames < 1:
            raise UserError(f"frames must be a whole number of at least 1, found {frames!r}")
        self.registered = REGISTRY.get(self.name)  # a worker that is sent it imports its module, which registers it
        self.kind, self.frames, self.augmentation, self.seed = kind, frames, augmentation, seed
        self.event_changes = event_changes
        self.span_us = span_us(self.name, **self.options)
        history = max(frames * self.span_us, history_us or 0)
        self._open: dict[int, EventClip] = {}  # HDF5 keeps what was read of each in memory
        self.in_order = False  # True: samples are asked for clip by clip, and one clip is open at a time
        self.times: list[NDArray[np.int64]] = []
        self.numbers: list[NDArray[np.int64]] = []
        self.targets: list[NDArray[np.float32]] = []
        self.samples: list[Sample] = []
        for index, path in enumerate(self.paths):
            times, numbers, targets = _labels(path)
            self.times.append(times)
            self.numbers.append(numbers)
            self.targets.append(targets)
            whole = np.flatnonzero(times >= history)
            if not len(whole):
                raise UserError(
                    f"{path}: no label has {history / 1000:g} ms of the clip before it, as {frames} windows need; the last "
                    f"label is at {times.max(initial=0) / 1000:g} ms. Use fewer or shorter windows, or longer clips"
                )
            self.samples += [Sample(index, int(label)) for label in whole]

    def __len__(self) -> int:
        return len(self.samples)

    def encoded(self, sample: Sample) -> NDArray[Any]:
        """The encoded windows of a sample, [K, ...], before they are moved and scaled."""
        end = int(self.times[sample.clip][sample.label])
        start = end - self.frames * self.span_us
        if sample.clip not in self._open:
            while len(self._open) >= (1 if self.in_order else _most_open()):
                self._open.pop(next(iter(self._open))).close()
            self._open[sample.clip] = EventClip(self.paths[sample.clip])
        events = self._open[sample.clip].events(start, end)
        if self.event_changes is not None and sample.epoch >= 0:
            events = self.event_changes(events, [self.seed, sample.epoch, sample.clip, sample.label, EVENTS])
        ends = start + self.span_us * np.arange(1, self.frames + 1)
        codes: NDArray[Any] = encode(events, self.name, ends=ends, **self.options)
        return codes

    def __getitem__(self, key: int | Sample) -> tuple[torch.Tensor, torch.Tensor]:
        sample = key if isinstance(key, Sample) else self.samples[key]
        codes = self.encoded(sample)
        if self.augmentation is not None and sample.epoch >= 0:
            # Independent of the model and of the encoding, so that every cell sees the same augmented faces.
            rng = np.random.default_rng([self.seed, sample.epoch, sample.clip, sample.label])
            codes = self.augmentation(codes, rng)
        inputs = model_input(codes, self.name, self.kind, **self.options)
        return torch.from_numpy(inputs), torch.from_numpy(self.targets[sample.clip][sample.label])

    def close(self) -> None:
        """Close the clip files that are open; a sample that is asked for opens its own again."""
        while self._open:
            self._open.popitem()[1].close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}  # file handles do not travel to loader workers


def _labels(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Label times [L] of a clip, the number of each one's frame [L], valence and arousal [L, 2] (NaN where it does not tell them)."""
    with EventClip(path) as clip:
        labels = clip.labels
    if "t_us" not in labels:
        raise UserError(f"{path}: no label times (labels/t_us); found {', '.join(sorted(labels)) or 'no labels'}")
    times = labels["t_us"]
    targets = [labels.get(axis, np.full(len(times), np.nan, np.float32)) for axis in ("valence", "arousal")]
    numbers = labels.get("frame", np.arange(len(times)))
    shapes = {name: labels[name].shape for name in ("t_us", "frame", "valence", "arousal") if name in labels}
    if set(shapes.values()) != {(len(times),)}:
        raise UserError(f"{path}: a label time has one valence and one arousal; found arrays of shapes {shapes}")
    if times.dtype.kind not in "iu":
        raise UserError(f"{path}: label times are whole microseconds; found {times.dtype}")
    return np.asarray(times, np.int64), np.asarray(numbers, np.int64), np.stack(targets, axis=1).astype(np.float32)


def _most_open() -> int:
    """How many clip files one set of samples keeps open: three quarters of what the system allows a process, and 1000 at most."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
    except ImportError:  # Windows
        return 1000
    allowed, _ = getrlimit(RLIMIT_NOFILE)
    return 1000 if allowed == RLIM_INFINITY else min(1000, allowed * 3 // 4)


class EpochSampler(Sampler[Sample]):
    """`per_clip` labels of every clip, shuffled: a function of (seed, epoch) and of nothing else.

    Of several devices, each takes its `share` (which, of how many) in turn, so that a step of all sees the next samples in this
    order; where they do not divide, the first ones come again at the end.
    """

    def __init__(self, data: Windows, per_clip: int, seed: int) -> None:
        self.seed, self.per_clip, self.epoch, self.share = seed, per_clip, 0, (0, 1)
        self.labels: dict[int, list[int]] = {}
        for sample in data.samples:
            self.labels.setdefault(sample.clip, []).append(sample.label)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(sum(min(self.per_clip, len(labels)) for labels in self.labels.values()) / self.share[1])

    def __iter__(self) -> Iterator[Sample]:
        rng = np.random.default_rng([self.seed, self.epoch, 0, 0, ORDER])
        chosen = [
            Sample(clip, int(label), self.epoch)
            for clip, labels in self.labels.items()
            for label in rng.choice(labels, min(self.per_clip, len(labels)), replace=False)
        ]
        order = rng.permutation(len(chosen))
        which, devices = self.share
        return iter([chosen[order[i % len(order)]] for i in range(which, len(self) * devices, devices)])
