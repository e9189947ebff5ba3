"""From a folder or an .npz to an event file; interpolation; compression artefacts."""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spikeva import DVSPixel
from spikeva.cli import main
from spikeva.errors import UserError
from spikeva.events import EventStream, read_events
from spikeva.simulate import block_edge_excess, deblock, interpolate, simulate
from spikeva.simulate.slomo import _check as check_weights
from spikeva.simulate.summary import Summary
from spikeva.simulate.video import read_frames
from spikeva.simulate.warp import between, motion_layers, spline


def disc(x: float, y: float = 16.0, size: tuple[int, int] = (48, 32)) -> np.ndarray:
    """A soft disc of light at (x, y)."""
    columns, rows = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return (60 + 150 / (1 + np.exp(np.hypot(columns - x, rows - y) - 7))).astype(np.float32)


@pytest.fixture
def frames() -> np.ndarray:
    return np.stack([disc(14 + 2 * i) for i in range(6)]).round().astype(np.uint8)


def test_folder_npz_and_array_give_the_same_events(
    tmp_path: Path, frames: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    (tmp_path / "frames").mkdir()
    for i, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / "frames" / f"f{i + 8}.png"), frame)  # f8, f9, f10: natural order
    np.savez(tmp_path / "clip.npz", frames=frames, timestamps=np.arange(6) / 25)
    np.savez(tmp_path / "late.npz", frames=frames, timestamps=np.arange(6) + 7)
    wanted = simulate(frames, np.arange(6) / 25, "noisy", seed=2)
    for arguments in (["frames", "--fps", "25"], ["clip.npz"], ["late.npz", "--fps", "25"]):
        out = tmp_path / "out.npz"
        code = main(["simulate", str(tmp_path / arguments[0]), *arguments[1:], "-o", str(out), "--preset", "noisy", "--seed", "2"])  # fmt: skip
        assert code == 0
        got = read_events(out)
        assert all(np.array_equal(getattr(got, n), getattr(wanted, n)) for n in "txyp")
    assert f"{len(wanted):,} events in 0.200 s of 48 x 32" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("kind", ["int64", "uint16", "float16", ">f4"])
@pytest.mark.parametrize("colours", [(), (3,)])
def test_frames_of_any_type_are_resized(
    tmp_path: Path, frames: np.ndarray, kind: str, colours: tuple[int, ...]
) -> None:
    pictures = np.broadcast_to(frames.reshape(*frames.shape, *(1 for _ in colours)), (*frames.shape, *colours))
    np.savez(tmp_path / "clip.npz", frames=pictures.astype(kind), t=np.arange(6) / 25)
    np.savez(tmp_path / "bytes.npz", frames=pictures, t=np.arange(6) / 25)
    found, wanted = (list(read_frames(tmp_path / f"{n}.npz", size=(24, 16))[0]) for n in ("clip", "bytes"))
    for (a, s), (b, t) in zip(found, wanted, strict=True):
        assert s == t
        np.testing.assert_allclose(a, b.astype(float), atol=0.6 if "f" in kind else 0)


def test_a_smaller_picture_is_the_mean_of_what_it_covers(tmp_path: Path, frames: np.ndarray) -> None:
    np.savez(tmp_path / "clip.npz", frames=frames, t=np.arange(6) / 25)
    small = np.stack([frame for frame, _ in read_frames(tmp_path / "clip.npz", size=(12, 8))[0]])
    np.testing.assert_allclose(small, frames.reshape(6, 8, 4, 12, 4).mean(axis=(2, 4)), rtol=0, atol=0.51)


def test_each_option_reaches_the_events(tmp_path: Path, frames: np.ndarray) -> None:
    np.savez(tmp_path / "clip.npz", frames=frames)

    def events(*options: str) -> EventStream:
        given = {"--fps": "25", "--preset": "noisy", **dict(zip(options[::2], options[1::2], strict=True))}
        out = tmp_path / "a.npz"
        command = ["simulate", str(tmp_path / "clip.npz"), "-o", str(out)]
        assert main(command + [part for option in given.items() for part in option]) == 0
        return read_events(out)

    plain = events()
    assert events() == plain
    for options in (
        ("--seed", "1"),
        ("--preset", "clean"),
        ("--set", "pos_thres=0.4"),
        ("--timing", "crossing"),
        ("--blur", "2"),
        ("--interpolate", "linear", "--subframes", "3"),
        ("--fps", "50"),
    ):
        assert events(*options) != plain, options
    assert events("--fps", "50").t[-1] == pytest.approx(plain.t[-1] / 2, rel=0.01)
    assert events("--interpolate", "linear", "--subframes", "3") != events(
        "--interpolate", "linear", "--subframes", "5"
    )


def test_floats_of_0_to_1_are_refused(tmp_path: Path, frames: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "clip.npz", frames=frames / 255, t=np.arange(6) / 25)
    assert main(["simulate", str(tmp_path / "clip.npz"), "-o", str(tmp_path / "a.h5")]) == 2
    assert "clip.npz: frames must be luma in 0..255, got floats of at most" in capsys.readouterr().err


def test_parameters_of_the_pixel_are_spelt_as_numbers_are(tmp_path: Path, frames: np.ndarray) -> None:
    np.savez(tmp_path / "clip.npz", frames=frames, timestamps=np.arange(6) / 25)
    changes = [
        "--set",
        "pos_thres=3e-1",
        "--set",
        "cutoff_hz=1e2",
        "--set",
        "scidvs=False",
        "--set",
        "cs_tau_p_ms=none",
    ]
    assert main(["simulate", str(tmp_path / "clip.npz"), "-o", str(tmp_path / "a.npz"), *changes]) == 0
    pixel = DVSPixel(pos_thres=0.3, sigma_thres=0.02, cutoff_hz=100.0)
    assert read_events(tmp_path / "a.npz") == simulate(frames, np.arange(6) / 25, pixel)


def test_the_input_is_never_overwritten(tmp_path: Path, frames: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "clip.npz"
    np.savez(path, frames=frames, timestamps=np.arange(6) / 25)
    before = path.read_bytes()
    assert main(["simulate", str(path), "-o", str(tmp_path / "." / "clip.npz")]) == 2
    assert "this is the input" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_what_a_kill_left_of_the_file_goes(tmp_path: Path, frames: np.ndarray) -> None:
    np.savez(tmp_path / "clip.npz", frames=frames, times=np.arange(len(frames)) / 100)
    mine, other, at_work = (tmp_path / f".{name}.part" for name in ("[a].h5.killed", "a.h5.killed", "[a].h5.at-work"))
    for part in (mine, other, at_work):
        part.touch()
    for part in (mine, other):
        os.utime(part, (0, 0))
    assert main(["simulate", str(tmp_path / "clip.npz"), "-o", str(tmp_path / "[a].h5")]) == 0
    assert {*tmp_path.iterdir()} == {tmp_path / "clip.npz", tmp_path / "[a].h5", other, at_work}


def test_a_folder_that_is_not_there_is_said_before_the_work(
    tmp_path: Path, frames: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "clip.npz", frames=frames, times=np.arange(len(frames)) / 100)
    assert main(["simulate", str(tmp_path / "clip.npz"), "-o", str(tmp_path / "absent" / "events.h5")]) == 2
    said = capsys.readouterr().err
    assert "its folder does not exist" in said
    assert f"/{len(frames)}" not in said  # no progress


@pytest.mark.parametrize("out", ["a.h5", "a.dat"])
@pytest.mark.parametrize("picture", ["a.png", "a.gif"])
@pytest.mark.parametrize("times", [(12.0, 12.5, 13.0), (0.0, 11.0, 30.0)])
def test_a_view_begins_with_the_events(
    tmp_path: Path, out: str, picture: str, times: tuple[float, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A sheet shows all, an animation says when there is more."""
    np.savez(tmp_path / "clip.npz", frames=np.stack([disc(14.0), disc(15.0), disc(20.0)]), t=times)
    options = ["-o", str(tmp_path / out), "--timing", "crossing", "--view", str(tmp_path / picture)]
    assert main(["simulate", str(tmp_path / "clip.npz"), *options]) == 0
    said = " ".join(capsys.readouterr().err.split())
    found = re.search(rf"{picture}: \d+ pictures of [0-9.]+ s with ([0-9,]+) events", said)
    assert found
    number, events = int(found[1].replace(",", "")), read_events(tmp_path / out)
    cut = picture == "a.gif" and events.t[-1] - events.t[0] > 10_000_000
    assert (0 < number < len(events)) if cut else (number == len(events))
    assert (f"goes on: spikeva view {tmp_path / out} --seconds N" in said) == cut
    assert (tmp_path / picture).exists()


def test_a_path_longer_than_a_line_is_told_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So it can be copied, and found in a log."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    np.savez(folder / "clip.npz", frames=np.stack([disc(14.0), disc(15.0), disc(20.0)]), t=[0.0, 11.0, 30.0])
    options = ["-o", str(folder / "a.h5"), "--timing", "crossing", "--view", str(folder / "a.gif")]
    assert main(["simulate", str(folder / "clip.npz"), *options]) == 0
    said = capsys.readouterr().err
    assert f"{folder / 'a.h5'}: " in said
    assert f"{folder / 'a.gif'}: " in said
    assert f"spikeva view {folder / 'a.h5'} --seconds N" in said


@pytest.mark.parametrize(("start", "still"), [(0.0, True), (-9.0, False)])
def test_no_event_to_see_is_no_failure(
    tmp_path: Path, start: float, still: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "clip.npz", frames=np.stack([disc(14.0), disc(14.0 if still else 20.0)]), t=[start, start + 1])
    options = ["-o", str(tmp_path / "a.h5"), "--view", str(tmp_path / "a.png")]
    assert main(["simulate", str(tmp_path / "clip.npz"), *options]) == 0
    assert "a.png: not written, as" in " ".join(capsys.readouterr().err.split())
    assert (len(read_events(tmp_path / "a.h5")) == 0) == still
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("uint8", ["--blur", "1"]),
        ("uint8", ["--interpolate", "linear", "--subframes", "7"]),
        ("uint8", ["--interpolate", "flow", "--subframes", "7"]),
        ("uint8", ["--deblock"]),
        ("float64", ["--size", "10x8"]),
        ("float64", ["--size", "10"]),
    ],
)
def test_filters_keep_luma_in_its_range(tmp_path: Path, kind: str, options: list[str]) -> None:
    """White where rounding would make more of it, and a dark edge of two blocks that a filter could carry below black."""
    frames = np.full((4, 20, 30), 255, kind)
    frames[2:, :10, 4:12] = np.array([1, 1, 1, 10, 0, 0, 0, 0])
    np.savez(tmp_path / "clip.npz", frames=frames, t=np.arange(4) / 25)
    assert main(["simulate", str(tmp_path / "clip.npz"), "-o", str(tmp_path / "a.npz"), *options]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.mp4"], "no such file or folder"),
        (["text.mp4"], "not a readable video"),
        (["empty"], "no images"),
        (["half.npz"], "not a readable .npz"),
        (["words.npz"], "not a readable .npz (no archive of plain arrays)"),
        (["objects.npz"], "not a readable .npz (no archive of plain arrays)"),
        (["number.npz", "--fps", "25"], "frames must be [T, H, W]"),
        (["flat.npz", "--fps", "25", "--size", "4x4"], "frames must be [T, H, W]"),
        (["nil.npz"], "not a readable .npz"),
        (["one.npz"], "need at least 2"),
        (["notime.npz"], "give the frame rate"),
        (
            ["notime.npz", "--fps", "inf"],
            "fps must be above 0 and at most 1e6, since events have whole microseconds, got inf",
        ),
        (["notime.npz", "--fps", "1e300"], "fps must be above 0 and at most 1e6"),
        (["late.npz"], "late.npz: timestamps must increase: frame 2 is at 0.1 s"),
        (["other.npz"], "no array 'frames' [T, H, W] inside (found: pictures, t)"),
        (["one.npz", "--set", "cutof_hz=3"], "--set: unknown parameter 'cutof_hz'; did you mean 'cutoff_hz'?"),
        (["one.npz", "--set", "cutoff_hz"], "--set takes NAME=VALUE, got 'cutoff_hz'"),
        (["one.npz", "--set", "cutoff_hz=fast"], "cutoff_hz must be a finite number"),
        (["one.npz", "--set", "cutoff_hz=["], "cutoff_hz must be a finite number"),
        (["one.npz", "--set", "scidvs=2"], "scidvs must be True or False"),
        (["one.npz", "--size", "12x"], "WIDTHxHEIGHT"),
        (["one.npz", "--size", "²x²"], "WIDTHxHEIGHT"),
        (["one.npz", "--size", "65537x1"], "each 1 to 65536, got '65537x1'"),
        (["one.npz", "--interpolate", "v2e-slomo"], "needs v2e"),
        (["one.npz", "--subframes", "3"], "subframes need an interpolation"),
        (["notime.npz", "--fps", "25", "--blur", "inf"], "--blur is 0 to 100 pixels, got inf"),
        (["notime.npz", "--fps", "25", "--blur", "nan"], "--blur is 0 to 100 pixels, got nan"),
        (["notime.npz", "--fps", "25", "--view", "a.jpg"], "the name of a picture ends in"),
        (["notime.npz", "--fps", "25", "--view", "none/a.png"], "its folder does not exist"),
        (["notime.npz", "--fps", "25", "--engine", "v2e"], "pip install git+https://github.com/SensorsINI/v2e"),
    ],
)
def test_mistakes_end_with_2(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "v2ecore", None)
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "one.npz", frames=np.zeros((1, 4, 5), np.uint8), t=[0.0])
    np.savez(tmp_path / "notime.npz", frames=np.zeros((3, 4, 5), np.uint8))
    (tmp_path / "half.npz").write_bytes((tmp_path / "one.npz").read_bytes()[:300])
    (tmp_path / "words.npz").write_text("no archive")
    np.savez(tmp_path / "objects.npz", frames=np.array([None, {}]))
    np.savez(tmp_path / "late.npz", frames=np.zeros((3, 4, 5), np.uint8), t=[0.0, 0.1, 0.1])
    np.savez(tmp_path / "other.npz", pictures=np.zeros((3, 4, 5), np.uint8), t=[0.0, 0.1, 0.2])
    np.savez(tmp_path / "number.npz", frames=np.array(3))
    np.savez(tmp_path / "flat.npz", frames=np.zeros(3, np.uint8))
    (tmp_path / "nil.npz").write_bytes(b"")
    out = tmp_path / "out.h5"
    assert main(["simulate", str(tmp_path / arguments[0]), *arguments[1:], "-o", str(out)]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


def test_flow_knows_where_the_disc_was() -> None:
    """Half way, and against the blend of the two pictures."""
    ends = [(disc(20.0), 0.0), (disc(26.0), 0.04)]
    truth = disc(23.0)
    found = {m: list(interpolate(ends, m, 2))[1] for m in ("flow", "linear")}
    errors = {m: float(np.abs(picture - truth).mean()) for m, (picture, _) in found.items()}
    assert found["flow"][1] == pytest.approx(0.02)
    assert errors["flow"] < 0.35 * errors["linear"]


@pytest.mark.parametrize("method", ["linear", "flow"])  # flow of pictures too small for it
def test_blends_are_by_nearness(method: str) -> None:
    ends = [(np.full((3, 4), luma, np.uint8), time) for luma, time in ((20, 1.0), (220, 3.0))]
    found = [(picture.tolist(), time) for picture, time in interpolate(ends, method, 4)]
    assert found == [([[20 + 50 * k] * 4] * 3, 1 + k / 2) for k in range(5)]


def test_sub_frames_follow_the_motion() -> None:
    still = list(interpolate([(disc(20.0), 0.0), (disc(20.0), 1.0)], "flow"))
    assert [t for _, t in still] == [0.0, 1.0]
    fast = list(interpolate([(disc(20.0), 0.0), (disc(26.0), 1.0)], "flow"))
    assert 10 <= len(fast) - 1 <= 20  # six pixels, half a one a step, and the estimate's error
    assert np.array_equal(fast[-1][0], disc(26.0))
    with pytest.raises(UserError, match="subframes must be a whole number of at least 1"):
        list(interpolate([], "flow", 0))
    with pytest.raises(UserError, match="threads must be a whole number of at least 1, got -1"):
        list(interpolate([], "flow", threads=-1))


def test_interpolation_spreads_events_in_time(frames: np.ndarray) -> None:
    times = np.arange(6) / 25
    none = simulate(frames, times, "ideal")
    flow = simulate(frames, times, "ideal", interpolation="flow", subframes=8)
    assert len(np.unique(flow.t)) > 2 * len(np.unique(none.t))


def test_block_edges_of_jpeg_are_found_and_smoothed() -> None:
    """A soft scene that drifts, compressed hard: more events at the rims of blocks, fewer of them after the filter."""
    import cv2

    columns, rows = np.meshgrid(np.arange(96), np.arange(96))
    scene = [120 + 40 * np.sin((columns + 0.7 * i) / 17) + 40 * np.cos((rows + 0.4 * i) / 13) for i in range(12)]
    jpeg = [cv2.imencode(".jpg", f.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 15])[1] for f in scene]
    blocky = [cv2.imdecode(f, cv2.IMREAD_GRAYSCALE) for f in jpeg]
    excess, numbers = {}, {}
    for name, frames in (("clean", scene), ("jpeg", blocky), ("deblocked", [deblock(f) for f in blocky])):
        events = simulate(np.clip(frames, 0, 255), np.arange(12) * 0.02, DVSPixel(0.06, 0.06))
        excess[name], numbers[name] = block_edge_excess(events), len(events)
    assert excess["clean"] == pytest.approx(1.0, abs=0.02)
    assert excess["clean"] < excess["deblocked"] < excess["jpeg"]
    assert numbers["deblocked"] < numbers["jpeg"]


def test_the_rim_of_the_picture_is_no_edge_of_a_block() -> None:
    rim = np.pad(np.zeros((22, 30), bool), 1, constant_values=True)
    y, x = np.nonzero(rim)
    events = EventStream(np.arange(len(y)), x, y, np.ones(len(y), np.uint8), (32, 24))
    across = [7, 8, 15, 16, 23, 24], [7, 8, 15, 16]
    edge = np.isin(np.arange(32), across[0]) | np.isin(np.arange(24), across[1])[:, None]
    assert block_edge_excess(events) == pytest.approx(rim[edge].mean() / rim[~edge].mean())


@pytest.mark.parametrize("colours", [(), (3,)])
def test_blocks_are_smoothed_where_they_are_stored(
    tmp_path: Path, colours: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Half the size has the edges at every fourth pixel: they go all the same, and no sentence speaks of eights."""
    columns = np.arange(64)
    pictures = np.broadcast_to(100 + 5 * (columns // 8 % 2), (4, 48, 64)).astype(np.uint8)
    pictures[1::2] += 20
    np.savez(tmp_path / "clip.npz", frames=np.stack([pictures] * 3, -1) if colours else pictures, t=np.arange(4) / 25)
    whole, half = (
        next(read_frames(tmp_path / "clip.npz", None, size, deblocked=True)[0])[0] for size in (None, (32, 24))
    )
    assert np.array_equal(whole, deblock(pictures[0]))
    assert np.allclose(half, whole.reshape(24, 2, 32, 2).mean(axis=(1, 3)))
    for options, said in ((["--deblock"], True), (["--deblock", "--size", "32x24"], False)):
        assert main(["simulate", str(tmp_path / "clip.npz"), "-o", str(tmp_path / "a.npz"), *options]) == 0
        assert ("edges of 8 x 8 blocks" in " ".join(capsys.readouterr().err.split())) == said


def test_the_summary_counts_events_by_time_pixel_and_polarity() -> None:
    blocks = [
        EventStream([10, 20, 30], [0, 0, 13], [0, 0, 1], [1, 1, 0], (16, 2)),
        EventStream([40], [8], [0], [1], (16, 2)),
    ]
    seen = Summary()
    assert list(seen.watch(blocks)) == blocks
    assert seen.span == (10, 40)
    assert np.argwhere(seen.pixels).tolist() == [[0, 0], [0, 8], [1, 13]]
    assert seen.text(0.5) == (
        "4 events in 0.500 s of 16 x 2: 8 a second, 0.25 a second and pixel, 75% ON; 9% of the pixels active; "
        "edges of 8 x 8 blocks make 2.33 times the events of other pixels"
    )
    assert "edges" not in seen.text(0.5, blocks=False)


def test_block_edge_excess_of_even_counts_is_1() -> None:
    x, y = (v.ravel().astype(np.uint16) for v in np.meshgrid(np.arange(16), np.arange(16)))
    even = EventStream(np.zeros(256, np.int64), x, y, np.ones(256, np.uint8), (16, 16))
    assert block_edge_excess(even) == pytest.approx(1.0)
    assert np.isnan(block_edge_excess(EventStream.empty((16, 16))))


def test_deblocking_keeps_edges_and_flat_areas() -> None:
    for bright in (62.0, 200.0):  # a step as high as `strength`, and a higher one
        edge = np.full((16, 16), 50.0)
        edge[:, 8:] = bright
        assert np.array_equal(deblock(edge), edge.astype(np.float32))
    step = np.full((16, 16), 50.0)
    step[:, 8:] = 54.0
    # of 4 a pixel, to the edge or from there
    for slope in (np.minimum(np.arange(16), 8), np.maximum(np.arange(16), 7)):
        slopes = np.tile(4.0 * slope, (16, 1))
        assert np.array_equal(deblock(slopes), slopes)
    for smooth in (deblock(step)[4], deblock(step.T)[:, 4]):
        assert smooth[5:11].tolist() == [50, 50.5, 51.5, 52.5, 53.5, 54]
    assert deblock(step[:, :10])[4, 6:].tolist() == [50.5, 51.5, 52.5, 53.5]  # the last block is two pixels wide
    assert np.array_equal(deblock(step[:, :9]), step[:, :9])  # of one pixel it is left alone


def test_moving_spline_keeps_a_picture_sharp() -> None:
    """A quarter of a pixel there and back gives the picture, where the values of its neighbours would blur it."""
    picture = disc(20.0, 16.0).clip(0, 255)
    still = np.zeros((*picture.shape, 2), np.float32)
    shift = still + np.float32([0.5, -0.25])
    layers, longest = motion_layers(-shift, None)
    assert longest == pytest.approx(np.hypot(0.5, 0.25))
    truth = disc(20.25, 15.875)
    halfway = between(spline(picture), spline(disc(20.5, 15.75)), layers, 0.5)
    assert np.abs(halfway - truth).max() < 0.06
    assert np.abs(between(spline(picture), spline(picture), motion_layers(still, still)[0], 0.3) - picture).max() < 1e-3


@pytest.mark.parametrize("width", [13, 32, 75])
@pytest.mark.parametrize("rough", [0.02, 3.0])
def test_moved_pixels_are_the_splines(width: int, rough: float) -> None:
    """Against scipy's spline, pixel by pixel: where neighbours move alike, and where each comes from elsewhere."""
    from scipy.ndimage import map_coordinates

    rng = np.random.default_rng(0)
    pictures = [rng.uniform(0, 255, (20, width)).astype(np.float32) for _ in range(2)]
    shift = (np.float32([0.7, -1.3]) + rng.normal(0, rough, (20, width, 2))).astype(np.float32)
    before = rng.normal(0, 1, shift.shape).astype(np.float32)
    layers, _ = motion_layers(shift, before)
    part = 0.3
    found = between(*(spline(p) for p in pictures), layers, part)
    fx, fy, bx, by, ax, ay = layers.transpose(1, 0, 2)
    way = np.stack([0.7 * fy - 0.3 * by, 0.7 * fx - 0.3 * bx])  # y, x, as scipy has them
    place = np.indices(found.shape) + 0.5 * part * (1 - part) * np.stack([ay, ax])
    values, inside = [], np.ones(found.shape, bool)
    for picture, at in zip(pictures, (place - part * way, place + (1 - part) * way), strict=True):
        padded = np.pad(picture, 12, mode="edge").astype(np.float64)
        values.append(map_coordinates(padded, at + 12, order=3, mode="nearest"))
        inside &= ((at >= 1) & (at <= np.array(picture.shape)[:, None, None] - 2)).all(axis=0)
    wanted = np.clip((1 - part) * values[0] + part * values[1], 0, 255)
    assert inside.sum() > 60
    assert np.abs(found - wanted)[inside].max() < 0.05  # the spline goes on differently beyond the rim


@pytest.mark.parametrize(("before", "acceleration"), [(0.5, 0.5), (1.0, 0.0), (-0.5, 1.5), (-4.0, 2.0)])
def test_acceleration_is_at_most_twice_the_way(before: float, acceleration: float) -> None:
    way = np.zeros((2, 5, 2), np.float32) + np.float32([0.6, -0.8])
    layers, longest = motion_layers(-way, -before * way)  # flows back to the frame before
    assert longest == pytest.approx(1)
    np.testing.assert_allclose(layers[:, 4:], acceleration * way.transpose(0, 2, 1), atol=1e-6)


def test_motion_that_its_way_back_contradicts_needs_no_steps() -> None:
    flow = np.zeros((2, 30, 2), np.float32)
    flow[:, 10:12] = 8.0, 0.0  # from still pixels
    assert motion_layers(flow, None)[1] == 0
    flow[0] = 0.5, 0.0
    assert motion_layers(flow, None)[1] == 0.5


def test_flow_the_other_way_is_the_flow_turned_where_it_leads() -> None:
    from scipy.ndimage import map_coordinates

    flow = np.random.default_rng(0).uniform(-3, 3, (12, 17, 2)).astype(np.float32)
    place = np.indices((12, 17)) - flow[..., ::-1].transpose(2, 0, 1)
    wanted = [-map_coordinates(flow[..., axis], place, order=1, mode="nearest") for axis in (0, 1)]
    np.testing.assert_allclose(motion_layers(flow, None)[0][:, :2].transpose(1, 0, 2), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "side", "edge"), [(4, 1, np.s_[:, -1:]), (4, -1, np.s_[:, :1]), (5, 1, np.s_[-1:]), (5, -1, np.s_[:1])]
)
def test_beyond_the_rim_its_pixels_repeat(layer: int, side: int, edge: Any) -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (20, 40)).astype(np.float32)
    layers = np.zeros((20, 6, 40), np.float32)
    layers[:, layer] = side * 8 * 60  # half way, all comes from 60 pixels to that side
    found = between(spline(picture), spline(picture), layers, 0.5)
    np.testing.assert_allclose(found, np.broadcast_to(picture[edge], found.shape), atol=1e-3)


def test_flow_follows_motion_that_speeds_up() -> None:
    """A disc that starts from rest: where straight motion would put it, it has not come to yet."""
    places = [20.0 + 3.0 * t * t for t in (0.0, 1.0, 2.0)]
    clip = [(disc(x), float(i)) for i, x in enumerate(places)]
    sub = list(interpolate(clip, "flow", 2))[3]
    assert sub[1] == 1.5
    to_truth, to_straight = (
        float(np.abs(sub[0] - disc(x)).mean()) for x in (20 + 3 * 1.5**2, (places[1] + places[2]) / 2)
    )
    assert to_truth < 0.5 * to_straight


def test_a_sub_frame_knows_nothing_of_later_frames() -> None:
    clip = [(disc(16.0 + 2 * i), float(i)) for i in range(5)]
    begun = list(interpolate(clip[:3], "flow", 4))
    for (a, s), (b, t) in zip(begun, list(interpolate(clip, "flow", 4))[: len(begun)], strict=True):
        assert s == t
        assert np.array_equal(a, b)


def test_threads_do_not_change_pictures() -> None:
    clip = [(disc(16.0 + 3 * i), float(i)) for i in range(3)]
    one, three = (list(interpolate(clip, "flow", 6, threads=n)) for n in (1, 3))
    assert [t for _, t in one] == [t for _, t in three]
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(one, three, strict=True))


@pytest.mark.parametrize("threads", [1, 2])
def test_frames_are_read_one_ahead_and_fail_where_they_stand(threads: int) -> None:
    taken = []

    def frames() -> Iterator[tuple[np.ndarray, float]]:
        for i in range(5):
            taken.append(i)
            if i == 3:
                raise UserError("no such frame")
            yield disc(16.0 + i), float(i)

    pictures = interpolate(frames(), "flow", 2, threads=threads)
    assert next(pictures)[1] == 0.0
    assert len(taken) <= 2
    assert [t for _, t in itertools.islice(pictures, 4)] == [0.5, 1.0, 1.5, 2.0]
    with pytest.raises(UserError, match="no such frame"):
        next(pictures)


@pytest.mark.parametrize("method", ["linear", "flow"])
def test_frames_that_change_size_are_refused(method: str) -> None:
    with pytest.raises(UserError, match=r"changed size within a clip: \(32, 48\) before, now \(20, 48\)"):
        list(interpolate([(disc(16.0), 0.0), (disc(16.0, size=(48, 20)), 1.0)], method, 2))


def test_one_frame_stays_alone() -> None:
    assert [t for _, t in interpolate([(disc(16.0), 3.0)], "flow")] == [3.0]


def test_an_image_in_colour_gives_its_luma(tmp_path: Path) -> None:
    import cv2

    red, blue = (np.full((4, 5, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))
    for i, picture in enumerate((red, blue)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture[..., ::-1])  # OpenCV's order is BGR
    found = [int(frame[0, 0]) for frame, _ in read_frames(tmp_path, fps=25)[0]]
    assert found == [round(0.299 * 200), round(0.114 * 200)]


def test_images_come_in_the_order_of_their_numbers(tmp_path: Path, frames: np.ndarray) -> None:
    import cv2

    names = ["1.png", "2.png", "10.png", "²1.png"]  # a raised 2 is a digit, but no number
    for name, frame in zip(names, frames, strict=False):
        cv2.imwrite(str(tmp_path / name), frame)
    for (found, _), wanted in zip(read_frames(tmp_path, 25.0)[0], frames[:4], strict=True):
        assert np.array_equal(found, wanted)


def test_images_of_a_name_that_is_no_utf8(tmp_path: Path, frames: np.ndarray) -> None:
    """OpenCV ends the whole process where it is given such a name as text."""
    import cv2

    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    for i in range(2):
        (folder / f"{i}.png").write_bytes(cv2.imencode(".png", frames[i])[1].tobytes())
    for (found, _), wanted in zip(read_frames(folder, 25.0)[0], frames[:2], strict=True):
        assert np.array_equal(found, wanted)


def test_an_image_of_another_size_is_named(tmp_path: Path, frames: np.ndarray) -> None:
    import cv2

    for i, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"{i}.png"), frame[:, : 40 if i == 4 else 48])
    with pytest.raises(UserError, match=r": frame 4 is 40 x 32 pixels, those before it 48 x 32; give one --size"):
        list(read_frames(tmp_path, 25.0)[0])
    assert {f.shape for f, _ in read_frames(tmp_path, 25.0, (24, 16))[0]} == {(16, 24)}


@pytest.mark.parametrize("kind", ["no image", "", ".png cut short", ".jpg cut short"])
def test_a_damaged_image_is_named_where_it_stands(kind: str, tmp_path: Path, frames: np.ndarray) -> None:
    """The images before it are read although decoding runs ahead. A JPEG picture that is cut short is not filled up."""
    import cv2

    for i, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f"{i}.png"), frame)
    whole = cv2.imencode(kind[:4], frames[3])[1].tobytes() if "cut" in kind else b""
    (tmp_path / "3.png").write_bytes(whole[:-30] or kind.encode())
    images, count = read_frames(tmp_path, 25.0)
    assert count == 6
    assert [t for _, t in (next(images) for _ in range(3))] == [0.0, 0.04, 0.08]
    with pytest.raises(UserError, match=r"3\.png: not a readable image"):
        next(images)


@pytest.mark.parametrize("left", [0, 100, -10])
def test_slomo_weights_that_were_cut_short_are_named(tmp_path: Path, left: int) -> None:
    path = tmp_path / "SuperSloMo39.ckpt"
    torch.save({"state_dictAT": torch.randn(5000), "state_dictFC": {}}, path)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(UserError, match=r"SuperSloMo39\.ckpt: not SuperSloMo's weights.* or damaged"):
        check_weights(str(path))
