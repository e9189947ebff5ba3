"""``spikeva view``: a recording or a clip as GIF, WebP or PNG."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

SUMMARY = "Show any event file: an animation (.gif, .webp) or a sheet of windows (.png). ON is yellow, OFF blue; a clip's labels lie below."
EXAMPLES = """  spikeva view recording.raw                                   recording.gif, its first 10 s
  spikeva view clip.h5 -o clip.webp                            with valence and arousal below
  spikeva view recording.raw -o sheet.png --seconds 60         12 windows of the first minute
  spikeva view recording.dat --size 304 240 --start 2 --seconds 1 --speed 0.1
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="any event file that spikeva reads")
    parser.add_argument("-o", "--out", type=Path, help="picture to write (default: FILE's name with .gif, here)")
    parser.add_argument("--start", type=float, default=0.0, help="seconds after the first event (default: 0)")
    parser.add_argument("--seconds", type=float, default=10.0, help="most seconds to show (default: 10)")
    parser.add_argument("--fps", type=float, default=25.0, help="pictures a second (default: 25)")
    parser.add_argument("--speed", type=float, default=1.0, help="1: as recorded (default); 0.1: ten times slower")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="of the sensor, where the file does not say"
    )


def run(args: Namespace) -> int:
    from spikeva.datasets.view import show

    out = args.out or Path(f"{args.file.stem}.gif")
    size = (args.size[0], args.size[1]) if args.size else None
    view = show(args.file, out, start=args.start, seconds=args.seconds, fps=args.fps, speed=args.speed, size=size)
    print(f"{out}: {view}")
    return 0
