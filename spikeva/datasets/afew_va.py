"""AFEW-VA (Kossaifi et al., Image and Vision Computing 2017): film clips with valence and arousal of every frame.

As distributed: folders `001` .. `600`, each with `00000.png`, `00001.png`, ... and `<id>.json`, which holds
``{"actor": "...", "video_id": "001", "frames": {"00000": {"valence": 1.0, "arousal": -2.0, "landmarks": [[x, y] * 68]}, ...}}``;
labels are -10 .. 10.
"""

import json
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spikeva._picture import read_picture
from spikeva.datasets.clips import Clip, ClipSet, Split
from spikeva.datasets.crop import Square, square_of_landmarks
from spikeva.datasets.findings import Finding, few, summary, told
from spikeva.datasets.tree import walk
from spikeva.errors import UserError
from spikeva.progress import counted, track

IMAGES = (".png", ".jpg", ".jpeg")
# of a whole file, by what its head says; MPO: JPEGs of some cameras
ENDS = {"PNG": b"IEND", "JPEG": b"\xff\xd9", "MPO": b"\xff\xd9"}
RANGE = 10.0  # labels are -10 .. 10


@dataclass(frozen=True)
class Film:
    """One clip: its sound images in order and the labels of those that have one."""

    name: str  # "001"
    actor: str  # in one spelling, whatever the json's: see `_person`
    folder: Path
    images: tuple[str, ...] = field(repr=False)  # file names [T]
    numbers: NDArray[np.int64] = field(repr=False)  # frame number of each image [T]
    labelled: NDArray[np.int64] = field(repr=False)  # frame numbers that have a label [L]
    valence: NDArray[np.float32] = field(repr=False)  # -1..1 [L]
    arousal: NDArray[np.float32] = field(repr=False)
    landmarks: NDArray[np.float32] = field(repr=False)  # [L, 68, 2] in pixels of the image, NaN where there are none
    image_size: tuple[int, int]
    face: Square  # where the face is in the whole clip
    fps: float

    @property
    def times(self) -> NDArray[np.float64]:
        """Seconds of each image since the first; a missing image leaves a gap."""
        return np.asarray((self.numbers - self.numbers[0]) / self.fps)

    @property
    def label_times(self) -> NDArray[np.float64]:
        """Seconds of each label, on the same clock."""
        return np.asarray((self.labelled - self.numbers[0]) / self.fps)


@dataclass
class _Place:
    """Where a clip's parts lie in the tree."""

    labels: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    cropped: list[Path] = field(default_factory=list)


class AFEWVA(Sequence[Film]):
    """The clips found under `root`, in order of name, and everything that was wrong (`findings`, `report()`).

    Read are the zips' nesting (`01/001/`), any folders above, `<id>_cropped` folders (used where the original pictures are
    not there), png or jpg, labels written as integers, floats or text, and labels beside or above the pictures.

    Args:
        root: the folder the zips were extracted to.
        fps: frames a second of the films. The json does not say; 25 is the usual assumption.

    Raises UserError where `root` holds no clip that can be used.
    """

    def __init__(self, root: str | os.PathLike[str], fps: float = 25.0) -> None:
        self.root, self.fps = Path(root), float(fps)
        if not self.root.is_dir():
            raise UserError(f"{self.root}: no such folder; give the folder that AFEW-VA's zips were extracted to")
        if not 0 < self.fps < math.inf:
            raise UserError(f"fps must be above 0 and finite, got {fps}")
        self.findings: list[Finding] = []
        self.synthetic = False  # a tree of rendered faces says so in SYNTHETIC.txt
        places = self._walk()
        if not any(place.labels for place in places.values()):
            hint = (
                "; ".join(str(f) for f in self.findings[:3])
                or f"it holds {few(sorted(os.listdir(self.root))) or 'nothing'}"
            )
            raise UserError(f"{self.root}: no AFEW-VA clip here (a file <id>.json beside its images); {hint}")
        films = (self._film(name, place) for name, place in track(sorted(places.items()), "read AFEW-VA"))
        self._spellings: dict[str, set[str]] = {}
        self._films = [film for film in films if film is not None]
        for actor, spellings in self._spellings.items():
            if len(spellings) > 1:
                detail = " / ".join(repr(s) for s in sorted(spellings))
                self._find("actor spelled twice", actor, detail, "taken for one person", len(spellings) - 1)
        if not self._films:
            raise UserError(f"{self.root}: none of the {len(places)} clips here can be used\n{summary(self.findings)}")

    def __len__(self) -> int:
        return len(self._films)

    def __getitem__(self, index: Any) -> Any:
        return self._films[index]

    @property
    def domain(self) -> str:
        """What the clips are called: "afew-va", or "afew-va-like" for a synthetic tree."""
        return "afew-va-like" if self.synthetic else "afew-va"

    @property
    def clips(self) -> ClipSet:
        """The clips as a set with subjects, for splits before anything is prepared."""
        rows = ((f.folder, f.actor, f.name, self.domain, len(f.labelled)) for f in self._films)
        return ClipSet(tuple(Clip(*row, synthetic=self.synthetic) for row in rows))

    def folds(self, k: int = 5, seed: int = 0) -> list[Split]:
        """`k` splits by actor, balanced by labelled frames: the usual protocol (there is no official list)."""
        return self.clips.folds(k, seed)

    def report(self) -> str:
        """What was found and what was left out, for people to read."""
        labels = sum(len(f.labelled) for f in self._films)
        title = "afew-va-like (synthetic)" if self.synthetic else "AFEW-VA"
        found = (len(self), "clip"), (len(self.clips.subjects), "actor"), (labels, "labelled frame")
        head = f"{title} at {self.root}: {', '.join(counted(n, what) for n, what in found)}"
        return head + told(self.findings)

    def _find(self, kind: str, where: str, detail: str, effect: str, count: int = 1) -> None:
        self.findings.append(Finding(kind, where, detail, effect, count))

    def _walk(self) -> dict[str, _Place]:
        places: dict[str, _Place] = {}
        for folder, folders, files in walk(self.root, self.findings.append):
            folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
            here, files = Path(folder), [f for f in files if not f.startswith(".")]
            self.synthetic |= "SYNTHETIC.txt" in files
            for file in sorted(files):
                stem, suffix = os.path.splitext(file)
                if suffix.lower() == ".json" and stem.isdigit():
                    places.setdefault(stem.zfill(3), _Place()).labels.append(here / file)
                elif suffix.lower() == ".zip":
                    where = str((here / file).relative_to(self.root))
                    self._find(
                        "zip not extracted", where, "a zip among the clips", "its clips are not read: extract it"
                    )
            if any(f.lower().endswith(IMAGES) for f in files):
                match = re.fullmatch(r"(\d+)(_cropped)?", here.name)
                if match is None:
                    where = str(here.relative_to(self.root))
                    self._find("unknown folder", where, "images in a folder that is not a clip's", "they are not read")
                    continue
                place = places.setdefault(match[1].zfill(3), _Place())
                (place.cropped if match[2] else place.folders).append(here)
        return places

    def _film(self, name: str, place: _Place) -> Film | None:
        gone = "the clip is left out"
        if not place.labels:
            self._find("no labels", name, f"images without {name}.json", gone)
            return None
        if not place.folders and not place.cropped:
            self._find("no images", name, f"{place.labels[0].name} without any image", gone)
            return None
        folders = place.folders or place.cropped
        try:
            texts = [path.read_bytes() for path in place.labels]
        except OSError as error:
            self._find("unreadable labels", name, f"{error.filename}: {error.strerror}", gone)
            return None
        if len(folders) > 1 or len(set(texts)) > 1:
            paths = folders if len(folders) > 1 else place.labels
            shown = few([str(p.relative_to(self.root)) for p in paths])
            self._find("clip twice", name, f"found at {shown}", "the first is used", len(paths) - 1)
        if not place.folders:
            self._find(
                "cropped by others", name, f"only {folders[0].name} is there",
                "the whole picture is used; if its crop follows the face, that motion makes events",
            )  # fmt: skip
        twice: list[str] = []
        try:
            content = json.loads(texts[0], object_pairs_hook=lambda pairs: _firsts(pairs, twice))
            actor, frames = content.get("actor"), content["frames"].items()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._find("unreadable labels", name, f"{type(error).__name__}: {error}", gone)
            return None
        if twice:
            self._find("key twice", name, f"in the json: {few(twice)}", "the first is used", len(twice))
        if not isinstance(actor, str) or not _person(actor):
            detail = "the json names no actor" if actor is None else f"actor is {actor!r}"
            self._find("no actor", name, detail, f"{gone}: it could share a person with the test set")
            return None
        video = str(content.get("video_id", name))
        if video.strip().zfill(3) != name:
            self._find("other video id", name, f"the json says video_id {video!r}", "the file's name is used")
        images, image_size, refused = self._images(name, folders[0])
        labels = self._labels(name, frames, images, refused)
        if len(images) < 2 or not labels:
            what = f"{len(images)} sound images and {len(labels)} labels for them"
            self._find("too little left", name, what, gone)
            return None
        landmarks = self._landmarks(name, labels, image_size)
        if place.folders and not np.isnan(landmarks).all():
            face = square_of_landmarks(landmarks)
        else:
            side = min(image_size)
            face = Square((image_size[0] - side) // 2, (image_size[1] - side) // 2, side)
        numbers = np.array(sorted(images), np.int64)
        self._spellings.setdefault(_person(actor), set()).add(actor)
        values = np.array([[v["valence"], v["arousal"]] for v in labels.values()], np.float64) / RANGE
        return Film(
            name, _person(actor), folders[0], tuple(images[int(n)] for n in numbers), numbers,
            np.array(list(labels), np.int64), values[:, 0].astype(np.float32), values[:, 1].astype(np.float32), landmarks,
            image_size, face, self.fps,
        )  # fmt: skip

    def _images(self, name: str, folder: Path) -> tuple[dict[int, str], tuple[int, int], set[int]]:
        """Sound images of one size by frame number, that size, and the numbers of images that are not used.

        A name of digits alone comes first, and PNG before JPEG, whose artefacts become events; "00000 2.png" is how some systems
        call a copy of the file 00000.png.
        """
        images: dict[int, str] = {}
        refused: set[int] = set()
        sizes: dict[int, tuple[int, int]] = {}
        stems = {file: os.path.splitext(file)[0] for file in os.listdir(folder)}
        for file in sorted(stems, key=lambda f: (not stems[f].isdigit(), not f.lower().endswith(".png"), f)):
            match = re.search(r"(?<!\d )(?<!\d)(\d+)$", stems[file])
            if file.startswith(".") or not file.lower().endswith(IMAGES):
                continue
            if match is None:
                self._find("unnumbered image", name, file, "it is not used")
            elif int(match[1]) in images:
                other = images[int(match[1])]
                self._find("frame twice", name, f"{other} and {file}", "the first is used")
            else:
                size = _size_of(folder / file)
                if isinstance(size, str):
                    refused.add(int(match[1]))
                    self._find("broken image", name, f"{file}: {size}", "the frame is left out")
                else:
                    images[int(match[1])], sizes[int(match[1])] = file, size
                    refused.discard(int(match[1]))
        if not images:
            return {}, (0, 0), refused
        usual = Counter(sizes.values()).most_common(1)[0][0]
        odd = [n for n in images if sizes[n] != usual]
        if odd:
            detail = f"{few([images[n] for n in odd])}: {sizes[odd[0]]} where the clip has {usual}"
            self._find("other image size", name, detail, "these frames are left out", len(odd))
        return {n: file for n, file in images.items() if n not in odd}, usual, refused.union(odd)

    def _labels(
        self, name: str, frames: Any, images: Mapping[int, str], refused: set[int]
    ) -> dict[int, dict[str, Any]]:
        """Sound labels of frames that have an image, by frame number, in order."""
        labels: dict[int, dict[str, Any]] = {}
        kinds = ("bad label", "label out of range", "missing image", "frame labelled twice")
        wrong: dict[str, list[str]] = {kind: [] for kind in kinds}
        known = set()
        for key, entry in frames:
            try:
                number = int(key)
                if number in known:
                    wrong["frame labelled twice"].append(str(key))
                    continue
                known.add(number)
                values = {axis: float(entry[axis]) for axis in ("valence", "arousal")}
            except (ValueError, TypeError, KeyError):
                said = {k: entry[k] for k in entry if k != "landmarks"} if isinstance(entry, dict) else entry
                wrong["bad label"].append(f"{key}: {_short(said)}")
                continue
            if not all(abs(v) <= RANGE for v in values.values()):
                wrong["label out of range"].append(f"{key}: {values['valence']:g}, {values['arousal']:g}")
            elif number in refused:
                continue
            elif number not in images:
                wrong["missing image"].append(str(key))
            else:
                labels[number] = {**values, "landmarks": entry.get("landmarks")}
        for kind, found in wrong.items():
            if found:
                self._find(kind, name, few(found), "these labels are not used", len(found))
        bare = sorted(set(images) - known)
        if bare:
            self._find("image without label", name, few([images[n] for n in bare]), "seen, not scored", len(bare))
        return dict(sorted(labels.items()))

    def _landmarks(
        self, name: str, labels: Mapping[int, Mapping[str, Any]], size: tuple[int, int]
    ) -> NDArray[np.float32]:
        landmarks = np.full((len(labels), 68, 2), np.nan, np.float32)
        missing, bad = [], []
        for i, (number, entry) in enumerate(labels.items()):
            given = entry["landmarks"]
            if given is None or given == []:
                missing.append(number)
                continue
            try:
                points = np.array(given, np.float32)
            except (ValueError, TypeError):
                points = np.empty(0, np.float32)
            middle = points.mean(axis=0) if points.shape == (68, 2) else np.array([np.nan])
            inside = (middle >= 0).all() and (middle <= size).all()
            # Faces may reach over the edge; a point a whole picture away would make the box that large.
            if inside and (points > -np.array(size)).all() and (points < 2 * np.array(size)).all():
                landmarks[i] = points
            else:
                bad.append(number)
        if missing and len(missing) == len(labels):
            self._find("no landmarks", name, "the json has none", "the middle square of the pictures is used")
        elif missing:
            detail = f"frames {few(missing)}"
            self._find("missing landmarks", name, detail, "the clip's box comes from the other frames", len(missing))
        if bad:
            detail = f"frames {few(bad)}: not 68 points about a place in the image"
            self._find("bad landmarks", name, detail, "the clip's box comes from the other frames", len(bad))
        return landmarks


def _firsts(pairs: Iterable[tuple[str, Any]], twice: list[str]) -> dict[str, Any]:
    """A json object of the first value of each key; keys that come again go to `twice`."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            twice.append(key)
        else:
            found[key] = value
    return found


def _person(actor: str) -> str:
    """The same text for every spelling of an actor (capitals, spaces, marks, code points of an accent), in this tree or another:
    a split must not part one person.
    """
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", actor).casefold()))


def _size_of(path: Path) -> tuple[int, int] | str:
    """(width, height) from an image's head, or what is wrong with the file. The pixels are not decoded."""
    from PIL import Image, UnidentifiedImageError

    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            if end == 0:
                return "empty file"
            file.seek(max(0, end - 32))
            tail = file.read()
            file.seek(0)
            with Image.open(file) as image:
                size, kind = image.size, str(image.format)
    except (UnidentifiedImageError, SyntaxError, ValueError):
        return "not an image"
    except OSError as error:
        return "not an image" if error.errno is None else f"cannot be read ({error.strerror})"
    if kind not in ENDS:
        return f"a {kind}, neither PNG nor JPEG"
    return size if ENDS[kind] in tail else "ends too early"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 60 else text[:57] + "..."


def frames_of(film: Film) -> Iterator[NDArray[np.uint8]]:
    """The film's images as luma [H, W], one after the other. Raises UserError for one that cannot be decoded."""
    for file in film.images:
        # Landmarks count pixels as they are stored, so that a tag which turns the picture does not count.
        image = read_picture(film.folder / file, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None or image.shape[1::-1] != film.image_size:
            raise UserError(f"{film.folder / file}: the image cannot be decoded; fetch it again or remove it")
        # Not IMREAD_GRAYSCALE: each format's own decoder would round luma in its own way.
        yield np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image, np.uint8)
