"""Pictures of event files: what is on them is what is in the file."""

import cv2
import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from spikeva.cli import main
from spikeva.cli.view import predictor
from spikeva.datasets.view import OFF, ON, PAPER, Predictor, show
from spikeva.encode import encode, model_input
from spikeva.events import EventFileError, EventStream, read_events, write_clip, write_events
from spikeva.live import Follower
from spikeva.study.cells import cells
from spikeva.study.config import parse
from spikeva.study.files import write_yaml
from spikeva.study.run_cell import create
from spikeva.study.trained import load_cell


@pytest.fixture
def recording(tmp_path):
    """A dot of ON events at x = 4 in the first second and of OFF events at x = 12 in the next; nothing in the third."""
    t = np.concatenate([np.arange(0, 2_000_000, 10_000), [3_000_000]]) + 500
    x = np.where(t < 1_000_000, 4, 12)
    p = (t < 1_000_000).astype(np.uint8)
    path = tmp_path / "dots.raw"
    write_events(path, EventStream(t, x.astype(np.uint16), np.full(len(t), 3, np.uint16), p, (16, 8)))
    return path


@pytest.mark.parametrize("fps", [1, 12, 30, 40, 45])
def test_a_gif_lasts_as_long_as_what_it_shows(fps, recording, tmp_path):
    pictures = show(recording, tmp_path / "dots.gif", fps=fps, seconds=2).pictures
    with Image.open(tmp_path / "dots.gif") as image:
        lasts = 0
        for i in range(image.n_frames):
            image.seek(i)
            lasts += image.info["duration"]
    assert lasts == pytest.approx(1000 * pictures / fps, abs=5)


def test_a_single_picture_is_a_gif_too(recording, tmp_path):
    assert show(recording, tmp_path / "dots.gif", fps=10, seconds=0.05).pictures == 1
    with Image.open(tmp_path / "dots.gif") as image:
        assert image.n_frames == 1


def test_damage_after_what_is_shown_does_not_count(tmp_path):
    t = np.arange(0, 4_000_000, 4, dtype=np.int64)
    zeros = np.zeros(len(t), np.uint16)
    write_events(tmp_path / "long.dat", EventStream(t, zeros, zeros, zeros.astype(np.uint8), (16, 8)))
    show(tmp_path / "long.dat", tmp_path / "sound.gif", seconds=0.2)
    content = (tmp_path / "long.dat").read_bytes()
    (tmp_path / "long.dat").write_bytes(content[:-8] + b"\0" * 8)  # its last event is at time 0
    with pytest.raises(EventFileError):
        read_events(tmp_path / "long.dat")
    show(tmp_path / "long.dat", tmp_path / "damaged.gif", seconds=0.2)
    assert (tmp_path / "damaged.gif").read_bytes() == (tmp_path / "sound.gif").read_bytes()


def colour_at(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return image.convert("RGB").getpixel((20 * x + 10, 20 * y + 10))  # 16 pixels are drawn 320 wide


def near(colour, wanted) -> bool:
    return bool(np.abs(np.subtract(colour, wanted)).max() < 12)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animation_shows_each_window(suffix, recording, tmp_path):
    view = show(recording, tmp_path / f"dots{suffix}", fps=10)
    assert (view.pictures, view.events, view.cut) == (30, 201, False)
    with Image.open(tmp_path / f"dots{suffix}") as image:
        assert image.n_frames >= 3  # equal pictures may be joined into a longer one
        shown, time = [], 0
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            shown.append((time, colour_at(image, 4, 3), colour_at(image, 12, 3)))
            time += image.info["duration"]
    assert time == 30 * 100
    at = {t: [colours for start, *colours in shown if start <= t][-1] for t in (500, 1500, 2500, 2900)}
    assert near(at[500][0], ON)
    assert near(at[500][1], PAPER)
    assert near(at[1500][0], PAPER)
    assert near(at[1500][1], OFF)
    assert near(at[2500][0], PAPER)
    assert near(at[2500][1], PAPER)
    assert not near(at[2900][1], PAPER)  # the event at the end of the last window


@pytest.mark.parametrize("fps", [10, 12.5, 0.1])
def test_a_video_shows_each_window(fps, recording, tmp_path):
    av = pytest.importorskip("av")
    view = show(recording, tmp_path / "dots.mp4", fps=fps, speed=fps / 10)
    with av.open(str(tmp_path / "dots.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")  # what browsers play
        assert film.duration == pytest.approx(1e6 * view.pictures / fps, rel=0.01)
        shown = [frame.to_image() for frame in film.decode(stream)]
    assert len(shown) == view.pictures == 30
    assert near(colour_at(shown[5], 4, 3), ON)
    assert near(colour_at(shown[5], 12, 3), PAPER)
    assert near(colour_at(shown[15], 4, 3), PAPER)
    assert near(colour_at(shown[15], 12, 3), OFF)


@pytest.mark.parametrize("size", [(41, 43), (321, 241)])
def test_a_video_of_an_odd_size_is_whole(size, tmp_path):
    av = pytest.importorskip("av")
    corner = EventStream([0, 1], [size[0] - 1] * 2, [0] * 2, [1, 1], size)
    write_events(tmp_path / "corner.raw", corner)
    show(tmp_path / "corner.raw", tmp_path / "corner.gif")
    show(tmp_path / "corner.raw", tmp_path / "corner.mp4")
    with Image.open(tmp_path / "corner.gif") as picture, av.open(str(tmp_path / "corner.mp4")) as film:
        width, height = picture.size
        assert (film.streams.video[0].width, film.streams.video[0].height) == (width + width % 2, height + height % 2)


def test_a_video_needs_pyav(recording, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("spikeva.datasets.view.find_spec", lambda name: None)
    assert main(["view", str(recording), "-o", str(tmp_path / "dots.mp4")]) == 2
    assert "dots.mp4: video files need PyAV; install it with `pip install spikeva[video]`" in capsys.readouterr().err
    assert main(["view", str(recording), "-o", str(tmp_path / "dots.gif"), "--seconds", "0.1"]) == 0


def test_part_of_a_recording(recording, tmp_path):
    view = show(recording, tmp_path / "a.png", start=0.5, seconds=1.0, fps=10, speed=2.0)
    assert view.cut
    assert view.events == 100
    assert view.pictures == 5
    with Image.open(tmp_path / "a.png") as sheet:
        assert near(colour_at(sheet, 4, 3), ON)
        assert sheet.size[0] == 4 * 320


def test_a_view_that_starts_late_goes_on_to_the_recordings_end(recording, tmp_path):
    view = show(recording, tmp_path / "rest.gif", start=1.5, fps=10)
    assert (view.pictures, view.events, view.seconds, view.cut) == (15, 51, 1.5, False)


def test_hdf5_of_another_program_begins_with_its_first_event(tmp_path):
    with h5py.File(tmp_path / "v2e.h5", "w") as file:
        file["events"] = np.array([[700_000, 4, 3, 1], [790_000, 4, 3, 1]], np.uint32)
    view = show(tmp_path / "v2e.h5", tmp_path / "v2e.gif", fps=10, size=(16, 8))
    assert (view.pictures, view.events) == (1, 2)


def test_a_sheet_shows_twelve_windows_from_the_first_to_the_last(recording, tmp_path):
    view = show(recording, tmp_path / "dots.png", fps=10)
    assert (view.pictures, view.seconds) == (12, 3.0)
    with Image.open(tmp_path / "dots.png") as sheet:
        first, last = (sheet.crop((x, y, x + 320, y + 160)) for x, y in ((0, 0), (3 * 320, sheet.height * 2 // 3)))
    assert near(colour_at(first, 4, 3), ON)
    assert near(colour_at(last, 4, 3), PAPER)
    assert not near(colour_at(last, 12, 3), PAPER)


def test_a_pixel_with_more_events_than_a_byte_holds_is_in_full_colour(tmp_path):
    t = np.concatenate([np.arange(256), 100_000 + np.arange(256)])
    zeros = np.zeros(len(t), np.uint16)
    write_events(tmp_path / "many.raw", EventStream(t, zeros, zeros, zeros.astype(np.uint8), (16, 8)))
    show(tmp_path / "many.raw", tmp_path / "many.PNG", fps=10)
    with Image.open(tmp_path / "many.PNG") as sheet:
        assert near(colour_at(sheet, 0, 0), OFF)
        assert near(colour_at(sheet, 16, 0), OFF)


def test_a_picture_shows_nothing_after_the_time_asked_for(tmp_path):
    x = np.array([4, 12], np.uint16)  # one in time, and one at its end, in the same picture's time
    write_events(tmp_path / "two.raw", EventStream([100_000, 150_000], x, [3, 3], [1, 1], (16, 8)))
    view = show(tmp_path / "two.raw", tmp_path / "two.png", seconds=0.05, fps=10)
    assert (view.pictures, view.events, view.cut) == (1, 1, True)
    with Image.open(tmp_path / "two.png") as picture:
        assert not near(colour_at(picture, 4, 3), PAPER)
        assert near(colour_at(picture, 12, 3), PAPER)


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


@pytest.mark.parametrize("times", [None, 0, 2])
def test_labels_without_a_time_each_are_not_drawn(times, recording, tmp_path):
    labels = {"valence": np.zeros(0 if times == 0 else 1, np.float32)}
    if times is not None:
        labels["t_us"] = np.arange(times)
    write_clip(tmp_path / "odd.h5", read_events(recording), labels=labels)
    assert show(tmp_path / "odd.h5", tmp_path / "odd.gif").events == 201


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "x.avi"], "ends in .gif, .webp, .mp4, .png"),
        (["--fps", "100"], "at most 50"),
        (["--start", "60"], "nothing to see"),
        (["--fps", "0.001"], "at least 0.01"),
        (["--speed", "0"], "speed must be above 0"),
        (["--speed", "inf"], "speed must be above 0"),
        (["--seconds", "inf"], "seconds must be above 0 and finite"),
        (["--start", "nan"], "start must be 0 or more"),
        (["--start", "-1"], "start must be 0 or more"),
        (["--speed", "1e-9"], "dots.gif: an animation holds at most 65,536 pictures, found 3,000,000 of 1e-06 s"),
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
    assert "dots.gif: 75 pictures of 3.00 s with 201 events" in capsys.readouterr().out
    assert (tmp_path / "dots.gif").stat().st_size > 1000


@pytest.fixture
def clip(tmp_path):
    """A labelled clip of 32 x 32 pixels and 0.4 s, with events everywhere."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(3000, 400_000, 4000))
    x, y = (rng.integers(0, 32, 4000).astype(np.uint16) for _ in range(2))
    times = np.arange(11) * 40_000
    labels = {"t_us": times, "valence": np.full(11, 0.5, np.float32), "arousal": np.full(11, -0.5, np.float32)}
    facts = {"subject": "ann", "clip": "1", "domain": "films-like", "synthetic": 1}
    path = tmp_path / "clip.h5"
    write_clip(
        path, EventStream(t, x, y, rng.integers(0, 2, 4000).astype(np.uint8), (32, 32)), labels=labels, attributes=facts
    )
    return path


def trained_cell(folder, size=32, root=None):
    """The folder of a small spiking cell on two windows of 20 ms, as a study on rendered or on prepared clips leaves it."""
    source = {"dataset": "afew-va-like", "identities": 4, "clips": 1, "size": size}
    source = source if root is None else {"dataset": "prepared", "root": str(root)}
    entry = {
        "models": [{"model": "snn_convnet", "width": 4, "depth": 2}],
        "encodings": [{"encoding": "spikes", "steps": 4, "dt": 5000}],
    }
    study = parse({"study": "s", "regression": source, "folds": 2, "window": {"frames": 2}, "grid": entry})
    cell = next(cells(study))
    folder.mkdir()
    write_yaml(folder / "config.yaml", cell.determinants())
    weights = create(cell).state_dict()  # as they are before training, no neuron fires and each prediction is 0
    save_file({k: 10 * v if ".conv." in k else v for k, v in weights.items()}, folder / "model.safetensors")
    return folder


def test_predictions_are_dots_up_to_now(clip, tmp_path, monkeypatch):
    asked, texts = [], []
    write = cv2.putText
    monkeypatch.setattr(cv2, "putText", lambda image, text, *how: texts.append(text) or write(image, text, *how))

    def at(times):
        asked.extend(times.tolist())
        return np.stack([np.linspace(-1, 1, len(times)), np.full(len(times), 0.0)], axis=1)

    view = show(clip, tmp_path / "clip.gif", fps=25, predictor=Predictor(("a model",), 100_000, at))
    assert asked == list(range(120_000, 400_001, 40_000))
    assert (view.pictures, view.predictions) == (10, 8)
    assert "8 predictions" in str(view)
    bright = []
    with Image.open(tmp_path / "clip.gif") as image:
        assert image.n_frames == 10
        for i in range(10):
            image.seek(i)
            plot = np.asarray(image.convert("RGB")).astype(int)[320 + 24 : 320 + 96, :160]
            bright.append(np.flatnonzero((plot.min(axis=2) > 180).any(axis=0)))
        arousal = np.asarray(image.convert("RGB")).astype(int)[320 + 24 : 320 + 96, 160:]
    assert not len(bright[0])
    assert not len(bright[1])
    assert [dots.max() for dots in bright[2:]] == pytest.approx([6 + 148 * (i + 1) / 10 for i in range(2, 10)], abs=4)
    assert np.flatnonzero((arousal.min(axis=2) > 180).any(axis=1)) == pytest.approx(36, abs=4)
    said = [text for text in texts if text.startswith("predicted")]
    assert said[:4] == ["predicted -"] * 4
    assert said[4::2] == [f"predicted {value:+.2f}" for value in np.linspace(-1, 1, 8)]
    assert said[5::2] == ["predicted +0.00"] * 8


def test_predictions_of_a_view_that_starts_late_count_from_the_recordings_start(recording, tmp_path):
    asked = []

    def at(times):
        asked.extend(times.tolist())
        values = np.zeros((len(times), 2))
        values[3] = np.nan, 0  # half a prediction is none
        return values

    model = Predictor(("a model",), 1_200_000, at)
    view = show(recording, tmp_path / "late.gif", start=1.0, seconds=1.0, fps=10, predictor=model)
    assert asked == list(range(1_200_500, 2_000_501, 100_000))
    assert (view.pictures, view.predictions) == (10, 8)
    with Image.open(tmp_path / "late.gif") as image:
        image.seek(image.n_frames - 1)
        plot = np.asarray(image.convert("RGB")).astype(int)[160 + 24 : 160 + 96, :160]
    dots = np.flatnonzero((plot.min(axis=2) > 180).any(axis=0))
    assert dots.min() == pytest.approx(6 + 148 * 0.2, abs=4)
    assert dots.max() == pytest.approx(6 + 148, abs=4)


def test_predictions_are_those_of_the_cell(clip, tmp_path):
    folder = trained_cell(tmp_path / "cell")
    found = predictor(folder, clip)
    assert found.legend == ("snn_convnet, spikes", "learned on synthetic faces")
    assert found.history_us == 40_000
    times = np.arange(60_000, 400_001, 20_000)
    values = found.at(times)
    model, events = load_cell(folder)[1], read_events(clip)
    assert np.isnan(values[-1]).all()  # nothing says yet that 400 ms have passed
    for time, value in zip(times[:-1], values[:-1], strict=True):
        codes = encode(events.slice_time(None, int(time)), "spikes", ends=[time - 20_000, time], steps=4, dt=5000)
        inputs = model_input(codes, "spikes", "snn", steps=4, dt=5000)
        with torch.no_grad():
            assert value == pytest.approx(model(torch.from_numpy(inputs)[None])[0].numpy(), abs=1e-6)


def test_view_with_a_cell(clip, tmp_path, capsys):
    folder = trained_cell(tmp_path / "cell")
    plain, drawn = tmp_path / "plain.png", tmp_path / "drawn.png"
    assert main(["view", str(clip), "-o", str(plain)]) == 0
    assert main(["view", str(clip), "-o", str(drawn), "--cell", str(folder)]) == 0
    assert "10 pictures of 0.40 s with 4,000 events and 9 predictions" in capsys.readouterr().out
    with Image.open(plain) as a, Image.open(drawn) as b:
        assert b.size[0] == a.size[0]
        assert b.size[1] > a.size[1]

    assert main(["view", str(clip), "-o", str(drawn), "--cell", str(folder), "--fps", "50", "--seconds", "0.01"]) == 2
    assert "needs 40 ms of a recording before its first prediction" in capsys.readouterr().err
    assert main(["view", str(clip), "-o", str(drawn), "--cell", str(tmp_path)]) == 2
    assert "name the folder of a trained cell" in capsys.readouterr().err
    pytest.importorskip("av")
    assert main(["view", str(clip), "-o", str(tmp_path / "drawn.mp4"), "--cell", str(folder)]) == 0
    assert "drawn.mp4: 10 pictures of 0.40 s with 4,000 events and 9 predictions" in capsys.readouterr().out
    larger = trained_cell(tmp_path / "larger", size=64)
    assert main(["view", str(clip), "-o", str(drawn), "--cell", str(larger)]) == 2
    assert "learned from pictures of 64 x 64 pixels" in capsys.readouterr().err


def test_a_cell_of_prepared_clips_asks_them_for_their_size(clip, recording, tmp_path, capsys):
    folder = trained_cell(tmp_path / "cell", root=clip.parent)
    assert main(["view", str(clip), "-o", str(tmp_path / "a.gif"), "--cell", str(folder)]) == 0
    assert main(["view", str(recording), "-o", str(tmp_path / "b.gif"), "--cell", str(folder)]) == 2
    assert "learned from pictures of 32 x 32 pixels" in capsys.readouterr().err
    assert main(["live", str(folder), str(clip)]) == 0
    assert capsys.readouterr().out.startswith("t_us,valence,arousal\n")
    assert main(["live", str(folder), str(recording)]) == 2
    assert "learned from pictures of 32 x 32 pixels" in capsys.readouterr().err
    assert not (tmp_path / "b.gif").exists()


def test_live_is_told_the_size_of_a_sensor_that_the_file_does_not_know(clip, tmp_path, capsys):
    folder, events = trained_cell(tmp_path / "cell"), read_events(clip)
    np.savez(tmp_path / "bare.npz", t=events.t, x=events.x, y=events.y, p=events.p)
    command = ["live", str(folder), str(tmp_path / "bare.npz")]
    assert main(command) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert told.endswith("Give size=(width, height) of the sensor; on the command line --size WIDTHxHEIGHT.")
    assert main([*command, "--size", "32x32"]) == 0
    told = capsys.readouterr().out
    assert main(["live", str(folder), str(clip)]) == 0
    assert told == capsys.readouterr().out


def test_live_prints_time_valence_and_arousal_every_so_many_milliseconds(clip, tmp_path, capsys):
    folder = trained_cell(tmp_path / "cell")
    for more, every in (([], 20_000), (["--every", "7.5"], 7_500)):
        assert main(["live", str(folder), str(clip), *more]) == 0
        rows = [line.split(",") for line in capsys.readouterr().out.splitlines()]
        assert rows[0] == ["t_us", "valence", "arousal"]
        cell, model = load_cell(folder)
        events = read_events(clip)
        times = range(int(events.t[0]) + 40_000, int(events.t[-1]) + 1, every)
        follower = Follower(model, cell.encoding, cell.kind, 2, every_us=every, first_us=times[0])
        assert [int(row[0]) for row in rows[1:]] == [*times]
        for row, found in zip(rows[1:], follower.push(events), strict=True):
            assert (float(row[1]), float(row[2])) == pytest.approx(found[1:], abs=1e-4)
            assert found.valence != found.arousal
