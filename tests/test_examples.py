"""Every example runs from top to bottom in seconds, is short, and saves its picture."""

import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import spikeva

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


def test_a_recording_that_does_not_start_at_0_is_read_as_one_that_does(folder: Path, capsys, monkeypatch) -> None:
    """As a camera writes it that has run for a while, on a sensor whose side is no multiple of the network's."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 400_000, 9000))
    x, y = (np.clip(rng.normal(side / 2, 9, 9000), 0, side - 1).astype(int) for side in (70, 75))
    p, said = rng.integers(0, 2, 9000), []
    for start in (0, 50_000_000):
        events = spikeva.EventStream(t + start, x, y, p, (70, 75))
        spikeva.write_events(folder / "late.txt", events)
        script = next(path for path in EXAMPLES if path.stem.startswith("06"))
        monkeypatch.setattr(sys, "argv", [str(script), str(folder), str(folder / "late.txt")])
        runpy.run_path(str(script), run_name="__main__")
        said.append(capsys.readouterr().out.splitlines()[0])
    assert said[0] == said[1]
