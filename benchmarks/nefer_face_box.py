"""How well the face is found from events alone, on nefer-like recordings (synthetic), where the true box is known.

    python benchmarks/nefer_face_box.py [--identities 24] [--seed 1] [--tree DIR]

The finder's proportions were set on people of seed 0; the default seed shows it others. Printed: intersection over union of
the found box with the true one (mean over the clip of the landmarks' box and 12 % about it), and of the square crops.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from spikeva.datasets import NEFER, map_clips
from spikeva.datasets.crop import box_of_events, square_around
from spikeva.datasets.nefer import Recording
from spikeva.errors import UserError
from spikeva.events import open_events


def found(recording: Recording) -> tuple[float, ...] | None:
    reader = open_events(recording.path)
    counts = np.zeros(reader.size[::-1], np.int64)
    for block in reader.blocks():
        np.add.at(counts, (block.y, block.x), 1)
    try:
        return box_of_events(counts)
    except UserError:
        return None


def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inside = max(0.0, width) * max(0.0, height)
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


def square(box: tuple[float, ...]) -> tuple[int, ...]:
    around = square_around(box, 1.0)
    return around.x, around.y, around.x + around.side, around.y + around.side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, default=24)
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.2)
    parser.add_argument("--fps", type=float, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tree", type=Path, help="folder for the recordings (default: a temporary one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = args.tree or Path(folder) / "tree"
        make = [sys.executable, "-m", "spikeva", "faces", "--domain", "nefer-like", "--out", str(tree)]
        for name in ("identities", "clips", "seconds", "fps", "seed"):
            make += [f"--{name}", str(getattr(args, name))]
        subprocess.run(make, check=True)
        recordings = list(NEFER(tree))
        boxes = map_clips(found, recordings, name="find faces").values
        scores, crops = [], []
        for recording, box in zip(recordings, boxes, strict=True):
            truth = tuple(np.load(tree / "exact" / f"{recording.video}_cd.npz")["box"].mean(axis=0))
            scores.append(iou(box, truth) if box else 0.0)
            crops.append(iou(square(box), square(truth)) if box else 0.0)
    print(
        f"nefer-like (synthetic), seed {args.seed}: {len(scores)} recordings of {args.identities} people at 1280 x 720"
    )
    for name, values in (("face box", scores), ("square crop", crops)):
        low, median = np.percentile(values, [10, 50])
        print(
            f"  {name:<12} IoU mean {np.mean(values):.3f}  median {median:.3f}  10 % below {low:.3f}  worst {min(values):.3f}"
        )
    print(f"  not found at all: {sum(box is None for box in boxes)}")


if __name__ == "__main__":
    main()
