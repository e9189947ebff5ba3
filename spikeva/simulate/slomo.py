"""Interpolation by v2e's SuperSloMo network, through an installed v2e and its checkpoint."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.errors import UserError
from spikeva.simulate.engines.v2e import HOW

CHECKPOINT = "SPIKEVA_SLOMO"


def interpolate(
    frames: Iterable[tuple[NDArray[Any], float]], subframes: int | None = None
) -> Iterator[tuple[NDArray[Any], float]]:
    """The (luma, time) of `frames` with SuperSloMo's between them. Holds the whole clip, in a temporary folder, as v2e does.

    `subframes` None lets v2e bound the motion to one pixel. Raises UserError where v2e or the checkpoint ($SPIKEVA_SLOMO) is
    absent, or the checkpoint holds something else.
    """
    try:
        from v2ecore.slomo import SuperSloMo
    except ImportError as error:
        raise UserError(f"interpolation 'v2e-slomo' needs v2e: {error}. {HOW}") from error
    checkpoint = os.environ.get(CHECKPOINT, "")
    if not Path(checkpoint).is_file():
        raise UserError(
            f"interpolation 'v2e-slomo' needs SuperSloMo's weights: set {CHECKPOINT} to SuperSloMo39.ckpt (see v2e's README), "
            f"found {checkpoint!r}"
        )
    _check(checkpoint)
    import cv2

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.mkdir()
        target.mkdir()
        times = []
        last: Any = None
        for i, (frame, time) in enumerate(frames):
            last = np.rint(frame).astype(np.uint8)
            np.save(source / f"{i:08d}.npy", last)
            times.append(time)
        slomo = SuperSloMo(
            model=checkpoint,
            auto_upsample=subframes is None,
            upsampling_factor=subframes or 1,
            batch_size=8,
        )
        positions, _ = slomo.interpolate(str(source), str(target), (last.shape[1], last.shape[0]))
        pictures = sorted(target.glob("*.png"), key=lambda p: int(p.stem))
        moments = np.interp(positions, np.arange(len(times)), times)
        for path, moment in zip(pictures, moments, strict=False):  # v2e returns one time more than pictures
            if moment < times[-1]:
                yield np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.float32), float(moment)
        yield last.astype(np.float32), times[-1]


def _check(checkpoint: str) -> None:
    """Raises UserError where v2e could not load the file's weights."""
    import torch

    try:  # as v2e is about to
        found = torch.load(checkpoint, map_location="cpu", weights_only=False)
        wrong = (
            "" if {"state_dictAT", "state_dictFC"} <= set(found) else f"it holds {', '.join(sorted(map(str, found)))}"
        )
    except (OSError, RuntimeError, EOFError, TypeError, ValueError, UnpicklingError) as error:  # of a file that is none
        wrong = f"{type(error).__name__}: {(str(error).splitlines() or ['empty'])[0]}"
    if wrong:
        raise UserError(
            f"{checkpoint}: not SuperSloMo's weights, which are state_dictAT and state_dictFC, or damaged ({wrong}); "
            f"fetch SuperSloMo39.ckpt again (see v2e's README) and set {CHECKPOINT} to it"
        )
