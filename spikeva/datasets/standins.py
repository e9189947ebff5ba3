"""Stand-in datasets: faces rendered with known valence and arousal, then seen through the pixel model. All synthetic.

    frames/<domain>-<hash>/i0003_c01.npz     8-bit luma and the labels, one file a clip
    events/<domain>-<hash>/i0003_c01.h5      the clip store's file, which is what a study reads

A folder's hash covers whatever determines what is in its files (arguments, and the code that renders or simulates), but
not which identities and clips were asked for: a clip does not depend on others, so a larger set goes on from a smaller.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeva._atomic import remove_parts, whole_file
from spikeva.datasets.clips import ClipSet
from spikeva.datasets.mapping import local_executor, map_clips
from spikeva.errors import UserError
from spikeva.registry import unknown

if TYPE_CHECKING:
    from spikeva.simulate import DVSPixel

DOMAINS = ("afew-va-like", "nefer-like")
LABELS = ("exact", "rated")


@dataclass(frozen=True)
class _Job:
    identity: int
    clip: int
    frames: Path
    events: Path

    def __str__(self) -> str:
        return self.events.stem


def standin(
    domain: str,
    out: Path | str,
    *,
    identities: int,
    clips: int,
    seed: int = 0,
    fps: float = 100.0,
    label_fps: float = 25.0,
    size: int | tuple[int, int] = 96,
    seconds: float = 1.6,
    pixel: "str | Mapping[str, Any] | DVSPixel | None" = None,
    labels: str = "exact",
    workers: int | Executor | None = None,
    **face: Any,
) -> ClipSet:
    """The clips of `identities` synthetic people, `clips` each; made under `out` where they are not there yet.

    A clip is a function of the arguments alone: the number of workers changes no bit, and a killed run goes on.

    Args:
        domain: "afew-va-like" (films; valence and arousal at `label_fps`) or "nefer-like" (posed emotions; label times
            and an emotion a clip, no valence or arousal, as in the dataset it stands in for).
        fps: frames rendered a second; the simulator sees these and nothing between.
        size: side of the face crop in pixels, or (width, height) of the whole scene.
        pixel: a preset's name, the parameters of a `DVSPixel`, or one; None takes the domain's own.
        labels: "exact" stores the true valence and arousal, "rated" what raters would give (tenths, late, noisy); the
            other pair is kept beside it as `valence_rated` or `valence_exact`, and so for arousal.
        workers: as in `map_clips`.
        face: further arguments of `faces.make_clip`.

    Raises UserError for a bad argument.
    """
    if domain not in DOMAINS:
        raise UserError(unknown("stand-in domain", domain, DOMAINS))
    if identities < 1 or clips < 1:
        raise UserError(f"a stand-in needs at least one identity and one clip, got {identities} and {clips}")
    if labels not in LABELS:
        raise UserError(unknown("labels", labels, LABELS))
    sensor = _sensor(domain, pixel)
    make = dict(seed=seed, fps=fps, label_fps=label_fps, size=size, seconds=seconds, **face)
    looks = _digest({"domain": domain, **make}, "faces")
    seen = _digest({"frames": looks, "pixel": asdict(sensor), "seed": seed, "labels": labels}, "simulate", "events")
    frames_dir, events_dir = Path(out) / "frames" / f"{domain}-{looks}", Path(out) / "events" / f"{domain}-{seen}"
    jobs = [
        _Job(i, c, frames_dir / f"i{i:04d}_c{c:02d}.npz", events_dir / f"i{i:04d}_c{c:02d}.h5")
        for i in range(identities)
        for c in range(clips)
    ]
    frames_dir.mkdir(parents=True, exist_ok=True)
    events_dir.mkdir(parents=True, exist_ok=True)
    todo = [job for job in jobs if not job.events.exists()]
    render = partial(_render, domain=domain, make=make)
    see = partial(_simulate, domain=domain, pixel=sensor, labels=labels, seed=seed)
    with local_executor(workers, len(todo)) as executor:
        pool = 0 if executor is None else executor
        map_clips(render, todo, pool, name=f"render {domain}", finished=lambda job: job.frames.exists()).check("render")
        map_clips(see, jobs, pool, name=f"simulate {domain}", finished=lambda job: job.events.exists()).check(
            "simulate"
        )
    for folder in (frames_dir, events_dir):
        remove_parts(folder)
    return ClipSet.read(job.events for job in jobs)


def _sensor(domain: str, pixel: "str | Mapping[str, Any] | DVSPixel | None") -> "DVSPixel":
    from spikeva.simulate import DVSPixel

    if isinstance(pixel, DVSPixel):
        return pixel
    if isinstance(pixel, str):
        return DVSPixel.preset(pixel)
    if pixel is None and domain == "nefer-like":
        from spikeva import faces

        pixel = faces.pixel(domain)
    return DVSPixel.preset("clean") if pixel is None else DVSPixel(**dict[str, Any](pixel))


def _render(job: _Job, domain: str, make: Mapping[str, Any]) -> None:
    from spikeva import faces

    clip = faces.make_clip(domain, job.identity, job.clip, **make)
    with whole_file(job.frames) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            frames=np.rint(clip.frames).astype(np.uint8),
            times=clip.times,
            label_times=clip.label_times,
            valence=clip.valence,
            arousal=clip.arousal,
            valence_rated=clip.valence_rated,
            arousal_rated=clip.arousal_rated,
            landmarks=clip.landmarks,
            emotion=np.array(clip.emotion),
            subject=np.array(clip.subject),
            name=np.array(clip.name),
        )


def _simulate(job: _Job, domain: str, pixel: "DVSPixel", labels: str, seed: int) -> None:
    from spikeva.events import write_clip
    from spikeva.simulate import simulate

    with np.load(job.frames) as clip:
        own_seed = int(
            np.random.SeedSequence([seed, DOMAINS.index(domain), job.identity, job.clip]).generate_state(1)[0]
        )
        events = simulate(clip["frames"], clip["times"], pixel, seed=own_seed)
        arrays = {"t_us": np.rint(clip["label_times"] * 1e6).astype(np.int64)}
        if domain == "afew-va-like":
            for axis in ("valence", "arousal"):
                pair = {"exact": clip[axis].astype(np.float32), "rated": clip[f"{axis}_rated"].astype(np.float32)}
                arrays[axis] = pair.pop(labels)
                arrays |= {f"{axis}_{other}": values for other, values in pair.items()}
        attributes: dict[str, str | int | float] = {
            "subject": str(clip["subject"]),
            "clip": str(clip["name"]),
            "emotion": str(clip["emotion"]),
            "domain": domain,
            "synthetic": 1,
            "simulator": json.dumps(asdict(pixel), sort_keys=True),
            "seed": own_seed,
            "frames": os.path.relpath(job.frames, job.events.parent),
        }
    write_clip(job.events, events, labels=arrays, attributes=attributes)


@cache
def code_digest() -> str:
    """12 hex digits of the code that stand-ins follow from, beside the arguments of `standin`."""
    return _digest({}, "faces", "simulate", "events")


def _digest(parts: Mapping[str, Any], *packages: str) -> str:
    """12 hex digits of `parts` and of the source text of `spikeva.<package>` for each package."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for package in packages:
        root = Path(__file__).parents[1] / package
        for file in sorted(root.rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
