"""A trained cell, read back: its settings and its model."""

from pathlib import Path

import yaml
from torch import nn

from spikeva.errors import UserError
from spikeva.study.cells import Cell
from spikeva.study.config import Study
from spikeva.study.run_cell import create


def load_cell(folder: str | Path) -> tuple[Cell, nn.Module]:
    """The cell of a folder `cells/<hash>` of a run and its trained model, in evaluation mode.

    Raises UserError where the folder is not that of a trained cell, or was written by another version of spikeva.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    config, weights = folder / "config.yaml", folder / "model.safetensors"
    for file in (config, weights):
        if not file.is_file():
            raise UserError(f"{file} does not exist; name the folder of a trained cell, as runs/quick/cells/<hash>")
    try:
        found = yaml.safe_load(config.read_text())
        grid = {"models": [found["model"]], "encodings": [found["encoding"]]}
        grid |= {"folds": [found["fold"]], "seeds": [found["run_seed"]]}
        settings = {key: found[key] for key in Study.model_fields if key in found}
        study = Study.model_validate({**settings, "study": "cell", "grid": grid})
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{config} is damaged or of another version of spikeva ({error}); train the cell again"
        ) from error
    cell = Cell(study, found["model"], found["encoding"], found["fold"], found["run_seed"])
    model = create(cell)
    model.load_state_dict(load_file(weights))
    return cell, model.eval()
