"""Makes small trees in the layouts in which NEFER is met, and one with planted faults. No real data is in them.

python tests/data/nefer/data.py DIR
"""

import gzip
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from spikeva.events import EventStream, write_events

EMOTIONS = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
USERS = {"train": ("user_01", "user_02"), "validation": ("user_03",)}
FRAMES = 51
SIZE = (64, 48)


def videos(per_user: int = 3) -> list[tuple[str, str, str, str, str]]:
    """(split, user, video, expected, reported) of every video."""
    rows = []
    for split, users in USERS.items():
        for user in users:
            for _ in range(per_user):
                k = len(rows)
                video = f"{user.replace('_', '')}_2022-06-{k + 1:02d}_12-00-00"
                rows.append((split, user, video, EMOTIONS[k % 7], "None" if k == 1 else EMOTIONS[(k + k % 2) % 7]))
    return rows


def recording(number: int) -> EventStream:
    """A ring of events that grows, on the sensor of 64 x 48; its times do not start at 0."""
    rng = np.random.default_rng(number)
    t = np.sort(rng.integers(0, 200_000, 2000)) + 1_000_000
    angle = rng.uniform(0, 2 * np.pi, len(t))
    radius = 8 + 4 * (t - t[0]) / 200_000
    x, y = 30 + radius * np.cos(angle), 22 + radius * np.sin(angle)
    return EventStream(t, x.astype(np.uint16), y.astype(np.uint16), rng.integers(0, 2, len(t)).astype(np.uint8), SIZE)


def write_annotations(folder: Path, compress: bool = False, flat: bool = False) -> None:
    """The CSVs of both kinds of labels, with their stale paths."""
    for column, (kind, ending) in enumerate((("expected_emotions", ""), ("reported_emotions", "_subjective")), 3):
        for split in USERS:
            lines = [
                f"{user},{video}_cd,../event_frame_NEW/{user}/{video}_cd/frame_{f:02d}.png,{row[column - 3]}\n"
                for s, user, video, *row in videos()
                if s == split
                for f in range(FRAMES)
            ]
            path = folder / ("" if flat else kind) / f"{split}_event{ending}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(lines))
            if compress:
                path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
                path.unlink()


def write_raw(root: Path, place: Callable[[str, str], str] = lambda user, video: f"{user}/{video}.raw") -> None:
    for i, (_, user, video, *_) in enumerate(videos()):
        path = root / "event_raw" / place(user, video)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_events(path, recording(i))


def write_frames(root: Path, divisor: float = 255) -> None:
    """TBR pictures of 8 bits; a divisor of 128 saturates them as code in the wild does."""
    for i, (_, user, video, *_) in enumerate(videos()):
        folder = root / "event_frames" / user / f"{video}_cd"
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(i)
        for f in range(FRAMES):
            codes = np.packbits(rng.random((SIZE[1], SIZE[0], 8)) < 0.2, axis=-1)[..., 0]
            picture = np.minimum(codes / divisor * 255, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"frame_{f:02d}.png"), picture)


def _official(root: Path) -> None:
    write_annotations(root / "annotations")
    write_raw(root)


def _gzipped(root: Path) -> None:
    write_annotations(root, compress=True, flat=True)
    write_raw(root)


def _deeper(root: Path) -> None:
    _official(root / "NEFER" / "NEFER")


def _flat(root: Path) -> None:
    write_annotations(root / "annotations")
    write_raw(root, lambda user, video: f"{video}.raw")


def _dat(root: Path) -> None:
    write_annotations(root / "annotations")
    write_raw(root, lambda user, video: f"{user}/{video}_cd.dat")


def _linked(root: Path) -> None:
    _official(root / ".disk")
    for folder in ("annotations", "event_raw"):
        (root / folder).symlink_to(root / ".disk" / folder)
    (root / "event_raw" / "up").symlink_to(root)  # in circles


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "official": _official,
    "annotations gzipped": _gzipped,
    "deeper": _deeper,
    "recordings in one folder": _flat,
    "dat": _dat,
    "linked": _linked,
}


def _csv(root: Path, split: str = "train", ending: str = "") -> Path:
    kind = "reported_emotions" if ending else "expected_emotions"
    return root / "annotations" / kind / f"{split}_event{ending}.csv"


def _rewrite(path: Path, change: Callable[[list[str]], object]) -> None:
    lines = path.read_text().splitlines(keepends=True)
    change(lines)
    path.write_text("".join(lines))


def _of(lines: list[str], number: int) -> slice:
    return slice(number * FRAMES, (number + 1) * FRAMES)


def _replace(lines: list[str], number: int, old: str, new: str, rows: int = FRAMES) -> None:
    at = slice(number * FRAMES, number * FRAMES + rows)
    lines[at] = [line.replace(old, new) for line in lines[at]]


def _raw(root: Path, number: int) -> Path:
    _, user, video, *_ = videos()[number]
    return root / "event_raw" / user / f"{video}.raw"


def _other_user(root: Path) -> None:
    for ending in ("", "_subjective"):
        _rewrite(_csv(root, ending=ending), lambda lines: _replace(lines, 5, "user_02,", "user_77,"))
    _raw(root, 5).unlink()


def _both_splits(root: Path) -> None:
    for ending in ("", "_subjective"):
        with _csv(root, ending=ending).open("a") as file:
            file.write("user_03,user03_2021-01-01_cd,../frame_00.png,Anger\n" * FRAMES)


def _twice(root: Path) -> None:
    video = videos()[2][2]
    with _csv(root, "validation").open("a") as file:
        file.write(f"user_01,{video}_cd,../frame_00.png,Anger\n" * FRAMES)


# The name of the finding -> what is done to a sound tree to deserve it, each on a video of its own.
FAULTS: dict[str, Callable[[Path], object]] = {
    "missing recording": lambda root: _raw(root, 0).unlink(),
    "bad row": lambda root: _rewrite(_csv(root), lambda lines: lines.append("user_01,half a row\n")),
    "rows disagree": lambda root: _rewrite(_csv(root), lambda lines: _replace(lines, 3, "Fear", "Anger", rows=2)),
    "unknown emotion": lambda root: _rewrite(
        _csv(root, ending="_subjective"), lambda lines: _replace(lines, 4, "Happiness", "Hapiness")
    ),
    "other user": _other_user,
    "user in both splits": _both_splits,
    "no expected label": lambda root: _rewrite(
        _csv(root, "validation"), lambda lines: lines.__delitem__(_of(lines, 0))
    ),
    "empty recording": lambda root: _raw(root, 7).write_bytes(b""),
    "recording twice": lambda root: shutil.copy(_raw(root, 8), root / "event_raw" / _raw(root, 8).name),
    "recording without label": lambda root: write_events(root / "event_raw" / "user09_2022.raw", recording(9)),
    "video twice": _twice,
    "unreadable annotations": lambda root: (root / "annotations" / "train_event.csv.gz").write_bytes(b"not gzip"),
    "number of rows": lambda root: _rewrite(_csv(root), lambda lines: lines.pop(FRAMES + 3)),
}


def write_faulty(root: Path) -> list[str]:
    """A tree with every fault planted once; their names."""
    _official(root)
    for plant in FAULTS.values():
        plant(root)
    return list(FAULTS)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    for name, write in LAYOUTS.items():
        write(out / name.replace(" ", "_"))
    write_faulty(out / "faulty")
