"""Video files: times, how they stand, what is wrong with them."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_video_and_cli import disc

from spikeva.cli import main
from spikeva.errors import UserError
from spikeva.events import read_events
from spikeva.simulate.video import read_frames


@pytest.fixture
def frames() -> np.ndarray:
    return np.stack([disc(14 + 2 * i) for i in range(6)]).round().astype(np.uint8)


def write_video(
    path: Path,
    frames: Any,
    codec: str,
    rate: int,
    pixels: str,
    times: Any = None,
    aspect: Any = Fraction(1),
    **options: str,
) -> Any:
    """Grey `frames` as a video file, at `times` (ms). Returns PyAV; skips the test where it is missing."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt, stream.bit_rate, stream.sample_aspect_ratio = pixels, 10**6, aspect
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame.astype(np.uint8), format="gray")
            if times is not None:
                picture.pts, picture.time_base = times[i], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return av


def test_video_file_brings_its_times(tmp_path: Path, frames: np.ndarray) -> None:
    path = tmp_path / "clip.mkv"
    write_video(path, frames, "ffv1", 50, "gray")
    read = list(read_frames(path)[0])
    assert [t for _, t in read] == pytest.approx(np.arange(6) / 50, abs=1e-3)
    assert [t for _, t in read_frames(path, fps=10)[0]] == pytest.approx(np.arange(6) / 10)
    assert np.abs(np.stack([f for f, _ in read]).astype(int) - frames).max() <= 1
    assert main(["simulate", str(path), "-o", str(tmp_path / "a.raw"), "--size", "24x16", "--interpolate", "flow"]) == 0
    assert read_events(tmp_path / "a.raw").size == (24, 16)


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((1, 0, 0, 1), lambda f: f),
        ((0, 1, -1, 0), lambda f: np.rot90(f, -1)),  # as a phone held upright writes it
        ((-1, 0, 0, -1), lambda f: np.rot90(f, 2)),
        ((0, -1, 1, 0), lambda f: np.rot90(f, 1)),
        ((-1, 0, 0, 1), np.fliplr),
        ((0, 1, 1, 0), np.transpose),
    ],
)
def test_a_video_stands_as_players_show_it(tmp_path: Path, matrix: tuple[int, ...], turned: Any) -> None:
    path = tmp_path / "clip.mp4"
    picture = disc(14.0, size=(64, 48)).astype(np.uint8)
    write_video(path, [picture, picture], "mpeg4", 25, "yuv420p")
    video = bytearray(path.read_bytes())
    at = video.index(b"tkhd") + 44  # of the track header's matrix: a, b, u, c, d, v, x, y, w
    a, b, c, d = (v << 16 for v in matrix)
    video[at : at + 20] = np.array([a, b, 0, c, d], ">i4").tobytes()
    path.write_bytes(video)
    for frame, _ in read_frames(path)[0]:
        assert frame.shape == turned(picture).shape
        assert np.abs(frame.astype(int) - turned(picture)).mean() < 3
    sized = next(read_frames(path, size=(16, 32))[0])[0]
    assert sized.shape == (32, 16)


@pytest.mark.parametrize("options", [[], ["--interpolate", "linear", "--subframes", "4"]])
def test_a_frame_whose_time_does_not_grow_is_named(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """By its number in the file, however many sub-frames and blocks there were before it."""
    path, times = tmp_path / "clip.mkv", [40 * i for i in range(100)]
    times[90] = times[89]
    write_video(path, [disc(14 + i / 9, size=(320, 240)) for i in range(100)], "ffv1", 25, "gray", times)
    assert main(["simulate", str(path), "-o", str(tmp_path / "a.raw"), *options]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{path}: timestamps must increase: frame 90 is at 3.56 s" in said
    assert not (tmp_path / "a.raw").exists()


def test_a_file_with_sound_alone_is_no_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(UserError, match=r"sound\.wav: no video stream inside"):
        read_frames(tmp_path / "sound.wav")


def test_a_damaged_video_is_named(tmp_path: Path, frames: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "clip.mkv"
    write_video(path, frames, "mjpeg", 50, "yuvj420p")
    video = bytearray(path.read_bytes())
    third, fourth = [m.start() for m in re.finditer(b"\xff\xd8\xff", video)][2:4]
    # all of the picture: with its scan left, some decoders take the tables of the one before
    video[third : fourth - 16] = bytes(fourth - 16 - third)
    path.write_bytes(video)
    assert main(["simulate", str(path), "-o", str(tmp_path / "a.raw")]) == 2
    assert f"{path}: the video is damaged or cut short" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "a.raw").exists()


def test_a_video_that_ends_early_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "clip.mp4"
    moving = [disc(14 + i / 2, size=(64, 48)) for i in range(40)]
    av = write_video(path, moving, "mpeg4", 25, "yuv420p", movflags="faststart")  # the table of frames comes first
    with av.open(str(path)) as container:
        middle = [packet.pos for packet in container.demux(video=0) if packet.size][20]
    for end, noticed in ((None, False), (middle, True)):
        (tmp_path / "part.mp4").write_bytes(path.read_bytes()[:end])
        assert main(["simulate", str(tmp_path / "part.mp4"), "-o", str(tmp_path / "a.raw")]) == 0
        assert ("20 frames of the 40 that it announces" in " ".join(capsys.readouterr().err.split())) == noticed


def test_a_video_without_a_number_of_frames_that_ends_early_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    moving = [disc(14 + i / 2, size=(64, 48)) for i in range(50)]
    av = write_video(path, moving, "mpeg4", 25, "yuv420p", cluster_time_limit="200")
    with av.open(str(path)) as container:
        assert not container.streams.video[0].frames
        middle = [packet.pos for packet in container.demux(video=0) if packet.size][25]
    for end, noticed in ((None, False), (middle, True)):
        (tmp_path / "part.mkv").write_bytes(path.read_bytes()[:end])
        notes: list[str] = []
        times = [t for _, t in read_frames(tmp_path / "part.mkv", notes=notes)[0]]
        assert bool(notes) == noticed
    assert f"its frames end at {times[-1] + 0.04:.2f} s of the 2.00 s that it announces; is it whole?" in notes[0]


def test_a_video_whose_edit_list_leaves_frames_out_is_whole(tmp_path: Path, frames: np.ndarray) -> None:
    path = tmp_path / "clip.mp4"
    av = write_video(path, frames, "mpeg4", 25, "yuv420p", [40 * i - 80 for i in range(6)])
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 6
    notes: list[str] = []
    assert len(list(read_frames(path, notes=notes)[0])) == 4
    assert notes == []


@pytest.mark.parametrize(
    ("aspect", "options", "wanted"),
    [
        ("1", [], None),
        ("3/2", [], "pixels are not square but 3:2, so faces lose their shape; --size 72x32 keeps it"),
        ("3/2", ["--size", "24x16"], "--size 72x32 keeps it"),
        ("3/2", ["--size", "72x32"], None),
        ("3/2", ["--size", "36x16"], None),
    ],
)
def test_pixels_that_are_not_square_are_noticed(
    tmp_path: Path, frames: np.ndarray, aspect: str, options: list[str], wanted: str | None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "clip.mp4"
    write_video(path, frames, "mpeg4", 25, "yuv420p", aspect=Fraction(aspect))
    assert main(["simulate", str(path), "-o", str(tmp_path / "a.raw"), *options]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert wanted in said if wanted else "square" not in said
