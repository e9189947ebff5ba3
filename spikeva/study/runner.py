"""A whole study: clips, cells, baselines, comparisons, results.json, the report. Finished parts are not done again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spikeva.datasets import ClipSet, standin
from spikeva.datasets.findings import few
from spikeva.datasets.preparing import ACCOUNT, RECIPE
from spikeva.datasets.recipe import read_recipe
from spikeva.errors import UserError
from spikeva.progress import console, is_first
from spikeva.study.attempts import attempts, check_jobs, is_of_all, unfinished
from spikeva.study.baselines import baselines
from spikeva.study.cells import Cell, cells, prepared_clips
from spikeva.study.checks import check_clips, check_models
from spikeva.study.claims import claimed
from spikeva.study.comparisons import compare, scored
from spikeva.study.config import DataSource, Prepared, StandIn, Study
from spikeva.study.environment import devices_of, environment
from spikeva.study.files import digest, read_csv, write_json
from spikeva.study.gallery import GALLERY_VERSION, gallery_made_from, write_gallery
from spikeva.study.run_cell import Material, spikes


def run(
    study: Study, out: Path | str, *, max_cells: int | None = None, workers: int | None = None, jobs: int = 1
) -> dict[str, Any]:
    """Run every cell of a study into `out`; returns what results.json holds.

    A cell that fails is named and left out, and the others go on (see `attempt`). Raises UserError where every cell fails, and
    as `check_jobs` does.

    Args:
        max_cells: train at most so many more cells; the results hold what is there.
        workers: processes that render and simulate; None: one a core.
        jobs: cells at once (see `attempts`).
    """
    from spikeva.report import write_report
    from spikeva.study.estimate import estimate  # with Lightning, which takes seconds to import

    out = Path(out)
    todo = list(cells(study))
    if max_cells is not None:
        if max_cells < 0:
            raise UserError(f"max_cells must be 0 (the report of what is there) or more, got {max_cells}")
        todo = _first_untrained(study, out, max_cells)
        if not todo:
            raise UserError(f"no cell is finished yet in {out}: max_cells must be at least 1, got {max_cells}")
    check_jobs(jobs, study)
    out.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    with _timed(seconds, "data"):
        material = prepare(study, out, workers)
    try:
        expected = estimate(todo, material, out, jobs)
    except Exception as error:
        if is_of_all(error, study):
            raise
        expected = None  # the cell says why when its turn comes
    if expected is not None:
        console.print(str(expected), highlight=False)
        seconds["cells, estimated"] = round(expected.seconds, 2)
    with _timed(seconds, "cells"):
        found = dict(attempts(todo, material, out, jobs))
    entries = [entry for _, entry in sorted(found.items()) if entry is not None]
    if not entries:
        raise UserError(f"every cell failed, for the reasons above; {out} holds no result")
    failed = [cell for index, cell in enumerate(todo) if found[index] is None]
    todo = [cell for index, cell in enumerate(todo) if found[index] is not None]
    with _timed(seconds, "comparisons"):
        files = {entry["hash"]: out / "cells" / entry["hash"] / "predictions.csv" for entry in entries}
        rows = {name: scored(read_csv(file)) for name, file in files.items()}
        results: dict[str, Any] = {
            "study": _about(study, material),
            "cells": entries,
            "baselines": baselines(study, material, todo),
            "comparisons": compare(entries, rows, study.seed),
        }
        if failed:
            results["failed"] = [cell.key for cell in failed]
        material.check(study)
    _make_gallery(study, material, todo, out)
    results["environment"] = {
        **environment(study.trainer.accelerator, study.trainer.devices),
        "jobs": jobs,
        "seconds": {**seconds},
    }
    write_json(out / "results.json", results)
    with _timed(seconds, "report"):
        write_report(out)
    return results


def _make_gallery(study: Study, material: Material, done: list[Cell], out: Path) -> None:
    """The pictures for the report, unless those that are there were made from the same cells."""
    made_from = digest({"cells": [cell.key for cell in done], "gallery": GALLERY_VERSION})
    if gallery_made_from(out / "gallery.npz") == made_from:
        return
    raster = {}
    if spiking := [cell for cell in done if cell.kind == "snn"]:
        raster = spikes(spiking[-1], material, out)
    test = material.folds[study.grid.folds[0]].test
    write_gallery(out / "gallery.npz", study, test, *_transfer(material), raster=raster, made_from=made_from)


def prepare(study: Study, out: Path, workers: int | None = None) -> Material:
    """The clips of a study, rendered and simulated where they are stand-ins, and their folds by subject.

    Raises UserError where a model cannot be built, or the clips do not tell what the study needs.
    """
    console.quiet = not is_first() and devices_of(study) > 1  # on one device, a rank is left over from something else
    check_models(study)
    prepared = prepared_clips(study)  # before they are read
    regression = _clips(study.regression, out / "data", workers)
    transfer = _clips(study.transfer, out / "data", workers) if study.transfer else None
    check_clips(study, regression, transfer)
    return Material(regression.folds(study.folds, study.seed), transfer, prepared)


def _clips(source: DataSource, out: Path, workers: int | None) -> ClipSet:
    if not isinstance(source, StandIn):
        return ClipSet.read(source.root)
    options = source.model_dump(exclude={"dataset"})
    out.mkdir(parents=True, exist_ok=True)
    with claimed(out, f"{source.dataset} clips"):  # or a command beside this one would make each clip once more
        return standin(source.dataset, out, workers=workers, **options)


def _first_untrained(study: Study, out: Path, count: int) -> list[Cell]:
    """The cells that are trained, scored or not, and `count` more; they have no name yet, which is that of the clips when these are read.

    A process that a training on several devices starts later takes the same, though it may find more of them scored.
    """
    known = list(cells(study))
    untrained = [i for i in unfinished(known, out) if not (known[i].folder(out) / "model.safetensors").exists()]
    return [cell for index, cell in enumerate(cells(study)) if index not in untrained[count:]]


def _transfer(material: Material) -> list[ClipSet]:
    return [] if material.transfer is None else [material.transfer]


def _about(study: Study, material: Material) -> dict[str, Any]:
    clips = material.clips
    return {
        "name": study.study,
        "question": study.question,
        "synthetic": any(part.synthetic for part in (clips, *_transfer(material))),
        "subjects": len(clips.subjects),
        "clips": len(clips),
        "transfer_clips": sum(map(len, _transfer(material))),
        "config": study.model_dump(mode="json"),
        "recipes": _recipes(study),
    }


def _recipes(study: Study) -> dict[str, Any]:
    """How `spikeva prepare` made the clips that the study read, of which a config names the folder alone; and which it failed to make."""
    found = {}
    for name, source in study.sources.items():
        if isinstance(source, Prepared) and (source.root / RECIPE).is_file():
            found[name] = read_recipe(source.root / RECIPE)
            account = source.root / ACCOUNT
            if failed := read_recipe(account)["failed"] if account.is_file() else {}:
                found[name]["clips that failed and are left out"] = f"{len(failed)} ({few([*failed])})"
    return found


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - began, 2)
    if not console.is_terminal:
        console.print(f"{name}: {seconds[name]:.0f} s", highlight=False)
