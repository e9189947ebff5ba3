"""Makes small trees in every layout in which AFEW-VA is met, and one with planted faults. No real data is in them.

python tests/data/afew_va/data.py DIR
"""

import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ACTORS = ("Ada Example", "Bo Sample", "Cy Instance", "Di Specimen", "Ed Model")
SIZE = (96, 72)


def labels_of(clip: int, frames: int) -> list[tuple[int, int]]:
    """Valence and arousal of each frame, integers as rated."""
    return [((clip + f) % 21 - 10, (2 * clip - f) % 21 - 10) for f in range(frames)]


def picture(clip: int, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """A grey image [72, 96] with an ellipse for a head that moves, and 68 points on it."""
    centre = np.array([40 + 2 * (clip % 8) + frame, 36])
    image = np.full(SIZE[::-1], 60 + clip, np.uint8)
    x, y = centre.tolist()
    cv2.ellipse(image, (x, y), (12, 16), 0, 0, 360, 180, -1)
    cv2.line(image, (x - 5, y + 8), (x + 5, y + 8 - frame % 3), 40, 2)
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return image, centre + np.stack([12 * np.cos(angle), 16 * np.sin(angle)], 1)


def write_clip(
    folder: Path,
    clip: int,
    *,
    frames: int = 6,
    suffix: str = ".png",
    images: str | None = "",
    json_at: Path | None = None,
    number: Callable[[int], Any] = int,
    landmarks: bool = True,
) -> dict[str, Any]:
    """One clip; `images` is the sub-folder for the pictures (None: no pictures). Returns the json's content."""
    name = f"{clip:03d}"
    content: dict[str, Any] = {"actor": ACTORS[clip % len(ACTORS)], "video_id": name, "frames": {}}
    folder.mkdir(parents=True, exist_ok=True)
    for f, (valence, arousal) in enumerate(labels_of(clip, frames)):
        image, points = picture(clip, f)
        entry = {"valence": number(valence), "arousal": number(arousal)}
        if landmarks:
            entry["landmarks"] = points.round(2).tolist()
        content["frames"][f"{f:05d}"] = entry
        if images is not None:
            (folder / images).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / images / f"{f:05d}{suffix}"), image)
    path = json_at or folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return content


def _official(root: Path, clip: int, **kwargs: Any) -> None:
    write_clip(root / f"{clip:03d}", clip, **kwargs)


def _both(root: Path, clip: int) -> None:
    _official(root, clip, images=f"{clip:03d}_cropped")
    for path in (root / f"{clip:03d}").rglob("*.png"):
        cv2.imwrite(str(path), cv2.imread(str(path))[10:60, 20:70])
    _official(root, clip)


def _linked(root: Path, clip: int) -> None:
    write_clip(root / ".disk" / f"{clip:03d}", clip)
    (root / f"{clip:03d}").symlink_to(root / ".disk" / f"{clip:03d}")


LAYOUTS: dict[str, Callable[[Path, int], None]] = {
    "official": _official,
    "zips": lambda root, clip: write_clip(root / f"{1 + (clip - 1) // 4:02d}" / f"{clip:03d}", clip),
    "nested": lambda root, clip: write_clip(root / "AFEW-VA" / "AFEW-VA" / "01" / f"{clip:03d}", clip),
    "jpg": lambda root, clip: _official(root, clip, suffix=".jpg"),
    "cropped": lambda root, clip: _official(root, clip, images=f"{clip:03d}_cropped"),
    "cropped beside": lambda root, clip: write_clip(
        root / f"{clip:03d}_cropped", clip, json_at=root / f"{clip:03d}" / f"{clip:03d}.json"
    ),
    "original and cropped": _both,
    "labels as floats": lambda root, clip: _official(root, clip, number=float),
    "labels as text": lambda root, clip: _official(root, clip, number=lambda v: f"{v:.1f}"),
    "labels above": lambda root, clip: _official(root, clip, json_at=root / f"{clip:03d}.json"),
    "no landmarks": lambda root, clip: _official(root, clip, landmarks=False),
    "linked": _linked,
}


def write_layout(root: Path, layout: str, clips: int = 8) -> None:
    """A tree of `clips` sound clips in a layout."""
    for clip in range(1, clips + 1):
        LAYOUTS[layout](root, clip)


def _edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / f"{folder.name}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _frame(key: str, value: Any) -> Callable[[Path], None]:
    return lambda folder: _edit(folder, lambda c: c["frames"]["00002"].update({key: value}))


def _too_low(content: dict[str, Any]) -> None:
    content["frames"]["00003"]["arousal"] = -10.5


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _say_twice(path: Path) -> None:
    path.write_text(path.read_text().replace('"frames":', '"actor": "Somebody Else", "frames":'))


def _zip(folder: Path) -> None:
    with zipfile.ZipFile(folder.parent / "02.zip", "w") as file:
        file.writestr("051/051.json", "{}")


# The name of the finding -> what is done to a sound clip's folder to deserve it.
FAULTS: dict[str, Callable[[Path], None]] = {
    "missing image": lambda folder: (folder / "00002.png").unlink(),
    "image without label": lambda folder: _edit(folder, lambda c: c["frames"].pop("00002")),
    "missing landmarks": lambda folder: _edit(folder, lambda c: c["frames"]["00002"].pop("landmarks")),
    "no landmarks": lambda folder: _edit(folder, lambda c: [f.pop("landmarks") for f in c["frames"].values()]),
    "bad landmarks": _frame("landmarks", [[1.0, 2.0]]),
    "label out of range": lambda folder: (_frame("valence", 12)(folder), _edit(folder, _too_low)),
    "frame labelled twice": lambda folder: _edit(folder, lambda c: c["frames"].update({"2": c["frames"]["00003"]})),
    "key twice": lambda folder: _say_twice(folder / f"{folder.name}.json"),
    "bad label": _frame("arousal", None),
    "no actor": lambda folder: _edit(folder, lambda c: c.pop("actor")),
    "actor spelled twice": lambda folder: _edit(folder, lambda c: c.update(actor=f" {c['actor'].upper()} ")),
    "other video id": lambda folder: _edit(folder, lambda c: c.update(video_id="600")),
    "unreadable labels": lambda folder: _cut_short(folder / f"{folder.name}.json"),
    "no labels": lambda folder: (folder / f"{folder.name}.json").unlink(),
    "no images": lambda folder: [image.unlink() for image in folder.glob("*.png")],
    "too little left": lambda folder: (shutil.rmtree(folder), write_clip(folder, int(folder.name), frames=1)),
    "broken image": lambda folder: _cut_short(folder / "00002.png"),
    "other image size": lambda folder: cv2.imwrite(str(folder / "00002.png"), np.zeros((50, 50), np.uint8)),
    "frame twice": lambda folder: cv2.imwrite(str(folder / "00002.jpg"), picture(1, 2)[0]),
    "unnumbered image": lambda folder: shutil.copy(folder / "00002.png", folder / "cover.png"),
    "clip twice": lambda folder: shutil.copytree(folder, folder.parent / "01" / folder.name),
    "cropped by others": lambda folder: _into_cropped(folder),
    "unknown folder": lambda folder: shutil.copytree(folder, folder.parent / "thumbnails", ignore=_only_images),
    "zip not extracted": _zip,
}


def _into_cropped(folder: Path) -> None:
    cropped = folder / f"{folder.name}_cropped"
    cropped.mkdir()
    for image in folder.glob("*.png"):
        image.rename(cropped / image.name)


def _only_images(_: str, files: list[str]) -> list[str]:
    return [f for f in files if f.endswith(".json")]


def write_faulty(root: Path) -> list[str]:
    """A tree with one clip a fault and two sound ones; the names of the faults, in order of clips."""
    for clip in range(1, len(FAULTS) + 3):
        _official(root, clip)
    for clip, plant in enumerate(FAULTS.values(), 3):
        plant(root / f"{clip:03d}")
    return list(FAULTS)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    for layout in LAYOUTS:
        write_layout(out / layout.replace(" ", "_"), layout)
    write_faulty(out / "faulty")
