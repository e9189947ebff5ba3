"""Every example runs from top to bottom in seconds, is short, and saves its picture."""

import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")  # one for all: what one has rendered, the next finds


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example(script: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    assert len(script.read_text().splitlines()) < 80
    if "@register_" in script.read_text():  # what it registers would stay in this process
        subprocess.run([sys.executable, script, folder], cwd=folder, check=True)
    else:
        monkeypatch.setattr(sys, "argv", [str(script), str(folder)])
        monkeypatch.chdir(folder)
        runpy.run_path(str(script), run_name="__main__")
        pyplot.close("all")
    picture = cv2.imread(str(folder / f"{script.stem}.png"))
    assert picture is not None
    assert picture.std() > 5
