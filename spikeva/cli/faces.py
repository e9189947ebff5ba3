"""``spikeva faces``: the stand-in on disk, or a contact sheet of it."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeva.cli._out import check_folder
from spikeva.errors import UserError
from spikeva.registry import unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spikeva.faces.layouts import Job

SUMMARY = (
    "Render stand-in faces with known valence and arousal, in the layout of AFEW-VA or NEFER. All of it is synthetic."
)
EXAMPLES = """  spikeva faces --sheet faces.png                              who there is and what they show
  spikeva faces --domain nefer-like --sheet b.png --yaw 25     the other domain, turned by 25 degrees
  spikeva faces --domain afew-va-like --identities 60 --clips 4 --out data/afew-va-like
  spikeva faces --domain nefer-like --identities 8 --clips 7 --fps 200 --out data/nefer-like
Interrupted, the same command continues. With more people and the same --clips, it keeps those that are there.
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--domain", default="afew-va-like", metavar="NAME", help="afew-va-like (default) or nefer-like")
    parser.add_argument("--identities", type=int, metavar="N", help="number of people (default: 12; 8 on a sheet)")
    parser.add_argument(
        "--clips", type=int, metavar="N", help="clips of each person (default: 4; nefer-like: 7, one for each emotion)"
    )
    parser.add_argument("--fps", type=float, metavar="X", help="frames a second (default: 25; nefer-like: 200)")
    parser.add_argument(
        "--seconds", type=float, metavar="X", default=2.0, help="length of a clip in seconds (default: 2)"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", default=0, help="who the people are and what they do (default: 0)"
    )
    parser.add_argument("--preset", default="default", metavar="NAME", help="difficulty: easy, default or hard")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write the dataset to")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write a contact sheet of people and emotions")
    parser.add_argument(
        "--side", type=int, metavar="N", default=160, help="size of a face on the sheet in pixels (default: 160)"
    )
    parser.add_argument("--yaw", type=float, metavar="X", default=0.0, help="turn of the heads on the sheet, degrees")
    parser.add_argument(
        "--pitch", type=float, metavar="X", default=0.0, help="downward nod of the heads on the sheet, degrees"
    )


def run(args: Namespace) -> int:
    from spikeva.faces.clip import PRESETS
    from spikeva.faces.identity import check_domain

    check_domain(args.domain)
    if args.preset not in PRESETS:
        raise UserError(unknown("preset", args.preset, PRESETS))
    if (args.out is None) == (args.sheet is None):
        raise UserError("give --out DIR for a dataset or --sheet PNG for a contact sheet")
    for name, least in (("identities", 1), ("clips", 1), ("seed", 0)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UserError(f"--{name} is at least {least}, got {value}")
    film = args.domain == "afew-va-like"
    fps = (25.0 if film else 200.0) if args.fps is None else args.fps
    if not (0 < args.seconds < inf and 2 <= fps * args.seconds < inf):
        raise UserError(f"--seconds and --fps give at least two frames, got {args.seconds} s at {fps:g}")
    if not film and args.seconds < 0.04:
        raise UserError(f"a nefer-like clip lasts at least 0.04 s, the time of one label, got --seconds {args.seconds}")
    if args.sheet is not None:
        return _sheet(args)
    check_folder(args.out)
    return _dataset(args, fps)


def _sheet(args: Namespace) -> int:
    import cv2
    import numpy as np

    from spikeva._atomic import write_bytes
    from spikeva.faces.sheet import contact_sheet
    from spikeva.progress import counted

    if args.sheet.suffix.lower() != ".png" or not args.sheet.parent.is_dir():
        raise UserError(f"--sheet {args.sheet}: give a .png file in a folder that exists")
    if not 32 <= args.side <= 1024:
        raise UserError(f"--side lies in 32..1024, got {args.side}")
    for name, degrees in (("yaw", args.yaw), ("pitch", args.pitch)):
        if not -180 <= degrees <= 180:
            raise UserError(f"--{name} lies in -180..180 degrees, got {degrees}")
    turn = np.deg2rad([args.yaw, args.pitch])
    people = range(args.identities or 8)
    sheet = contact_sheet(args.domain, people, args.seed, args.side, float(turn[0]), float(turn[1]))
    _, png = cv2.imencode(".png", sheet[..., ::-1])
    write_bytes(args.sheet, png.tobytes())
    shown = counted(len(people), "synthetic person", "synthetic people")
    print(f"{args.sheet}: {shown} of {args.domain}, {sheet.shape[1]} x {sheet.shape[0]} pixels")
    return 0


def _dataset(args: Namespace, fps: float) -> int:
    from spikeva import __version__
    from spikeva._atomic import remove_parts
    from spikeva.datasets.mapping import map_clips
    from spikeva.datasets.recipe import keep_recipe
    from spikeva.faces import layouts
    from spikeva.faces.clip import PRESETS
    from spikeva.progress import counted

    film = args.domain == "afew-va-like"
    people, clips = args.identities or 12, args.clips or (4 if film else 7)
    jobs = layouts.jobs(people, clips)
    make: dict[str, Any] = {**PRESETS[args.preset], "seconds": args.seconds, "seed": args.seed, "fps": fps}
    keep_recipe(args.out / "faces.json", {"domain": args.domain, "clips": clips, **make, "spikeva": __version__})
    layouts.start_tree(args.out, args.domain)
    if film:
        write, done = partial(layouts.write_film, root=args.out, **make), partial(layouts.film_done, root=args.out)
    else:
        write, done = partial(_write_video, root=args.out, make=make), partial(layouts.video_done, root=args.out)
    account = map_clips(write, jobs, args.workers, name=f"render {args.domain}", finished=done)
    account.check("render")
    if not film:
        everyone = layouts.jobs(max(people, layouts.people(args.out)), clips)
        videos = [job for job in everyone if layouts.video_done(job, args.out)]
        layouts.write_annotations(videos, args.out, args.seed)
    for folder in layouts.folders(args.out):
        remove_parts(folder)
    made = counted(len(jobs), f"synthetic {args.domain} clip")
    print(f"{args.out}: {made} ({len(account.skipped)} there before)")
    return 0


def _write_video(job: "Job", root: Path, make: dict[str, Any]) -> None:
    from spikeva.faces import layouts

    layouts.write_video(job, root, partial(_record, seed=job.index), **make)


def _record(frames: "Iterator[NDArray[np.float32]]", times: "NDArray[np.float64]", path: Path, seed: int) -> None:
    """Write what the nefer-like camera sees to an EVT3 file, a few frames in memory at a time."""
    import numpy as np

    from spikeva.events import write_events
    from spikeva.faces import pixel
    from spikeva.simulate import DVSPixel, Simulator

    simulator = Simulator(DVSPixel(**pixel("nefer-like")), seed=seed)  # type: ignore[arg-type]  # the mapping's keys are the fields'
    parts = (times[i : i + 16] for i in range(0, len(times), 16))
    blocks = (simulator.feed(np.stack([next(frames) for _ in part]), part) for part in parts)
    write_events(path, blocks, format="evt3")
