"""A dataset's tree to a folder of event clips: frames -> face crops -> events -> store, or recordings -> face crops -> store."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spikeva import __version__
from spikeva._atomic import remove_parts
from spikeva.datasets.afew_va import AFEWVA, Film, frames_of
from spikeva.datasets.clips import clip_files
from spikeva.datasets.crop import Square, box_of_events, cut, square_around
from spikeva.datasets.findings import few
from spikeva.datasets.mapping import Account, check_workers, map_clips
from spikeva.datasets.nefer import NEFER, SENSOR, Recording
from spikeva.datasets.recipe import keep_recipe, write_json
from spikeva.errors import UserError
from spikeva.events import (
    EventClip,
    EventFileError,
    EventReader,
    EventStream,
    downscale,
    open_events,
    write_clip,
    write_manifest,
)
from spikeva.events.pooling import check_pool
from spikeva.progress import counted

if TYPE_CHECKING:
    from spikeva.simulate import DVSPixel

CHUNK = 64  # frames in memory at once
RECIPE, ACCOUNT = "recipe.json", "account.json"
LABEL_STEP_US = 40_000  # a NEFER clip has no labels of its own: it is looked at 25 times a second, as AFEW-VA is


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did."""

    dataset: AFEWVA | NEFER
    out: Path
    account: Account[Film | Recording, None]
    events: int
    seconds: float
    again: int  # clips that were there of another source and were made anew
    others: list[str]  # files of other clips in `out`

    def __str__(self) -> str:
        account = self.account
        lines = [
            self.dataset.report(),
            f"{self.out}: {counted(len(account.clips) - len(account.errors), 'clip')}, {counted(self.events, 'event')}"
            f" ({account.done} made now in {self.seconds:.0f} s, {len(account.skipped)} there before)",
        ]
        if self.again:
            lines.append(
                f"{counted(self.again, 'clip')} made again: what was there was of other pictures or labels than the dataset's now"
            )
        if self.others:
            lines.append(
                f"{counted(len(self.others), 'other clip')} there before, not of this dataset as it is now ({few(self.others)}): a "
                "study reads them too; remove those that it should not read"
            )
        if account.errors:
            lines.append(f"{counted(len(account.errors), 'clip')} failed; the same command tries again:")
            lines += [f"  {_name(account.clips[i])}: {_reason(error)}" for i, error in sorted(account.errors.items())]
        return "\n".join(lines)

    __repr__ = __str__  # the account names every image of every clip


def prepare(
    dataset: AFEWVA | NEFER,
    out: Path | str,
    *,
    size: int = 128,
    pixel: "str | DVSPixel" = "clean",
    interpolate: str = "flow",
    timing: str = "crossing",
    seed: int = 0,
    pool: str = "mean",
    workers: int | Executor | None = None,
) -> Prepared:
    """Writes every clip of `dataset` to `out` as `<clip>.h5`, then `manifest.json` and `account.json`.

    Clips that are there from the same source (labels, person, names and sizes of files) are skipped.

    For a film, the face crop (one square for the whole clip) is scaled to `size` x `size`, sub-frames are put between its frames
    (`interpolate`: a method of `spikeva.simulate`), and `pixel` sees them. `timing` "crossing" gives each event its own
    time; "v2e" gives a sub-frame's events only a few times, which is further from the truth. For a recording, the face is found
    from its events, and whole blocks of pixels become one of `size` x `size` each, as `pool` says (see `spikeva.events.downscale`).

    The same source and arguments give the same bytes, whatever the number of workers. A clip that fails is listed in the
    account, and a file of it from another source is removed; the others go on. Clips in `out` of another split or part, or of
    what the dataset no longer has, stay and are named. Raises UserError as `check_options` does, and where `out` holds clips of
    another recipe.
    """
    started = time.monotonic()
    out = Path(out)
    sensor = check_options(size, pixel, interpolate, timing, seed, pool, workers)
    size, seed = int(size), int(seed)  # of numpy perhaps
    if isinstance(dataset, NEFER) and dataset.source != "raw":
        raise UserError(
            "events come from NEFER's raw recordings; use source='raw' (the TBR pictures hold no event times)"
        )
    work: Callable[[Any], None]
    recipe: dict[str, Any] = {"dataset": dataset.domain, "size": size, "spikeva": __version__}
    if isinstance(dataset, AFEWVA):
        recipe |= {"fps": dataset.fps, "pixel": asdict(sensor), "interpolate": interpolate, "timing": timing}
        recipe |= {"seed": seed}
        work = partial(
            _film, out=out, size=size, pixel=sensor, interpolation=interpolate, timing=timing, seed=seed,
            domain=dataset.domain, threads=_threads(workers),
        )  # fmt: skip
    else:
        recipe |= {"labels": dataset.labels, "pool": pool}
        work = partial(_recording, out=out, size=size, pool=pool, domain=dataset.domain)
    keep_recipe(out / RECIPE, recipe, "*.h5")
    clips: list[Film | Recording] = list(dataset)
    stale = {i for i, clip in enumerate(clips) if _agrees(clip, out) is False}
    name, finished = f"prepare {dataset.domain}", lambda clip: _agrees(clip, out) is True
    account = map_clips(work, clips, workers, name=name, finished=finished)
    for i in stale & set(account.errors):
        if _agrees(clips[i], out) is False:  # else another process has made it
            _path(out, clips[i]).unlink()
    own = {_path(out, clip).name for clip in clips}  # beside them may lie those of another split
    events = sum(entry["events"] for entry in write_manifest(out) if entry["file"] in own)
    again = len(stale - set(account.errors))
    others = [path.name for path in clip_files(out) if path.name not in own]
    done = Prepared(dataset, out, account, events, time.monotonic() - started, again, others)
    write_json(out / ACCOUNT, {
        "recipe": recipe,
        "clips": len(account.clips) - len(account.errors),
        "events": events,
        "others": others,
        "failed": {_name(account.clips[i]): _reason(error) for i, error in sorted(account.errors.items())},
        "findings": [asdict(finding) for finding in dataset.findings],
    })  # fmt: skip
    remove_parts(out)
    return done


def check_options(
    size: int,
    pixel: "str | DVSPixel",
    interpolate: str,
    timing: str,
    seed: int,
    pool: str,
    workers: int | Executor | None,
) -> "DVSPixel":
    """The pixel that is meant. Raises UserError for an option that `prepare` does not take; no dataset is needed for that."""
    from spikeva.simulate import DVSPixel, Simulator
    from spikeva.simulate.interpolate import check_method

    for name, value, least in (("size", size, 16), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise UserError(f"{name} must be a whole number from {least} on, got {value!r}")
    check_workers(workers)
    check_pool(pool)
    check_method(interpolate, None)
    sensor = pixel if isinstance(pixel, DVSPixel) else DVSPixel.preset(pixel)
    Simulator(sensor, timing=timing)  # raises for what it does not know
    return sensor


def _threads(workers: int | Executor | None) -> int:
    """Threads for each of the `workers`, so that together they have one a processor: more would only be in each other's way."""
    from spikeva.simulate.engines.compiled import default_threads

    return max(1, default_threads() // max(1, workers)) if isinstance(workers, int) else 1


def _film(
    film: Film,
    out: Path,
    size: int,
    pixel: "DVSPixel",
    interpolation: str,
    timing: str,
    seed: int,
    domain: str,
    threads: int,
) -> None:
    from spikeva.simulate import Simulator
    from spikeva.simulate.interpolate import interpolate

    if _agrees(film, out):  # made by another process since this one began
        return
    own_seed = int(np.random.SeedSequence([seed, *film.name.encode()]).generate_state(1)[0])
    crops = (cut(image, film.face, size) for image in frames_of(film))
    timed = interpolate(zip(crops, film.times.tolist(), strict=True), interpolation, threads=threads)
    simulator = Simulator(pixel, seed=own_seed, timing=timing, threads=threads)
    opencv = cv2.getNumThreads()
    cv2.setNumThreads(1)  # `threads` are all that a worker takes
    try:
        blocks = [simulator.feed(*chunk) for chunk in _chunks(timed)]
    finally:
        cv2.setNumThreads(opencv)
    labels: dict[str, NDArray[Any]] = {
        "t_us": np.rint(film.label_times * 1e6).astype(np.int64),
        "frame": film.labelled,
        "valence": film.valence,
        "arousal": film.arousal,
    }
    attributes = {
        **_attributes(domain, film.actor, film.name, film.face),
        "listing": _listing(film),
        "source_sha256": _sha256(film.folder / image for image in film.images),
        "fps": film.fps,
        "interpolation": interpolation,
        "timing": timing,
        "seed": own_seed,
        "simulator": json.dumps(asdict(pixel), sort_keys=True),
    }
    write_clip(_path(out, film), blocks, labels=labels, attributes=attributes)


def _chunks(timed: Iterator[tuple[NDArray[Any], float]]) -> Iterator[tuple[NDArray[Any], NDArray[np.float64]]]:
    """Frames [n, H, W] and times [n] for the simulator, a bounded number at once."""
    while part := list(islice(timed, CHUNK)):
        frames, times = zip(*part, strict=True)
        yield np.stack(frames), np.array(times)


def _recording(recording: Recording, out: Path, size: int, pool: str, domain: str) -> None:
    if _agrees(recording, out):
        return
    reader = _open(recording.path)
    counts = np.zeros(reader.size[::-1], np.int64)
    first = last = None
    for block in reader.blocks():
        if len(block):
            first, last = (int(block.t[0]) if first is None else first), int(block.t[-1])
            counts += block.counts()
    if first is None or last is None:
        raise UserError(f"{recording.path}: the recording holds no events")
    square, factor = _whole_blocks(square_around(box_of_events(counts), margin=1.0), size, reader.size)
    annotation = recording.annotation
    attributes = {
        **_attributes(domain, recording.user, recording.video, square),
        "listing": _listing(recording),
        "source_sha256": _sha256([recording.path]),
        "emotion": recording.emotion,
        "emotion_expected": annotation.expected or "",
        "emotion_reported": annotation.reported or "",
        "split": recording.split,
        "factor": factor,
        "pool": pool,
    }
    labels = {"t_us": np.arange(0, last - first + 1, LABEL_STEP_US)}
    blocks = chain([EventStream.empty((size, size))], downscale(_face(reader, square, first), factor, pool))
    write_clip(_path(out, recording), blocks, labels=labels, attributes=attributes)


def _whole_blocks(square: Square, size: int, sensor: tuple[int, int]) -> tuple[Square, int]:
    """The nearest square of `size` x `size` equal blocks of pixels, inside the sensor where it fits; and the blocks' side.

    Blocks of unequal size would print their own pattern on the events.
    """
    factor = max(1, min(round(square.side / size), min(sensor) // size))
    side = factor * size
    x, y = (
        min(max(0, start + (square.side - side) // 2), max(0, most - side))
        for start, most in zip((square.x, square.y), sensor, strict=True)
    )
    return Square(x, y, side), factor


def _face(reader: EventReader, square: Square, first: int) -> Iterator[EventStream]:
    """The events inside the square in blocks, from time 0."""
    for block in reader.blocks():
        x, y = (c.astype(np.int64) - start for c, start in ((block.x, square.x), (block.y, square.y)))
        keep = (x >= 0) & (x < square.side) & (y >= 0) & (y < square.side)
        column, row = x[keep].astype(np.uint16), y[keep].astype(np.uint16)
        yield EventStream(block.t[keep] - first, column, row, block.p[keep], (square.side, square.side))


def _open(path: Path) -> EventReader:
    try:
        return open_events(path)
    except EventFileError:
        return open_events(path, size=SENSOR)  # says the same of any other fault


def _attributes(domain: str, subject: str, clip: str, face: Square) -> dict[str, str | int | float]:
    return {
        "subject": subject,
        "clip": clip,
        "domain": domain,
        "synthetic": int(domain.endswith("-like")),
        "face_x": face.x,
        "face_y": face.y,
        "face_side": face.side,
    }


def _agrees(clip: Film | Recording, out: Path) -> bool | None:
    """Whether the clip's file is of the source as it is now; None where there is no file, or the source cannot be looked at."""
    path = _path(out, clip)
    try:
        now = _listing(clip)
    except OSError:
        return None
    if not path.exists():
        return None
    try:
        with EventClip(path) as stored:
            return stored.attributes.get("listing") == now
    except EventFileError:
        return False


def _listing(clip: Film | Recording) -> str:
    """A digest of what the dataset says of a clip and of its files' names and sizes, for which no file need be read."""
    said: dict[str, Any]
    if isinstance(clip, Film):
        said = {"actor": clip.actor, "face": asdict(clip.face)}
        said |= {name: getattr(clip, name).tolist() for name in ("labelled", "valence", "arousal")}
        files = [clip.folder / image for image in clip.images]
    else:
        said, files = {**asdict(clip.annotation), "emotion": clip.emotion}, [clip.path]
    said["files"] = [(file.name, file.stat().st_size) for file in files]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _sha256(files: Iterable[Path]) -> str:
    """The digest of the files' contents, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            while block := content.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _name(clip: Film | Recording) -> str:
    return clip.name if isinstance(clip, Film) else clip.video


def _path(out: Path, clip: Film | Recording) -> Path:
    return out / f"{_name(clip)}.h5"


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
