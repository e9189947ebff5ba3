"""``spikeva simulate``: a video, a folder of images or an .npz to an event file."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeva.cli._size import add_size, read_size
from spikeva.errors import UserError
from spikeva.registry import unknown

if TYPE_CHECKING:
    from spikeva.simulate import DVSPixel

SUMMARY = "Turn a video into the events an event camera would see, with v2e's pixel model."
EXAMPLES = """  spikeva simulate face.mp4 -o face.h5                                   v2e's 'clean' pixel
  spikeva simulate face.mp4 -o face.raw --preset noisy --seed 3 --view face.png
  spikeva simulate frames/ --fps 25 -o face.h5 --interpolate flow --timing crossing
  spikeva simulate clip.npz -o clip.dat --set cutoff_hz=100 --set leak_rate_hz=0.1
An .npz holds `frames` [T, H, W] (or [T, H, W, 3] RGB) and `timestamps` in seconds (or give --fps).
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("input", type=Path, help="video file, folder of images or .npz")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="event file to write: .h5, .hdf5, .raw, .dat, .npz or .txt"
    )
    parser.add_argument(
        "--preset", default="clean", metavar="NAME", help="ideal, clean (default), noisy or v2e-default"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a parameter of the preset; may be repeated",
    )
    parser.add_argument("--fps", type=float, metavar="X", help="frames a second (default: what the file says)")
    add_size(parser, "resize the video, by area averaging")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of mismatch and noise (default: 0)")
    parser.add_argument(
        "--engine", default="auto", metavar="NAME", help="auto (default), numba, torch, reference or v2e"
    )
    parser.add_argument(
        "--timing",
        default="v2e",
        metavar="NAME",
        help="event times: v2e (default), few in a frame, or crossing, one for each event",
    )
    parser.add_argument(
        "--interpolate", default="none", metavar="NAME", help="none (default), linear, flow or v2e-slomo"
    )
    parser.add_argument(
        "--subframes",
        type=int,
        metavar="N",
        help="sub-frames a frame (default: so many that nothing moves more than half a pixel)",
    )
    parser.add_argument("--deblock", action="store_true", help="first smooth the edges of 8 x 8 compression blocks")
    parser.add_argument(
        "--blur", type=float, default=0.0, metavar="SIGMA", help="Gaussian blur before simulation, in pixels"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="number of threads (default: all processors)")
    parser.add_argument(
        "--view",
        type=Path,
        metavar="FILE",
        help="also write a picture of the events (.gif, .webp, .mp4: the first 10 s)",
    )


def run(args: Namespace) -> int:
    from spikeva._atomic import remove_parts
    from spikeva.events import write_events
    from spikeva.progress import console, stage
    from spikeva.simulate import Simulator
    from spikeva.simulate.interpolate import check_method, interpolate
    from spikeva.simulate.summary import Summary
    from spikeva.simulate.video import read_frames

    if args.input.is_file() and args.out.exists() and args.out.samefile(args.input):
        raise UserError(f"{args.input}: this is the input; the events need another name")
    if not args.out.parent.is_dir():
        raise UserError(f"{args.out}: its folder does not exist; create it first")
    if args.view is not None:
        from spikeva.datasets.view import check_name

        check_name(args.view)
    check_method(args.interpolate, args.subframes)
    if not 0 <= args.blur <= 100:  # OpenCV's kernel grows with it, however small the picture
        raise UserError(f"--blur is 0 to 100 pixels, got {args.blur:g}")
    simulator = Simulator(
        _pixel(args.preset, args.set), seed=args.seed, engine=args.engine, timing=args.timing, threads=args.threads
    )
    size = read_size(args.size)
    notes: list[str] = []
    frames, count = read_frames(args.input, args.fps, size, args.deblock, notes)
    times: list[float] = []
    summary = Summary()
    with stage("simulate", count) as bar:

        def prepared() -> Iterator[tuple[Any, float]]:
            for frame, time in frames:
                times.append(time)
                yield _blurred(frame, args.blur), time
                bar.advance()
            if len(times) < 2:
                raise UserError(f"{args.input}: events come from changes; found {len(times)} frame(s), need at least 2")

        moving = interpolate(prepared(), args.interpolate, args.subframes, args.threads)
        write_events(args.out, summary.watch(simulator.stream(moving)))
    remove_parts(args.out.parent, escape(args.out.name))
    console.print(
        f"{args.out}: {summary.text(times[-1] - times[0], blocks=size is None)}", highlight=False, soft_wrap=True
    )
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    if args.view is not None:
        console.print(f"{args.view}: {_shown(args.out, args.view, summary.span)}", highlight=False, soft_wrap=True)
    return 0


def _shown(events: Path, picture: Path, span: tuple[int, int] | None) -> str:
    """What was drawn of the events, the first and last of which are at `span` (us): on a sheet all, in an animation 10 s."""
    from dataclasses import replace

    from spikeva.datasets.view import show

    if span is None:
        return "not written, as there are no events to see"
    stored = events.suffix.lower() in {".h5", ".hdf5"}  # views of it count from time 0, else from the first event
    first, last = max(0, span[0]) if stored else span[0], span[1]
    if last < first:
        return "not written, as a view begins at time 0 and the events lie before it"
    seconds = (last + 1 - first) / 1e6
    if picture.suffix.lower() != ".png":
        seconds = min(seconds, 10.0)
    view = show(events, picture, start=first / 1e6 if stored else 0.0, seconds=seconds)
    more = f"; the recording goes on: spikeva view {events} --seconds N" if view.cut else ""
    return f"{replace(view, cut=False)}{more}"


def _pixel(preset: str, changes: list[str]) -> "DVSPixel":
    """The preset with `NAME=VALUE` changes."""
    from dataclasses import fields, replace

    from spikeva.simulate import DVSPixel

    names = [f.name for f in fields(DVSPixel)]
    values = {}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in names:
            raise UserError(f"--set: {unknown('parameter', name, names)}")
        if not value:
            raise UserError(f"--set takes NAME=VALUE, got {change!r}")
        values[name] = _value(value)
    return replace(DVSPixel.preset(preset), **values)


def _value(text: str) -> Any:
    """A number, true, false or none; anything else as it is, for the pixel to refuse by name."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return float(text)
    except ValueError:
        return text


def _blurred(frame: Any, sigma: float) -> Any:
    if sigma > 0:
        import cv2

        frame = cv2.GaussianBlur(frame.astype("float32"), (0, 0), sigma)
        frame = frame.clip(0, 255)  # white is a little more by rounding
    return frame
