"""The cells of a study, one after the other or several at once in processes of their own. One that fails does not end the others."""

import os
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from spikeva.datasets.mapping import cores
from spikeva.datasets.pool import THREADS, NoWorker, WorkerDied, WorkerPool, tell
from spikeva.errors import UserError
from spikeva.progress import console, shown_by_parent, stage_of_workers
from spikeva.study.cells import Cell
from spikeva.study.claims import is_claimed
from spikeva.study.config import Study
from spikeva.study.environment import devices_of
from spikeva.study.modules import code_of, import_modules
from spikeva.study.run_cell import Material, run_cell

TOLD = 3  # innermost calls that are shown of a failed cell's traceback


def attempts(
    todo: Sequence[Cell], material: Material, out: Path, jobs: int = 1
) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The place in `todo` of each cell that came to its end, and its entry of results.json, or None where it failed.

    `jobs` cells are at work at once, each in a process with its share of the processors and, in turn, one of the GPUs. Those
    that another command is working on come last. Raises what `attempt` does, and UserError where no process can be started.
    """
    left = unfinished(todo, out)
    jobs = min(jobs, len(left))
    here = range(len(todo)) if jobs < 2 else sorted({*range(len(todo))} - {*left})
    for index in _free_first(here, todo, out):
        yield index, attempt(todo[index], material, out, _place(index, todo))
    if jobs < 2:
        return
    material = replace(material, jobs=jobs)
    with stage_of_workers("cells", len(todo), len(here)) as (bar, show):
        pool = WorkerPool(jobs, _environments(jobs, todo[0].study), show, parents=True)
        try:

            def submit(index: int, patient: bool = False) -> Future[dict[str, Any] | None]:
                cell = todo[index]
                code = code_of(cell.model, cell.encoding)
                return pool.submit(_attempt_in_worker, cell, code, material, out, _place(index, todo), patient)

            running = {submit(index): index for index in left}
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    index = running.pop(future)
                    try:
                        entry = _result(future, todo[index], _place(index, todo))
                    except _Claimed:
                        running[submit(index, patient=True)] = index
                    else:
                        yield index, entry
                        bar.advance()
            pool.shutdown()
        finally:
            pool.terminate()


def unfinished(todo: Sequence[Cell], out: Path) -> list[int]:
    """The places of the cells that are not finished."""
    return [index for index, cell in enumerate(todo) if not (cell.folder(out) / "done.json").exists()]


def check_jobs(jobs: int, study: Study) -> None:
    """Raises UserError for less than one job, and for several of trainings that are themselves shared by several devices."""
    if jobs < 1:
        raise UserError(f"jobs must be at least 1 (cells at once), got {jobs}")
    if jobs > 1 and devices_of(study) > 1:
        raise UserError(
            f"jobs: {jobs} cells at once, of which each trains on {devices_of(study)} devices; allowed: one of the two"
        )


def threads_of(jobs: int) -> int:
    """Threads for each of so many jobs."""
    return max(1, cores() // jobs)


def _place(index: int, todo: Sequence[Cell]) -> str:
    return f"{index + 1}/{len(todo)}"


def _free_first(places: Sequence[int], todo: Sequence[Cell], out: Path) -> Iterator[int]:
    later = []
    for index in places:
        if is_claimed(todo[index].folder(out)):
            later.append(index)
        else:
            yield index
    yield from later


def _environments(jobs: int, study: Study) -> list[dict[str, str]]:
    """What each worker is to know before it imports anything: its threads, unless they are set already, and its GPU."""
    threads = {name: os.environ.get(name, str(threads_of(jobs))) for name in THREADS}
    if study.trainer.accelerator not in {"auto", "gpu", "cuda"} or study.trainer.devices != 1:
        return [threads] * jobs
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = given.split(",")[:count] if given else [str(n) for n in range(count)]
    if len(names) < 2:
        return [threads] * jobs
    return [{**threads, "CUDA_VISIBLE_DEVICES": names[n % len(names)]} for n in range(jobs)]


class _Claimed(Exception):
    """Another command is at the cell, whose turn comes when no free one is left."""


def _attempt_in_worker(
    cell: Cell, code: dict[str, str], material: Material, out: Path, place: str, patient: bool
) -> dict[str, Any] | None:
    shown_by_parent(tell)
    import_modules(cell.study.modules)
    if code_of(cell.model, cell.encoding) != code:  # this process has imported what the study began without
        raise UserError(f"the code of {', '.join(code)} has changed since this run began; start it again")
    if not patient and is_claimed(cell.folder(out)):
        raise _Claimed
    return attempt(cell, material, out, place)


def _result(future: Future[dict[str, Any] | None], cell: Cell, place: str) -> dict[str, Any] | None:
    try:
        return future.result()
    except NoWorker as error:
        raise UserError(str(error)) from error
    except WorkerDied as error:  # out of memory, or killed
        _say_failed(cell, place, str(error))
        return None


def attempt(cell: Cell, material: Material, out: Path, place: str = "") -> dict[str, Any] | None:
    """What `run_cell` gives, or None where the cell fails: the terminal then says which cell, why, and where in the code.

    Only a failure of the cell's own: a training that diverges, or an error of its code. Raises what concerns other cells
    too (a UserError, a full disk), and all errors where several devices share a training, since the others would wait.
    """
    try:
        return run_cell(cell, material, out, place)
    except Exception as error:
        if is_of_all(error, cell.study):
            raise
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        _say_failed(cell, place, said, [] if isinstance(error, UserError) else _calls(error))
        return None


def is_of_all(error: Exception, study: Study) -> bool:
    """Whether an error ends a study, and not only the cell in which it comes up."""
    from spikeva.training.module import Diverged

    if isinstance(error, OSError) or (isinstance(error, UserError) and not isinstance(error, Diverged)):
        return True
    return devices_of(study) > 1


def _say_failed(cell: Cell, place: str, why: str, calls: Sequence[str] = ()) -> None:
    where = f"{cell.label}, fold {cell.fold}, seed {cell.seed}"
    for line in [*calls, f"{place} failed: {where}: {why}".strip()]:
        console.print(line, style="red", highlight=False, soft_wrap=True)


def _calls(error: Exception) -> list[str]:
    """Lines of the innermost calls that led to an error, without those inside of torch and Lightning that lie between."""
    calls = traceback.extract_tb(error.__traceback__)
    own = [call for call in calls[:-1] if "site-packages" not in call.filename]
    return "".join(traceback.format_list([*own[1 - TOLD :], calls[-1]])).splitlines()
