"""Frames and their times from a video file, a folder of images or an .npz, one at a time."""

import math
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva._picture import read_picture
from spikeva.errors import UserError
from spikeva.simulate.blocks import deblock
from spikeva.simulate.frames import check_frames, check_pictures, check_scale, check_times

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
AHEAD = 4  # images decoded before they are asked for
TIMES = ("timestamps", "times", "t")
Luma = Callable[..., NDArray[Any]]  # of a picture, with its name for errors


def read_frames(
    path: Path,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    deblocked: bool = False,
    notes: list[str] | None = None,
) -> tuple[Iterator[tuple[NDArray[Any], float]], int | None]:
    """(luma [H, W], time in s) of each frame of `path`, and the number of frames where it is known.

    `fps` sets the times (a folder needs it; a video and an .npz bring their own). `size` (width, height) resizes by area averaging,
    in colour where there is colour, before luma is taken (BT.601): the other order differs. `deblocked` smooths the edges of
    compression blocks (`deblock`) while they are where the encoder had them: before that. Frames of a video stand as players show
    them: phones write them as the sensor lies, and beside them how to turn them. `notes` gets what a user should know of a video:
    pixels that are not square, fewer frames than it announces. Raises UserError for what cannot be read.
    """
    if fps is not None and not 0 < fps <= 1e6:
        raise UserError(f"fps must be above 0 and at most 1e6, since events have whole microseconds, got {fps}")
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    luma = partial(_luma, size=size, deblocked=deblocked)
    read = _folder if path.is_dir() else _npz if path.suffix.lower() == ".npz" else partial(_video, notes=notes)
    frames, count = read(path, fps, luma)
    return _checked(path, frames), count


def _checked(path: Path, frames: Iterator[tuple[NDArray[Any], float]]) -> Iterator[tuple[NDArray[Any], float]]:
    """The same frames. Raises UserError where a time is not after the one before, or the size is another."""
    shape: tuple[int, ...] | None = None
    last: float | None = None
    for i, (frame, time) in enumerate(frames):
        check_times([time], 1, last, i, f"{path}: timestamps")
        if shape is not None and frame.shape != shape:
            (h, w), (height, width) = shape, frame.shape
            raise UserError(
                f"{path}: frame {i} is {width} x {height} pixels, those before it {w} x {h}; give one --size"
            )
        shape, last = frame.shape, time
        yield frame, time


def _luma(picture: NDArray[Any], size: tuple[int, int] | None, deblocked: bool, name: str) -> NDArray[Any]:
    """Luma of RGB or grey, resized; `name` is the picture's for errors."""
    import cv2

    if deblocked:
        picture = deblock(check_frames(picture[None], name)[0])
    if size is not None and picture.shape[1::-1] != size:
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        if picture.dtype.kind == "f":  # white is a little more by rounding
            picture = np.minimum(picture, 255)
    luma: NDArray[Any] = check_frames(picture[None], name)[0]
    return luma


def _folder(path: Path, fps: float | None, luma: Luma) -> tuple[Iterator[tuple[NDArray[Any], float]], int]:
    files = sorted((p for p in path.iterdir() if p.suffix.lower() in IMAGES), key=_natural)
    if not files:
        raise UserError(f"{path}: no images ({', '.join(sorted(IMAGES))}) in this folder")
    if fps is None:
        raise UserError(f"{path}: a folder of images has no times; give the frame rate (--fps)")
    pictures = _ahead(partial(_image, luma=luma), files)
    return ((picture, i / fps) for i, picture in enumerate(pictures)), len(files)


def _ahead(decode: Callable[[Path], NDArray[Any]], files: list[Path]) -> Iterator[NDArray[Any]]:
    """`decode` of each file in order, a few files ahead on a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[NDArray[Any]]] = deque()
        for file in files:
            waiting.append(pool.submit(decode, file))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _natural(path: Path) -> list[Any]:
    """frame2 before frame10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]


def _image(path: Path, luma: Luma) -> NDArray[Any]:
    import cv2

    picture = read_picture(path, cv2.IMREAD_ANYCOLOR)
    if picture is None:
        raise UserError(f"{path}: not a readable image")
    return luma(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if picture.ndim == 3 else picture, name=str(path))


def _npz(path: Path, fps: float | None, luma: Luma) -> tuple[Iterator[tuple[NDArray[Any], float]], int]:
    try:
        with open(path, "rb") as stream, np.load(stream) as file:
            names = file.files
            arrays = {name: file[name] for name in names if name in ("frames", *TIMES)}
    except Exception as error:  # a damaged archive fails in whatever layer meets the damage first
        # what is no archive NumPy takes for a pickle, and says how to run its code
        what = "no archive of plain arrays" if isinstance(error, TypeError | ValueError) else error
        raise UserError(f"{path}: not a readable .npz ({what})") from error
    if "frames" not in arrays:
        raise UserError(f"{path}: no array 'frames' [T, H, W] inside (found: {', '.join(names) or 'none'})")
    frames = check_pictures(arrays["frames"], f"{path}: frames")
    check_scale(frames, f"{path}: frames")
    times = next((arrays[n] for n in TIMES if n in arrays), None)
    if fps is not None:
        times = np.arange(len(frames)) / fps
    elif times is None:
        raise UserError(f"{path}: no array of times ({', '.join(TIMES)}, in s) inside; give the frame rate (--fps)")
    moments = check_times(times, len(frames), name=f"{path}: timestamps")
    return ((luma(f, name=f"{path}: frames"), t) for f, t in zip(frames, moments.tolist(), strict=True)), len(frames)


def _video(
    path: Path, fps: float | None, luma: Luma, notes: list[str] | None
) -> tuple[Iterator[tuple[NDArray[Any], float]], int | None]:
    try:
        import av
    except ImportError:
        raise UserError(f"{path}: video files need PyAV; install it with `pip install spikeva[video]`") from None
    try:
        with av.open(str(path)) as container:
            streams = container.streams.video
            count = streams[0].frames or None if streams else None
    except av.FFmpegError as error:
        raise UserError(f"{path}: not a readable video ({error})") from error
    if not streams:
        raise UserError(f"{path}: no video stream inside; give a video file")

    def frames() -> Iterator[tuple[NDArray[Any], float]]:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            said = [] if notes is None else notes
            step = float(1 / stream.average_rate) if stream.average_rate else 0.0
            i, end = -1, 0.0
            for i, frame in enumerate(_decoded(path, container.decode(stream))):
                time = frame.time if fps is None else i / fps
                if time is None:
                    raise UserError(f"{path}: frame {i} has no time; give the frame rate (--fps)")
                upright = _upright(frame)
                picture = luma(upright, name=f"{path}: frames")
                if i == 0:
                    said += _oblong(path, stream, upright.shape[:2] != (frame.height, frame.width), upright, picture)
                end = math.inf if frame.time is None else frame.time + step
                yield picture, float(time)
            said += _missing(path, container, stream, i + 1, end)

    return frames(), count


def _oblong(path: Path, stream: Any, turned: bool, stored: NDArray[Any], picture: NDArray[Any]) -> list[str]:
    """What to say of pixels that are not square; nothing where the `picture` has a size that makes up for it."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if not aspect or aspect == 1:
        return []
    height, width = stored.shape[:2]
    width, height = (width, round(height * aspect)) if turned else (round(width * aspect), height)
    if abs(picture.shape[1] * height / (picture.shape[0] * width) - 1) < 0.01:
        return []
    ratio = f"{aspect.numerator}:{aspect.denominator}"
    return [
        f"{path}: its pixels are not square but {ratio}, so faces lose their shape; --size {width}x{height} keeps it"
    ]


def _missing(path: Path, container: Any, stream: Any, found: int, end: float) -> list[str]:
    """What to say of a video that announces more than the frames that were found, the last of which ends at `end` s.

    Of files with a number of frames both have to be less: an edit list leaves frames out, and the time with them. Without one,
    sound may go on for a moment after the last frame.
    """
    announced: float | None = None
    if stream.duration is not None:
        announced = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    elif container.duration is not None:
        announced = container.duration / 1e6
    count = stream.frames
    if count and found < count and (announced is None or announced - end > announced / count / 2):
        return [f"{path}: {found} frames of the {count} that it announces; is it whole?"]
    if not count and announced is not None and announced - end > max(0.5, 0.02 * announced):
        return [f"{path}: its frames end at {end:.2f} s of the {announced:.2f} s that it announces; is it whole?"]
    return []


def _upright(frame: Any) -> NDArray[Any]:
    """RGB of a video's frame, turned and mirrored by quarters as its display matrix says (libavutil/display.h)."""
    picture: NDArray[Any] = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return picture
    (a, b), (c, d) = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2].tolist()  # x' = ax + cy, y' = bx + dy
    if abs(b) > abs(a):
        picture, a, d = picture.swapaxes(0, 1), c, b
    return np.ascontiguousarray(picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _decoded(path: Path, frames: Iterator[Any]) -> Iterator[Any]:
    """The same frames. Raises UserError where they cannot be decoded further."""
    import av

    try:
        yield from frames
    except av.FFmpegError as error:
        raise UserError(f"{path}: the video is damaged or cut short ({error}); copy it again") from error
