"""Mistakes of a config that its schema cannot see: names, options, and what lies between keys."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from importlib.util import find_spec
from inspect import Parameter as Signature
from typing import Any

from spikeva import encode, models
from spikeva.datasets.clips import clip_files
from spikeva.encode.base import name_and_options
from spikeva.errors import UserError
from spikeva.evaluation.emotion import ANCHORS
from spikeva.neurons import NEURONS
from spikeva.registry import did_you_mean
from spikeva.study.cells import Cell, cells
from spikeva.study.config import Grid, Prepared, StandIn, Study
from spikeva.training.loss import LOSSES

MOST = 10**6  # frames or labels a clip, as `spikeva.faces` allows, which takes a second to import
OPTIONS = ("grid.models", "grid.encodings", "regression.pixel", "transfer.pixel")  # held against what each takes


def value_problems(part: Any, path: str = "") -> Iterator[str]:
    """Where a config says yes or no and means neither (Python takes true and false for 1 and 0), or a number that is absurd."""
    if isinstance(part, bool) and path != "training.augment":
        yield f"{path}: found {part!r}, as which YAML reads yes, no, on and off; allowed: a number or a name"
    elif isinstance(part, int) and abs(part) >= 2**63:
        yield f"{path}: found a whole number of {len(str(abs(part)))} digits, allowed: less than 2**63"
    elif isinstance(part, dict) and path not in OPTIONS:
        for key, value in part.items():
            yield from value_problems(value, f"{path}.{key}" if path else str(key))
    elif isinstance(part, list) and path not in OPTIONS:
        for i, value in enumerate(part):
            yield from value_problems(value, f"{path}[{i}]")


def named_problems(raw: dict[str, Any]) -> Iterator[str]:
    """Mistakes in what is known by name: models, encodings, loss, anchors, pixels."""
    grid = raw.get("grid")
    grid = grid if isinstance(grid, dict) else {}
    for key, kind, table in (
        ("models", "model", models.list_models()),
        ("encodings", "encoding", encode.list_encodings()),
    ):
        entries = grid.get(key)
        for i, entry in enumerate(entries if isinstance(entries, list) else []):
            where = f"grid.{key}[{i}]"
            if not isinstance(entry, Mapping):
                continue  # said by the schema
            if kind not in entry:
                yield f"{where}.{kind}: this key is missing; name the {kind}"
                continue
            for key_, problem in _option_problems(kind, entry, table):
                yield f"{where}.{key_}: {problem}"
    yield from _named_value(raw, "training", "loss", LOSSES)
    yield from _named_value(raw, "evaluation", "anchors", ANCHORS)
    for block in ("regression", "transfer"):
        if isinstance(raw.get(block), dict):
            yield from (f"{block}.{problem}" for problem in _pixel_problems(raw[block].get("pixel")))


def _pixel_problems(pixel: Any) -> Iterator[str]:
    """What is wrong with the pixel of a stand-in: a preset's name, or parameters."""
    from spikeva.simulate import DVSPixel

    try:
        if isinstance(pixel, str):
            DVSPixel.preset(pixel)
        elif isinstance(pixel, dict):
            allowed = [field.name for field in fields(DVSPixel)]
            for key in pixel:
                if key not in allowed:
                    yield f"pixel.{key}: unknown key {key!r}{did_you_mean(key, allowed)} (allowed: {', '.join(allowed)})"
            DVSPixel(**{key: value for key, value in pixel.items() if key in allowed})
    except (UserError, OverflowError) as error:
        yield f"pixel: {error}"


def _option_problems(kind: str, entry: Mapping[str, Any], names: list[str]) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) of one model or encoding; where the name is unknown, its keys are held against all of them."""
    name, neuron = entry[kind], entry.get("neuron")
    if not (isinstance(neuron, str) and neuron in NEURONS):
        if kind == "model" and neuron is not None:
            yield "neuron", NEURONS.unknown(str(neuron))
        neuron = None
    if name not in names:
        yield kind, f"found {name!r}, allowed: {', '.join(names)}{did_you_mean(name, names)}"
    allowed: dict[str, Any] = {}
    for known in [name] if name in names else names:
        allowed |= encode.parameters(known) if kind == "encoding" else models.parameters(known, neuron)
    allowed.pop("in_channels", None)  # follows from the encoding
    for key, value in entry.items():
        if key == kind:
            continue
        if key not in allowed:
            yield key, f"unknown key {key!r}{did_you_mean(key, allowed)} (allowed: {', '.join(allowed)})"
        elif isinstance(value, float) and not math.isfinite(value):
            yield key, f"found {value!r}, allowed: a finite number"
        elif problem := _unfit(key, value, allowed[key]):
            yield key, problem


def _unfit(key: str, value: Any, parameter: Any) -> str | None:
    """What is wrong with the value of a model's or an encoding's argument, or None where it is fine."""
    if isinstance(parameter, Signature):
        return models.wrong_value(key, parameter, value)
    try:
        parameter.check(value)
    except UserError:
        return f"found {value!r}, allowed: {parameter.allowed}"
    return None


def _named_value(raw: dict[str, Any], block: str, key: str, names: Collection[str]) -> Iterator[str]:
    holder = raw.get(block)
    value = holder.get(key) if isinstance(holder, dict) else None
    if isinstance(value, str) and value not in names:
        yield f"{block}.{key}: found {value!r}, allowed: {', '.join(names)}{did_you_mean(value, names)}"


def joint_problems(study: Study) -> Iterator[str]:
    """Mistakes that lie between keys."""
    for fold in study.grid.folds:
        if fold >= study.folds:
            yield f"grid.folds: found {fold}, allowed: 0 to {study.folds - 1} (folds: {study.folds})"
    for key in Grid.model_fields:
        values: list[Any] = getattr(study.grid, key)
        for i, value in enumerate(values):
            if value in values[:i]:
                yield f"grid.{key}[{i}]: the same as grid.{key}[{values.index(value)}]; remove one"
    loss = LOSSES[study.training.loss]
    if study.training.batch_size == 1 and (loss.pcc or loss.ccc):
        yield f"training.batch_size: found 1, allowed: 2 or more, since PCC and CCC of loss {study.training.loss!r} are over a batch (or loss: mse)"
    if isinstance(study.regression, StandIn):
        if study.regression.dataset == "nefer-like":
            yield "regression.dataset: found 'nefer-like', which has no valence and arousal labels; use it under transfer"
        people = study.regression.identities
        if people < 4:
            yield f"regression.identities: found {people}, allowed: at least 4, two for each of two folds (an interval needs them)"
        elif people < 2 * study.folds:
            yield f"folds: found {study.folds}, allowed: 2 to {people // 2}, so that each tests two people (an interval needs them)"
    if isinstance(study.transfer, StandIn):
        if study.transfer.dataset == "afew-va-like":
            yield "transfer.dataset: found 'afew-va-like', whose clips show several emotions each; use nefer-like"
        if isinstance(study.regression, StandIn) and study.transfer.size != study.regression.size:
            yield f"transfer.size: found {study.transfer.size}, allowed: {study.regression.size}, as regression.size: a network learns one"
    for name, source in study.sources.items():
        if isinstance(source, StandIn):
            yield from (f"{name}.{problem}" for problem in _unfit_length(source, study))


def _unfit_length(source: StandIn, study: Study) -> Iterator[str]:
    """A stand-in's clips that never end, or of which no label has as much of the clip before it as the windows need."""
    if (frames := source.seconds * max(source.fps, source.label_fps)) > MOST:
        yield f"seconds: found {source.seconds:g}, which is {frames:g} frames or labels, allowed: at most {MOST} of each"
        return
    if source.seconds * min(source.fps, source.label_fps) < 1:
        yield f"seconds: found {source.seconds:g}, allowed: enough for a frame at fps {source.fps:g} and label_fps {source.label_fps:g}"
        return
    last = (round(source.seconds * source.label_fps) - 1) / source.label_fps
    needed = next(cells(study)).history_us / 1e6
    if last < needed:
        yield (
            f"seconds: found {source.seconds:g}, where the last label is at {last:g} s; window.frames of the longest encoding "
            f"need {needed:g} s before a label. Use fewer or shorter windows, longer clips or more labels a second"
        )


def missing_clips(study: Study) -> Iterator[str]:
    """Prepared folders that hold no clips."""
    for name, source in study.sources.items():
        if isinstance(source, Prepared) and not clip_files(source.root):
            found = "holds no clips (*.h5)" if source.root.is_dir() else "is no folder"
            yield f"{name}.root: {source.root} {found}; make some with `spikeva prepare`"


def unbuildable(study: Study) -> Iterator[str]:
    """What cannot be built here: changes of events without tonic, and models of the grid.

    Each model is built once for each shape of its input, which takes torch and seconds.
    """
    if study.training.augment_events is not None and find_spec("tonic") is None:
        yield "training.augment_events: needs tonic, which is not installed: pip install 'spikeva[tonic]'"
    tried: list[Any] = []
    failed: list[Any] = []
    for cell in cells(study):
        steps = _steps(cell)
        case = (cell.model, cell.channels, steps)
        if case in tried or cell.model in failed:
            continue
        tried.append(case)
        try:
            _build(cell, steps)
        except (ValueError, TypeError, RuntimeError) as error:
            failed.append(cell.model)
            yield f"grid.models[{study.grid.models.index(cell.model)}]: {' '.join(str(error).split())}"


def _steps(cell: Cell) -> int:
    """T of the cell's samples."""
    name, options = name_and_options(cell.encoding)
    encoding = encode.create(name, **options)
    return cell.study.window.frames * (encoding.grid[0] if encoding.stepped and cell.kind == "snn" else 1)


def _build(cell: Cell, steps: int) -> None:
    from spikeva.study.run_cell import create

    windows = cell.study.window.frames
    frames = cell.model.get("frames", windows)
    if frames > 0 and (steps % frames if cell.kind == "snn" else steps != frames):
        raise UserError(f"frames: found {frames}, allowed: {windows}, as window.frames; best left out")
    create(cell)
