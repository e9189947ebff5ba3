"""A trained cell, read back: its settings and its model."""

from pathlib import Path

import yaml
from torch import nn

from spikeva._results import RESULTS_VERSION
from spikeva.datasets import ClipSet
from spikeva.datasets.clips import clip_files
from spikeva.errors import UserError
from spikeva.events import EventClip
from spikeva.study.cells import Cell
from spikeva.study.checks import picture_sizes
from spikeva.study.config import StandIn, Study
from spikeva.study.files import damaged, read_json
from spikeva.study.modules import code_of, import_modules
from spikeva.study.run_cell import create, load_weights


def load_cell(folder: str | Path) -> tuple[Cell, nn.Module]:
    """The cell of a folder `cells/<hash>` of a run and its trained model, in evaluation mode.

    Raises UserError where the folder is not that of a trained cell, or was written by another version of spikeva.
    """
    folder = Path(folder)
    config, weights = folder / "config.yaml", folder / "model.safetensors"
    if config.is_file() and not weights.is_file():
        raise UserError(f"{folder} is not trained to its end; run its study again, or name another cell")
    for file in (config, weights):
        if not file.is_file():
            raise UserError(f"{file} does not exist; name the folder of a trained cell, as runs/quick/cells/<hash>")
    try:
        found = yaml.safe_load(config.read_text())
        if found["results_version"] != RESULTS_VERSION:
            raise ValueError(f"results_version: found {found['results_version']}, allowed: {RESULTS_VERSION}")
        grid = {"models": [found["model"]], "encodings": [found["encoding"]]}
        grid |= {"folds": [found["fold"]], "seeds": [found["run_seed"]]}
        settings = {key: found[key] for key in Study.model_fields if key in found}
        study = Study.model_validate({**settings, "study": "cell", "grid": grid})
        history = int(found["history_us"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{config} is damaged or of another version of spikeva ({error}); train the cell again"
        ) from error
    import_modules(study.modules)
    if (code := code_of(found["model"], found["encoding"])) != (trained := found.get("code", {})):
        changed = ", ".join(name for name in {**trained, **code} if trained.get(name) != code.get(name))
        raise UserError(f"{folder} was trained with other code of {changed}; bring that back, or train the cell again")
    cell = Cell(study, found["model"], found["encoding"], found["fold"], found["run_seed"], history)
    model = create(cell, to_load=True)
    try:
        load_weights(model, folder)
    except RuntimeError as error:  # they are those of another model
        raise damaged(weights, error) from error
    return cell, model.eval()


def met_before(folder: Path, clips: ClipSet) -> str | None:
    """What to say of clips of people that the cell in `folder` was trained on; None where there are none."""
    done = folder / "done.json"
    known = set(clips.people).intersection(read_json(done).get("trained_on", ()) if done.is_file() else ())
    if not known:
        return None
    are = "is" if len(known) == 1 else "are"
    return f"{len(known)} of these people {are} among those it was trained on: no score for people it does not know"


def learned_from(cell: Cell) -> tuple[tuple[int, int] | None, bool]:
    """((width, height) of the pictures that a cell learned from, None where its clips are gone; whether synthetic)."""
    source = cell.study.regression
    if isinstance(source, StandIn):
        return (source.size, source.size), True
    path = next(iter(clip_files(source.root)), None)
    if path is None:
        return None, False
    with EventClip(path) as clip:
        return clip.size, bool(clip.attributes.get("synthetic"))


def check_pictures(cell: Cell, folder: Path, clips: ClipSet) -> None:
    """Raises UserError as `check_picture` does, for any of the clips."""
    for size, file in picture_sizes(clips).items():
        check_picture(cell, folder, size, file)


def check_picture(cell: Cell, folder: Path, size: tuple[int, int], file: Path) -> None:
    """Raises UserError where the recording `file` has pictures of another `size` (width, height) than those learned from.

    A convolutional network runs on any size, and what it then says means nothing.
    """
    learned, _ = learned_from(cell)
    if learned not in (None, size):
        raise UserError(
            f"{folder} learned from pictures of {learned[0]} x {learned[1]} pixels, {file} has {size[0]} x {size[1]}; crop "
            "the face and bring it to that size (a video: `spikeva simulate --size`; events: EventStream.crop and "
            "spikeva.events.downscale), or name another cell"
        )
