"""A whole study: clips, cells, baselines, comparisons, results.json, the report. Finished parts are not done again."""

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spikeva.datasets import ClipSet, standin
from spikeva.errors import UserError
from spikeva.progress import console
from spikeva.study.baselines import baselines
from spikeva.study.cells import Cell, cells, prepared_clips
from spikeva.study.checks import check_emotions, check_labels, check_models, check_people, check_sizes, check_strangers
from spikeva.study.comparisons import compare
from spikeva.study.config import DataSource, StandIn, Study
from spikeva.study.environment import environment
from spikeva.study.files import damaged, digest, read_csv, write_json
from spikeva.study.gallery import GALLERY_VERSION, gallery_made_from, write_gallery
from spikeva.study.run_cell import Material, run_cell, spikes

TOLD = 3  # innermost calls that are shown of a failed cell's traceback


def run(study: Study, out: Path, *, max_cells: int | None = None, workers: int | None = None) -> dict[str, Any]:
    """Run every cell of a study into `out`; returns what results.json holds.

    A cell that fails is named and left out, and the others go on (see `attempt`). Raises UserError where every cell fails.

    Args:
        max_cells: stop after so many cells that were not finished before; the results hold what is there.
        workers: processes that render and simulate; None: one a core.
    """
    from spikeva.report import write_report
    from spikeva.study.estimate import estimate  # with Lightning, which takes seconds to import

    todo = list(cells(study))
    if max_cells is not None:
        todo = _first_unfinished(todo, out, max_cells)
        if not todo:
            raise UserError(f"no cell is finished yet in {out}: max_cells must be at least 1, got {max_cells}")
    out.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    with _timed(seconds, "data"):
        material = prepare(study, out, workers)
    entries: list[dict[str, Any]] = []
    failed: list[Cell] = []
    try:
        expected = estimate(todo, material, out)
    except Exception as error:
        if _is_of_all(error, study):
            raise
        expected = None  # the cell says why when its turn comes
    if expected is not None:
        console.print(str(expected), highlight=False)
        seconds["cells, estimated"] = round(expected.seconds, 2)
    with _timed(seconds, "cells"):
        for number, cell in enumerate(todo, 1):
            if (entry := attempt(cell, material, out, f"{number}/{len(todo)}")) is None:
                failed.append(cell)
            else:
                entries.append(entry)
    if not entries:
        raise UserError(f"every cell failed, for the reasons above; {out} holds no result")
    todo = [cell for cell in todo if cell not in failed]
    with _timed(seconds, "comparisons"):
        rows = {entry["hash"]: read_csv(out / "cells" / entry["hash"] / "predictions.csv") for entry in entries}
        results = {
            "study": _about(study, material),
            "cells": entries,
            "baselines": baselines(study, material, todo),
            "comparisons": compare(entries, rows, study.seed),
        }
        if failed:
            results["failed"] = [cell.key for cell in failed]
        material.check(study)
    made_from = digest({"cells": [cell.key for cell in todo], "gallery": GALLERY_VERSION})
    if gallery_made_from(out / "gallery.npz") != made_from:
        spiking = [cell for cell in todo if cell.kind == "snn"]
        raster = {}
        if spiking:
            with _weights_named(spiking[-1], out):
                raster = spikes(spiking[-1], material, out)
        test = material.folds[study.grid.folds[0]].test
        write_gallery(out / "gallery.npz", study, test, *_transfer(material), raster=raster, made_from=made_from)
    write_json(out / "results.json", {**results, "environment": {**environment(), "seconds": seconds}})
    with _timed(seconds, "report"):
        write_report(out)
    return results


def attempt(cell: Cell, material: Material, out: Path, place: str = "") -> dict[str, Any] | None:
    """What `run_cell` gives, or None where the cell fails: the terminal then says which cell, why, and where in the code.

    Only a failure of the cell's own: a training that diverges, or an error of its code. Raises what concerns other cells
    too (a UserError, a full disk), and all errors where several devices share a training, since the others would wait.
    """
    try:
        with _weights_named(cell, out):
            return run_cell(cell, material, out, place)
    except Exception as error:
        if _is_of_all(error, cell.study):
            raise
        where = f"{cell.label}, fold {cell.fold}, seed {cell.seed}"
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        lines = [] if isinstance(error, UserError) else _calls(error)
        for line in [*lines, f"{place} failed: {where}: {said}".strip()]:
            console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
        return None


def _calls(error: Exception) -> list[str]:
    """Lines of the innermost calls that led to an error, without those inside of torch and Lightning that lie between."""
    calls = traceback.extract_tb(error.__traceback__)
    own = [call for call in calls[:-1] if "site-packages" not in call.filename]
    return "".join(traceback.format_list([*own[1 - TOLD :], calls[-1]])).splitlines()


def _is_of_all(error: Exception, study: Study) -> bool:
    """Whether an error ends a study, and not only the cell in which it comes up."""
    from spikeva.training.fitting import count_devices
    from spikeva.training.module import Diverged

    if isinstance(error, OSError) or (isinstance(error, UserError) and not isinstance(error, Diverged)):
        return True
    return count_devices(study.trainer.model_dump()) > 1


def prepare(study: Study, out: Path, workers: int | None = None) -> Material:
    """The clips of a study, rendered and simulated where they are stand-ins, and their folds by subject.

    Raises UserError where a model cannot be built, or the clips do not tell what the study needs.
    """
    check_models(study)
    prepared = prepared_clips(study)  # before they are read
    regression = _clips(study.regression, out / "data", workers)
    transfer = _clips(study.transfer, out / "data", workers) if study.transfer else None
    folds = regression.folds(study.folds, study.seed)
    check_labels(regression)
    check_sizes(regression, transfer)
    check_people(folds, study.grid.folds)
    if transfer is not None:
        check_emotions(transfer, study.evaluation.anchors)
        check_strangers(regression, transfer)
    return Material(folds, transfer, regression.synthetic, prepared)


def _clips(source: DataSource, out: Path, workers: int | None) -> ClipSet:
    if not isinstance(source, StandIn):
        return ClipSet.read(source.root)
    options = source.model_dump(exclude={"dataset"})
    return standin(source.dataset, out, workers=workers, **options)


def _first_unfinished(todo: list[Cell], out: Path, count: int) -> list[Cell]:
    """The cells that are done, and `count` more."""
    kept = []
    for cell in todo:
        done = (cell.folder(out) / "done.json").exists()
        if done or count > 0:
            kept.append(cell)
            count -= not done
    return kept


@contextmanager
def _weights_named(cell: Cell, out: Path) -> Iterator[None]:
    """Damaged weights of the cell are a UserError that names their file."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise damaged(cell.folder(out) / "model.safetensors", error) from error


def _transfer(material: Material) -> list[ClipSet]:
    return [] if material.transfer is None else [material.transfer]


def _about(study: Study, material: Material) -> dict[str, Any]:
    clips = [clip for part in (material.folds[0].train, material.folds[0].test) for clip in part]
    about = {
        "name": study.study,
        "question": study.question,
        "synthetic": material.synthetic or any(part.synthetic for part in _transfer(material)),
        "subjects": len({clip.subject for clip in clips}),
        "clips": len(clips),
        "transfer_clips": sum(map(len, _transfer(material))),
        "config": study.model_dump(mode="json"),
    }
    return about


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - began, 2)
    if not console.is_terminal:
        console.print(f"{name}: {seconds[name]:.0f} s", highlight=False)
