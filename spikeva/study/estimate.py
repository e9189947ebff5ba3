"""How long the cells of a study will take, from a few real training steps of each model on each encoding."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heapreplace
from pathlib import Path

import numpy as np
import torch

from spikeva.datasets import ClipSet
from spikeva.datasets.mapping import cores
from spikeva.progress import counted
from spikeva.study.attempts import threads_of, unfinished
from spikeva.study.cells import Cell
from spikeva.study.environment import devices_of
from spikeva.study.files import read_json
from spikeva.study.run_cell import Material, create, windows
from spikeva.training.data import EpochSampler
from spikeva.training.fitting import batches, count_steps, own_device, step_context
from spikeva.training.memory import keep_freed
from spikeva.training.module import Regression

STEPS = 3  # timed, after one that is not


@dataclass(frozen=True)
class Estimate:
    """`seconds` for `cells` unfinished cells, from `timed` pairs of model and encoding and `known` ones that finished before.

    Each training is shared by `devices`; `jobs` cells run at once.
    """

    seconds: float
    cells: int
    timed: int
    known: int
    devices: int = 1
    jobs: int = 1

    def __str__(self) -> str:
        shared = f"{self.devices} devices share each training and are taken to be no slower together, "
        at_once = f"{self.jobs} cells run at once and are taken not to hold each other up, "
        pairs = f"{'each of ' * (self.timed > 1)}{counted(self.timed, 'pair')} of model and encoding"
        sources = [f"{STEPS} timed training steps of {pairs}"] * bool(self.timed)
        sources += [f"the time that finished cells of {counted(self.known, 'pair')} took"] * bool(self.known)
        return (
            f"{counted(self.cells, 'cell')} to run: about {duration(self.seconds)}, an estimate from {' and '.join(sources)}; one fold "
            f"stands for all, {shared * (self.devices > 1)}{at_once * (self.jobs > 1)}and other work on the machine is not foreseen"
        )


def estimate(todo: list[Cell], material: Material, out: Path, jobs: int = 1) -> Estimate | None:
    """What the unfinished cells of `todo` will take, `jobs` at once; None where all are finished.

    A finished cell's own time stands for others of its model and encoding. For the rest, training and prediction are timed on
    the first samples, on one device of those that will train and share the steps; one alone predicts. Counting operations,
    comparisons and the report come on top. Raises UserError where this machine does not have the devices.
    """
    open_cells = [todo[index] for index in unfinished(todo, out)]
    if not open_cells:
        return None
    known: dict[str, list[float]] = {}
    for cell in todo:
        if (done := cell.folder(out) / "done.json").exists():
            known.setdefault(cell.label, []).append(sum(read_json(done)["seconds"].values()))
    devices = devices_of(open_cells[0].study)
    sizes = _Sizes.of(open_cells[0], material, devices)
    timed: dict[str, float] = {}
    jobs = min(jobs, len(open_cells))
    with _threads(threads_of(jobs) if jobs > 1 else None):
        for cell in open_cells:
            if cell.label not in known and cell.label not in timed:
                timed[cell.label] = _seconds(cell, material, sizes)
    torch.cuda.empty_cache()  # else this process keeps the room of a training step from those of the jobs
    each = {**timed, **{label: sum(own) / len(own) for label, own in known.items()}}
    labels = [cell.label for cell in open_cells]
    busy = [0.0] * jobs
    for label in labels:  # the next job that is free takes the next cell
        heapreplace(busy, busy[0] + each[label])
    return Estimate(max(busy), len(labels), len(timed), len({*labels} & {*known}), devices, jobs)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads, as each of several jobs will; None: with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(count or before, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Sizes:
    """Training steps and predicted samples of one cell: the same for every encoding, which are asked for the same labels."""

    steps: int
    samples: int

    @classmethod
    def of(cls, cell: Cell, material: Material, devices: int = 1) -> "_Sizes":
        split = material.folds[cell.fold]
        training = cell.study.training.model_dump()
        steps = count_steps(batches(windows(cell, split.train), training, 0), training, devices)
        scored = [split.test, *([] if material.transfer is None else [material.transfer])]
        return cls(steps, sum(len(windows(cell, clips)) for clips in scored))


def _seconds(cell: Cell, material: Material, sizes: _Sizes) -> float:
    """Seconds of one cell: its training steps and predictions at the speed of the first few."""
    keep_freed()  # as `fit` does
    study = cell.study
    clips = material.folds[cell.fold].train
    needed = math.ceil((STEPS + 1) * study.training.batch_size / study.training.samples_per_clip) + 1
    data = windows(cell, ClipSet(clips.clips[:needed]), training=True)
    where = own_device(study.trainer.model_dump())
    module = Regression(create(cell).to(where), study.training.model_dump(), sizes.steps, seed=0)
    optimizer = module.configure_optimizers()["optimizer"]
    in_precision = step_context(study.trainer.model_dump())
    marks = [time.perf_counter()]
    sampler = EpochSampler(data, study.training.samples_per_clip, seed=0)
    order = list(sampler)
    size = study.training.batch_size
    for step in range(STEPS + 1):
        chosen = [order[(step * size + i) % len(order)] for i in range(size)]
        items = [data[sample] for sample in chosen]
        marks.append(time.perf_counter())
        inputs, targets = (torch.stack(part).to(where) for part in zip(*items, strict=True))
        with in_precision():
            loss = module.training_step((inputs, targets), step)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        optimizer.step()
        float(loss.detach())  # waits for the device
        marks.append(time.perf_counter())
    encoding, rest = np.diff(marks).reshape(-1, 2)[1:].mean(0)
    a_step = _together(float(encoding), float(rest), study.training.workers, where.type)
    with torch.no_grad():
        began = time.perf_counter()
        batch = torch.stack([data[sample][0] for sample in order[:size]])
        encoding = time.perf_counter() - began
        for _ in range(2):  # the first one may have kernels of its own to compile
            began = time.perf_counter()
            module.model.eval()(batch.to(where)).sum().item()
            rest = time.perf_counter() - began
    a_batch = _together(encoding, rest, study.training.workers, where.type)
    return sizes.steps * a_step + sizes.samples * a_batch / min(size, len(order))


def _together(encoding: float, rest: float, workers: int, where: str) -> float:
    """Seconds of a batch that `workers` encode while a GPU is at the one before; a CPU has to do both either way."""
    if workers == 0 or where == "cpu":
        return encoding + rest
    return max(encoding / min(workers, cores()), rest)


def duration(seconds: float) -> str:
    """Seconds as people say them: two units at most."""
    whole = max(1, round(seconds))
    for unit, name, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // part
            return f"{whole // unit} {name}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"
