"""Pictures of event files: what is on them is what is in the file."""

import numpy as np
import pytest
from PIL import Image

from spikeva.cli import main
from spikeva.datasets.view import OFF, ON, PAPER, show
from spikeva.events import EventStream, write_clip, write_events


@pytest.fixture
def recording(tmp_path):
    """A dot of ON events at x = 4 in the first second and of OFF events at x = 12 in the next; nothing in the third."""
    t = np.concatenate([np.arange(0, 2_000_000, 10_000), [3_000_000]]) + 500
    x = np.where(t < 1_000_000, 4, 12)
    p = (t < 1_000_000).astype(np.uint8)
    path = tmp_path / "dots.raw"
    write_events(path, EventStream(t, x.astype(np.uint16), np.full(len(t), 3, np.uint16), p, (16, 8)))
    return path


def colour_at(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return image.convert("RGB").getpixel((20 * x + 10, 20 * y + 10))  # 16 pixels are drawn 320 wide


def near(colour, wanted) -> bool:
    return bool(np.abs(np.subtract(colour, wanted)).max() < 12)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animation_shows_each_window(suffix, recording, tmp_path):
    view = show(recording, tmp_path / f"dots{suffix}", fps=10)
    assert (view.pictures, view.events, view.cut) == (31, 201, False)
    with Image.open(tmp_path / f"dots{suffix}") as image:
        assert image.n_frames >= 3  # equal pictures may be joined into a longer one
        shown, time = [], 0
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            shown.append((time, colour_at(image, 4, 3), colour_at(image, 12, 3)))
            time += image.info["duration"]
    assert time == 31 * 100
    at = {t: [colours for start, *colours in shown if start <= t][-1] for t in (500, 1500, 2500)}
    assert near(at[500][0], ON)
    assert near(at[500][1], PAPER)
    assert near(at[1500][0], PAPER)
    assert near(at[1500][1], OFF)
    assert near(at[2500][0], PAPER)
    assert near(at[2500][1], PAPER)


def test_part_of_a_recording(recording, tmp_path):
    view = show(recording, tmp_path / "a.png", start=0.5, seconds=1.0, fps=10, speed=2.0)
    assert view.cut
    assert view.events == 100
    assert view.pictures == 5
    with Image.open(tmp_path / "a.png") as sheet:
        assert near(colour_at(sheet, 4, 3), ON)
        assert sheet.size[0] == 4 * 320


def test_labels_stand_below_a_clip(tmp_path):
    events = EventStream([0, 10, 900_000], [1, 2, 3], [1, 1, 1], [1, 0, 1], (32, 32))
    curve = np.linspace(-1, 1, 26, dtype=np.float32)
    labels = {"t_us": np.arange(26) * 40_000, "valence": curve, "arousal": -curve}
    facts = {"subject": "ann", "clip": "1", "domain": "films-like", "synthetic": 1}
    write_clip(tmp_path / "plain.h5", events, attributes=facts)
    write_clip(tmp_path / "labelled.h5", events, labels=labels, attributes=facts)
    heights = {}
    for name in ("plain", "labelled"):
        show(tmp_path / f"{name}.h5", tmp_path / f"{name}.gif")
        with Image.open(tmp_path / f"{name}.gif") as image:
            heights[name] = image.size[1]
            image.seek(12)
            strip = np.asarray(image.convert("RGB"))[320 + 24 : -24]
        if name == "labelled":
            green, orange = (np.abs(strip.astype(int) - c).max(axis=2) < 40 for c in ((0, 158, 115), (213, 94, 0)))
            assert np.flatnonzero(green.any(axis=0)).mean() == pytest.approx(160, abs=10)
            assert np.flatnonzero(orange[:, :60].any(axis=1)).mean() < np.flatnonzero(green[:, :60].any(axis=1)).mean()
    assert heights["labelled"] > heights["plain"] > 320


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "x.mp4"], "ends in .gif, .webp, .png"),
        (["--fps", "100"], "at most 50"),
        (["--start", "60"], "nothing to see"),
        (["--speed", "0"], "speed must be above 0"),
    ],
)
def test_mistakes_are_said(options, message, recording, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["view", str(recording), *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.gif"))


def test_command_says_what_it_wrote(recording, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["view", str(recording)]) == 0
    assert "dots.gif: 76 pictures of 3.04 s with 201 events" in capsys.readouterr().out
    assert (tmp_path / "dots.gif").stat().st_size > 1000
