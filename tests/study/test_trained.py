"""A trained cell, read back: it is scored as its study scored it, and says what it cannot be used for."""

from copy import deepcopy
from pathlib import Path

import yaml
from safetensors.torch import save_file

from spikeva.study.cells import cells
from spikeva.study.config import parse
from spikeva.study.files import write_yaml
from spikeva.study.run_cell import create
from spikeva.study.trained import load_cell

TINY = yaml.safe_load((Path(__file__).parents[2] / "configs" / "tiny.yaml").read_text())


def stored(folder, raw=TINY):
    """The first cell of a study, and its folder as training leaves it."""
    cell = next(cells(parse(raw)))
    write_yaml(folder / "config.yaml", cell.determinants())
    save_file(create(cell).state_dict(), folder / "model.safetensors")
    return cell


def test_it_sees_the_labels_that_its_study_asked_for(tmp_path):
    """Another encoding of the grid needs more of a clip, so that the study left out the first labels for all."""
    raw = deepcopy(TINY)
    raw["grid"]["encodings"][1]["steps"] = 16
    cell = stored(tmp_path, raw)
    found, _ = load_cell(tmp_path)
    assert cell.encoding["encoding"] == "tbr"
    assert found.history_us == cell.history_us == 2 * 16 * 5000
    assert found.key == cell.key
