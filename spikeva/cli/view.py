"""``spikeva view``: a recording or a clip as GIF, WebP, MP4 or PNG, with what a trained model says of it."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from spikeva.cli._size import add_size, read_size

if TYPE_CHECKING:
    from spikeva.datasets.view import Predictor

SUMMARY = "Show any event file: an animation (.gif, .webp; .mp4 with spikeva[video]) or a sheet of windows (.png). ON is yellow, OFF is blue; labels and predictions are drawn below."
EXAMPLES = """  spikeva view recording.raw                                   recording.gif, its first 10 s
  spikeva view clip.h5 -o clip.webp                            with valence and arousal below
  spikeva view clip.h5 --cell runs/quick/cells/<hash>          with a trained model's predictions
  spikeva view clip.h5 --cell runs/quick/cells/<hash> -o clip.mp4   the same, a video
  spikeva view recording.raw -o sheet.png --seconds 60         12 windows of the first minute
  spikeva view recording.dat --size 304x240 --start 2 --seconds 1 --speed 0.1
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="any event file that spikeva reads")
    parser.add_argument(
        "-o", "--out", type=Path, help="picture to write (default: the file's name with .gif, in this folder)"
    )
    parser.add_argument("--cell", type=Path, help="folder of a trained cell: also draw its predictions")
    parser.add_argument("--start", type=float, default=0.0, help="seconds after the first event (default: 0)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length to show, at most (default: 10)")
    parser.add_argument("--fps", type=float, default=25.0, help="pictures a second (default: 25)")
    parser.add_argument("--speed", type=float, default=1.0, help="1: as recorded (default); 0.1: ten times slower")
    add_size(parser, "of the sensor, if the file does not say")


def run(args: Namespace) -> int:
    from spikeva.datasets.view import show

    out = args.out or Path(f"{args.file.stem}.gif")
    size = read_size(args.size)
    view = show(
        args.file, out, start=args.start, seconds=args.seconds, fps=args.fps, speed=args.speed, size=size,
        predictor=predictor(args.cell, args.file, size) if args.cell else None,
    )  # fmt: skip
    print(f"{out}: {view}")
    return 0


def predictor(folder: Path, file: Path, size: tuple[int, int] | None = None) -> "Predictor":
    """The trained model of a cell's folder as it follows an event file; `size` as in `open_events`.

    Raises UserError where the folder is not that of a trained cell, or the file's pictures are of another size than
    those that the cell learned from.
    """
    import numpy as np
    from numpy.typing import NDArray

    from spikeva.datasets.view import Predictor
    from spikeva.events import open_events
    from spikeva.live import Follower
    from spikeva.progress import track
    from spikeva.study.trained import check_picture, learned_from, load_cell

    cell, model = load_cell(folder)
    reader = open_events(file, size)
    check_picture(cell, folder, reader.size, file)
    _, synthetic = learned_from(cell)
    frames = cell.study.window.frames
    history = frames * Follower(model, cell.encoding, cell.kind, frames).span_us

    def at(times: NDArray[np.int64]) -> NDArray[np.float64]:
        first = int(times[0])
        every = int(times[1]) - first if len(times) > 1 else None
        follower = Follower(model, cell.encoding, cell.kind, frames, every_us=every, first_us=first)
        pieces = (
            block.slice_time(start, start + follower.every_us)
            for block in reader.blocks()
            if len(block)
            for start in range(max(int(block.t[0]), first - history), int(block.t[-1]) + 1, follower.every_us)
        )
        predictions = (found for piece in pieces for found in follower.push(piece))
        values = np.full((len(times), 2), np.nan)
        for i, found in track(zip(range(len(times)), predictions, strict=False), "predict", len(times)):
            values[i] = found.valence, found.arousal
        return values

    legend = (f"{cell.model['model']}, {cell.encoding['encoding']}",)
    return Predictor(legend + (("learned on synthetic faces",) if synthetic else ()), history, at)
