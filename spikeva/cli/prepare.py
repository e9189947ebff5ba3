"""``spikeva prepare``: AFEW-VA or NEFER to a folder of event clips."""

from argparse import ArgumentParser, Namespace
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from spikeva.cli._out import check_folder
from spikeva.errors import UserError
from spikeva.registry import unknown

SUMMARY = (
    "Turn AFEW-VA (films) or NEFER (recordings) into event clips of faces, one file each; events of films are simulated. A "
    "list of everything wrong, left out or failed comes at the end. Interrupted, the same command continues."
)
EXAMPLES = """  spikeva prepare --dataset afew-va --root data/AFEW-VA --out data/afew-va-events
  spikeva prepare --dataset afew-va --root data/AFEW-VA --check        what is there and what is wrong with it
  spikeva prepare --dataset nefer --root data/NEFER --split validation --out data/nefer-events
  spikeva prepare --dataset afew-va --root /shared/AFEW-VA --out /shared/events --cluster tcp://head:8786
Exit code 1: some clips failed. They are named; the others are written.
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--dataset", required=True, metavar="NAME", help="afew-va or nefer")
    parser.add_argument("--root", required=True, type=Path, help="the folder the dataset was extracted to")
    parser.add_argument("--out", type=Path, help="folder for the event clips")
    parser.add_argument(
        "--check",
        action="store_true",
        help="report what is there and what is wrong, as far as labels and heads of pictures tell; write nothing",
    )
    parser.add_argument("--size", type=int, default=128, help="side of the face crop in pixels (default: 128)")
    parser.add_argument(
        "--pixel", default="clean", metavar="PRESET", help="afew-va: preset of the simulated pixel (default: clean)"
    )
    parser.add_argument(
        "--interpolate",
        default="flow",
        metavar="METHOD",
        help="afew-va: between frames, none, linear or flow (default)",
    )
    parser.add_argument(
        "--timing",
        default="crossing",
        metavar="NAME",
        help="afew-va: event times, crossing (default): one for each event, or v2e: few in a frame",
    )
    parser.add_argument("--fps", type=float, default=25.0, help="afew-va: frames a second of the films (default: 25)")
    parser.add_argument("--seed", type=int, default=0, help="afew-va: seed of the simulated pixels (default: 0)")
    parser.add_argument(
        "--labels", default="expected", metavar="KIND", help="nefer: expected (default) or reported emotion"
    )
    parser.add_argument(
        "--pool",
        default="mean",
        metavar="NAME",
        help="nefer: of the sensor's pixels that become one, the events of their mean (default), or all",
    )
    parser.add_argument("--split", default="all", help="nefer: train, validation or all (default)")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="local processes (default: one a core; 0: this process)"
    )
    parser.add_argument(
        "--cluster", metavar="ADDRESS", help="run on the Dask cluster of this scheduler (tcp://host:8786)"
    )


def run(args: Namespace) -> int:
    names = ["afew-va", "nefer"]
    if args.dataset not in names:
        raise UserError(unknown("dataset", args.dataset, names))
    if (args.out is None) != args.check:
        raise UserError("give --out DIR for the clips, or --check to look only")
    if args.out is not None:
        check_folder(args.out)
    if args.cluster and args.workers is not None:
        raise UserError("--workers is for local processes; a cluster has its own (--cluster)")
    from spikeva.datasets import AFEWVA, NEFER, cluster, prepare
    from spikeva.datasets.preparing import check_options

    options = {name: getattr(args, name) for name in ("size", "pixel", "interpolate", "timing", "seed", "pool")}
    check_options(**options, workers=args.workers)
    dataset: AFEWVA | NEFER
    root = args.root.resolve()  # the workers of a cluster may stand in another folder
    if args.dataset == "afew-va":
        dataset = AFEWVA(root, fps=args.fps)
    else:
        dataset = NEFER(root, labels=args.labels, split=args.split)
    if args.check:
        print(dataset.report())
        return 0
    executor: Any = cluster(args.cluster) if args.cluster else nullcontext(args.workers)
    with executor as workers:
        done = prepare(dataset, args.out.resolve(), **options, workers=workers)
    print(done)
    return 1 if done.account.errors else 0
