"""One cell, from clips to its run directory. What is there is not done again; `done.json` is written last."""

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikeva import models
from spikeva._atomic import remove_parts, write_bytes
from spikeva._results import check_written, written_digest
from spikeva.datasets import ClipSet, Split
from spikeva.encode import Augment
from spikeva.errors import UserError
from spikeva.evaluation import cost, emotion, metrics, statistics
from spikeva.neurons import health, unhealthy
from spikeva.progress import console
from spikeva.study import panels
from spikeva.study.cells import Cell, prepared_clips
from spikeva.study.claims import LOCK, claimed
from spikeva.study.comparisons import AXES
from spikeva.study.config import Study
from spikeva.study.environment import device, devices_of
from spikeva.study.files import damaged, read_json, write_csv, write_json, write_yaml
from spikeva.training.augment import Augmentation
from spikeva.training.data import Windows
from spikeva.training.prediction import predict

PREDICTIONS = ("subject", "clip", "frame", "t_us", "valence", "arousal", "valence_pred", "arousal_pred")
READ_AGAIN = ("predictions.csv", "metrics.json")  # once a cell is finished
TRANSFER = ("subject", "clip", "frame", "t_us", "emotion", "valence_pred", "arousal_pred")


@dataclass(frozen=True)
class Material:
    """What all cells of a study share: the split of each fold, and the clips of the other domain."""

    folds: list[Split]
    transfer: ClipSet | None
    prepared: dict[str, str] | None = None  # digests of the folders read (see `prepared_clips`); None: not known
    jobs: int = 1  # cells that are at work at once

    @property
    def clips(self) -> ClipSet:
        """All clips with valence and arousal: each is tested in one fold."""
        return ClipSet(tuple(clip for fold in self.folds for clip in fold.test))

    def check(self, study: Study) -> None:
        """Raises UserError where the folders hold other clips by now: a cell's name would be of those, its result of these."""
        if self.prepared not in (None, prepared_clips(study)):
            raise UserError(
                "the clips under regression.root or transfer.root are others than when this run read them; let what works there "
                "(`spikeva prepare`?) come to its end, and start the study again"
            )


def run_cell(cell: Cell, material: Material, out: Path, place: str = "") -> dict[str, Any]:
    """The cell's entry of results.json. `place` ("2/4") stands in front of the names of its stages.

    Waits for another process that works on the cell, unless several devices share its training: then all of theirs come here.
    """
    material.check(cell.study)
    folder = cell.folder(out)
    if not (folder / "done.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shared = devices_of(cell.study) > 1
        with nullcontext() if shared else claimed(folder, f"{place} {cell.label}".strip()):
            if not (folder / "done.json").exists():
                _finish(cell, material, folder, place)
    _tidy(folder)
    for name in READ_AGAIN:
        check_written(folder / name)
    result = {**read_json(folder / "metrics.json"), **_names(cell, material)}
    if material.transfer is not None:
        result["transfer"] |= source(material.transfer)
    return result


def _finish(cell: Cell, material: Material, folder: Path, place: str) -> None:
    write_yaml(folder / "config.yaml", cell.determinants())
    began = time.perf_counter()
    split = material.folds[cell.fold]
    model = create(cell)
    _train(cell, model, material, folder, f"{place} train {cell.label}".strip())
    trained = time.perf_counter()
    result = _evaluate(cell, model, split.test, material, folder, f"{place} evaluate {cell.label}".strip())
    material.check(cell.study)
    write_json(folder / "metrics.json", result)
    seconds = {"train": trained - began, "evaluate": time.perf_counter() - trained}
    write_json(
        folder / "done.json",
        {
            "seconds": {k: round(v, 2) for k, v in seconds.items()},
            "threads": torch.get_num_threads(),
            "trained_on": split.train.people,
            **{Path(name).stem: written_digest(folder / name) for name in READ_AGAIN},
        },
    )


def _tidy(folder: Path) -> None:
    """Remove what a finished cell needs no more, and what was half-written when it was killed."""
    for name in ("training.ckpt", LOCK):
        (folder / name).unlink(missing_ok=True)
    remove_parts(folder)


def windows(cell: Cell, clips: ClipSet, *, training: bool = False) -> Windows:
    """The samples that a cell's model sees of some clips; in `training` they are augmented as the study says."""
    budget = cell.study.training
    changes = budget.augment_events if training else None
    return Windows(
        clips.paths,
        cell.encoding,
        cell.kind,
        cell.study.window.frames,
        history_us=cell.history_us,
        augmentation=Augmentation() if training and budget.augment else None,
        event_changes=Augment(**changes.model_dump()) if changes is not None else None,
        seed=_seed(cell),
    )


def _seed(cell: Cell) -> int:
    return int(np.random.SeedSequence([cell.study.seed, cell.fold, cell.seed]).generate_state(1)[0] % 2**31)


def create(cell: Cell, *, to_load: bool = False) -> torch.nn.Module:
    """The cell's model, not trained; the cell's seed determines its weights, or the file that `pretrained` names.

    `to_load`: trained weights come next, so that this file, which may be gone by then, is not read.
    """
    options = {**cell.model}
    name = options.pop("model")
    if to_load and models.MODELS.module_of(name) is not None:  # in a model of the user's own, it may mean more
        options.pop("pretrained", None)
    if "frames" in models.parameters(name):
        options.setdefault("frames", cell.study.window.frames)
    torch.manual_seed(_seed(cell))
    return models.create_model(name, in_channels=cell.channels, **options)


def _train(cell: Cell, model: torch.nn.Module, material: Material, folder: Path, name: str) -> None:
    from safetensors.torch import save

    weights = folder / "model.safetensors"
    if not weights.exists():
        from spikeva.training.fitting import fit  # Lightning takes seconds to import; a trained cell does without

        study = cell.study
        history = fit(
            model,
            windows(cell, material.folds[cell.fold].train, training=True),
            study.training.model_dump(),
            checkpoint=folder / "training.ckpt",
            seed=_seed(cell),
            trainer=study.trainer.model_dump(),
            name=name,
        )
        material.check(study)
        write_csv(folder / "training.csv", ("step", "loss"), enumerate(history))
        write_bytes(weights, save({k: v.contiguous() for k, v in model.state_dict().items()}))
    load_weights(model, folder)


def load_weights(model: torch.nn.Module, folder: Path) -> None:
    """Give the model the weights that were trained in a cell's folder. Raises UserError where their file is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    weights = folder / "model.safetensors"
    try:
        model.load_state_dict(load(weights.read_bytes()))  # the library's own reading takes no name that is not UTF-8
    except SafetensorError as error:
        raise damaged(weights, error) from error


def _evaluate(
    cell: Cell, model: torch.nn.Module, clips: ClipSet, material: Material, folder: Path, name: str
) -> dict[str, Any]:
    rows = score_rows(cell, model, clips, PREDICTIONS, folder / "predictions.csv", name)
    result: dict[str, Any] = {
        "hash": cell.key,
        **_names(cell, material),
        "synthetic": material.clips.synthetic,
        "fold": cell.fold,
        "seed": cell.seed,
        "regression": regression(rows),
    }
    if material.transfer is not None:
        shown = name.replace("evaluate", "transfer")
        seen = score_rows(cell, model, material.transfer, TRANSFER, folder / "transfer.csv", shown)
        result["transfer"] = {**source(material.transfer), **zero_shot(cell, seen)}
    samples = windows(cell, clips)
    batch = torch.stack([samples[i][0] for i in _spread(len(samples), cell.study.evaluation.cost_samples)])
    if cell.kind == "snn":
        normed = cell.model.get("norm", "bn") != "none"
        if said := unhealthy(health(model.to("cpu"), batch), normed):
            console.print(f"{name}: {said}", highlight=False, soft_wrap=True)
    measured = cost.measure(model.to("cpu"), batch, cell.kind)
    measured["latency_jobs"] = material.jobs  # what may have slowed it
    return {**result, "parameters": measured["parameters"], "cost": measured}


def _names(cell: Cell, material: Material) -> dict[str, Any]:
    """What the report calls the cell. It depends on the others of its grid, so that a finished cell is named anew in each study."""
    named = {"model": cell.model_label, "kind": cell.kind, "encoding": cell.encoding_label}
    return {**named, "time_steps": cell.time_steps, "dataset": material.clips.domain}


def source(clips: ClipSet) -> dict[str, Any]:
    """What scores on some clips say of these."""
    return {"dataset": clips.domain, "synthetic": clips.synthetic}


def spikes(cell: Cell, material: Material, out: Path) -> dict[str, NDArray[Any]]:
    """Spikes of the finished cell's layers for one sample of a held-out person (see `panels.raster`)."""
    model = create(cell, to_load=True)
    load_weights(model, cell.folder(out))
    samples = windows(cell, material.folds[cell.fold].test)
    found = panels.raster(model, samples[len(samples) // 2][0][None])
    return {f"{cell.label}: {layer}": fired for layer, fired in found.items()}


def _spread(n: int, wanted: int) -> list[int]:
    """`wanted` indices spread evenly over n."""
    return np.unique(np.linspace(0, n - 1, wanted).round().astype(int)).tolist()


def score_rows(
    cell: Cell,
    model: torch.nn.Module,
    clips: ClipSet,
    header: tuple[str, ...],
    path: Path | None,
    name: str = "evaluate",
) -> list[dict[str, str]]:
    """The model's predictions on every sample of some clips, as rows under `header`; written to `path` if there is one.

    Raises Diverged where they are no numbers: the last step of a training can break its weights, and no loss comes after it.
    """
    samples, trainer = windows(cell, clips), cell.study.trainer
    where = device(trainer.accelerator, trainer.devices)
    predictions = predict(model, samples, device=where, workers=cell.study.training.workers, name=name)
    if broken := int((~np.isfinite(predictions).all(1)).sum()):
        from spikeva.training.module import Diverged  # with Lightning, which takes seconds to import

        raise Diverged(
            f"{broken} of {len(predictions)} predictions are NaN or infinite: the training diverged; lower training.learning_rate"
        )
    rows = []
    for (index, label, _), predicted in zip(samples.samples, predictions.tolist(), strict=True):
        clip = clips[index]
        known = dict(zip(AXES, samples.targets[index][label].tolist(), strict=True))
        frame, time = samples.numbers[index][label], samples.times[index][label]
        row = {"subject": clip.subject, "clip": clip.clip, "frame": frame, "t_us": time}
        row |= {"emotion": clip.emotion, "valence_pred": predicted[0], "arousal_pred": predicted[1], **known}
        rows.append({column: str(row[column]) for column in header})
    if path is not None:
        write_csv(path, header, (list(row.values()) for row in rows))
    return rows


def columns(rows: list[dict[str, str]], *names: str) -> NDArray[np.float64]:
    """[len(names), n] numbers of rows of a CSV."""
    return np.array([[float(row[name]) for row in rows] for name in names])


def regression(rows: list[dict[str, str]]) -> dict[str, Any]:
    """Metrics of each axis over all frames, with the interval of the CCC over subjects, and their mean over clips."""
    subjects = [row["subject"] for row in rows]
    clips = [f"{row['subject']}/{row['clip']}" for row in rows]
    result = {}
    for axis in AXES:
        y, p = columns(rows, axis, f"{axis}_pred")
        low, high = statistics.jackknife_interval("ccc", y, p, subjects)
        means = metrics.clip_mean(y, p, clips)
        result[axis] = {**metrics.regression(y, p), "ccc_ci95": [low, high], "clip_mean": means}
    return result


def zero_shot(cell: Cell, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Emotion of each recording from its predicted valence and arousal; nothing is fitted on these recordings."""
    settings = cell.study.evaluation
    recordings: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        recordings.setdefault((row["subject"], row["clip"]), []).append(row)
    points = [
        emotion.recording_point(columns(r, "valence_pred", "arousal_pred").T, settings.pooling)
        for r in recordings.values()
    ]
    predicted = emotion.classify(points, settings.anchors, settings.method, settings.none_radius)
    shown, people = [r[0]["emotion"] for r in recordings.values()], [subject for subject, _ in recordings]
    return emotion.transfer(shown, predicted, people, settings.anchors)
