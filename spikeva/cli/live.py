"""``spikeva live``: valence and arousal along a recording, as if it happened now."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from spikeva.cli._size import add_size, read_size
from spikeva.errors import UserError

SUMMARY = (
    "Print valence and arousal along a recording, one CSV line a prediction. Each uses only events before its time."
)
EXAMPLES = """  spikeva live runs/quick/cells/<hash> recording.raw
  spikeva live runs/quick/cells/<hash> clip.h5 --every 20 > course.csv
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("cell", type=Path, help="folder of a trained cell, runs/.../cells/<hash>")
    parser.add_argument("recording", type=Path, help="event file; the face should fill the picture as in training")
    parser.add_argument(
        "--every", type=float, metavar="MS", help="milliseconds between predictions (default: one window)"
    )
    add_size(parser, "of the sensor, if the file does not say")
    parser.add_argument(
        "--chunk", type=float, default=10.0, metavar="MS", help="hand over events in pieces of so many ms (default: 10)"
    )


def run(args: Namespace) -> int:
    from spikeva.events import read_events
    from spikeva.live import Follower
    from spikeva.study.trained import check_picture, load_cell

    for name, value in (("chunk", args.chunk), ("every", args.every)):
        if value is not None and not 0.001 <= value < float("inf"):
            raise UserError(f"--{name} must be at least 0.001 ms, found {value:g}")
    cell, model = load_cell(args.cell)
    events = read_events(args.recording, read_size(args.size))
    check_picture(cell, args.cell, events.size, args.recording)
    every = None if args.every is None else round(args.every * 1000)
    follower = Follower(model, cell.encoding, cell.kind, cell.study.window.frames, every_us=every)
    print("t_us,valence,arousal")
    if len(events):
        chunk = round(args.chunk * 1000)
        for start in range(int(events.t[0]), int(events.t[-1]) + 1, chunk):
            for found in follower.push(events.slice_time(start, start + chunk)):
                print(f"{found.t_us},{found.valence:.4f},{found.arousal:.4f}", flush=True)
    return 0
