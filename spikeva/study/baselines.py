"""What stands beside every model: the training mean, shuffled labels, sheer event rate; for the transfer chance, majority and ceiling."""

from collections import Counter
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.datasets import ClipSet
from spikeva.evaluation import baselines as fitted
from spikeva.evaluation import emotion
from spikeva.events import EventClip
from spikeva.study.cells import Cell
from spikeva.study.config import StandIn, Study
from spikeva.study.run_cell import Material, regression, source, zero_shot
from spikeva.training.data import Windows

Entry = dict[str, Any]
ERRORS = (0.2, 0.3)  # sd of the error of valence and of arousal for which a ceiling is given (chosen here)
POSED_AT = "face-like"  # the anchors at which the stand-in's faces pose
COARSE = ("three_way", "valence_sign")
BINS = 4  # time bins of the counts, so that a rate that changes can be seen to change


def baselines(study: Study, material: Material, cells: list[Cell]) -> list[Entry]:
    """Entries like those of cells, one a baseline and fold that was run, fitted on the fold's training people alone.

    Of several folds, each entry holds under `pooled` the metrics over all folds' people together, as the models' are reported.
    """
    found = []
    pooled: dict[str, list[dict[str, str]]] = {}
    folds = {cell.fold: cell for cell in cells}
    used = [clip for fold in folds for clip in (*material.folds[fold].train, *material.folds[fold].test)]
    counted = Counts(cells[0], ClipSet(tuple(dict.fromkeys(used))))  # once, for all folds
    other = None if material.transfer is None else Counts(cells[0], material.transfer)
    for fold, cell in sorted(folds.items()):
        split = material.folds[fold]
        train, test = counted.of(split.train), counted.of(split.test)
        predictions = {
            "mean": fitted.mean(train.labels, len(test.labels)),
            "shuffled": fitted.shuffled(train.counts, train.labels, train.clips, test.counts, study.seed),
            "event rate only": fitted.event_rate(train.counts, train.labels, test.counts),
        }
        for name, predicted in predictions.items():
            rows = test.rows(predicted)
            pooled.setdefault(name, []).extend(rows)
            entry = _entry(study, name, fold, material) | {"regression": regression(rows)}
            if other is not None and name == "event rate only":
                shown = fitted.event_rate(train.counts, train.labels, other.counts)
                entry["transfer"] = {**source(other.among), **zero_shot(cell, other.rows(shown))}
            found.append(entry)
    if len(folds) > 1:
        together = {name: regression(rows) for name, rows in pooled.items()}
        found = [entry | {"pooled": together[entry["model"]]} for entry in found]
    return found + _transfer_baselines(study, material)


def _entry(study: Study, name: str, fold: int | None, material: Material) -> Entry:
    return {
        "model": name,
        "kind": "baseline",
        "encoding": "",
        **source(material.clips),
        "fold": fold,
        "seed": study.seed,
        "parameters": 0,
    }


def _transfer_baselines(study: Study, material: Material) -> list[Entry]:
    """Chance, always the most frequent emotion, and what the closeness of the anchors and the labels' noise allow at best."""
    if material.transfer is None:
        return []
    often = Counter(str(clip.emotion).lower() for clip in material.transfer)  # as predictions are scored: Fear is fear
    people = [clip.subject for clip in material.transfer]
    told = emotion.transfer([*often.elements()], [*often.elements()], people, study.evaluation.anchors)
    scores: dict[str, Entry] = {
        name: {"accuracy": told[name], **{f"{part}_accuracy": told[f"{part}_{name}"] for part in COARSE}}
        for name in ("chance", "majority")
    }
    scores |= _ceilings(study, material.transfer)
    of = source(material.transfer)
    return [_entry(study, name, None, material) | of | {"transfer": {**of, **found}} for name, found in scores.items()]


def _ceilings(study: Study, clips: ClipSet) -> dict[str, Entry]:
    """Simulated accuracy of readouts without a fault of their own, by name, on emotions as often as `clips` tell them.

    The stand-in's faces lie at the anchors where they were posed, others where they are read.
    """
    settings, agreed = study.evaluation, agreement(clips)
    posed = POSED_AT if isinstance(study.transfer, StandIn) else None
    told = [str(clip.emotion).lower() for clip in clips]
    shown = Counter(emotion.NONE if one == emotion.NONE.lower() else one for one in told)
    return {
        f"ceiling (error {error:g})": {
            "accuracy": emotion.ceiling(
                settings.anchors,
                settings.method,
                error,
                agreed,
                study.seed,
                shown_at=posed,
                shown=shown,
                none_radius=settings.none_radius,
            ),
            "error_sd": error,
            "agreement": agreed,
        }
        for error in (*((0.0,) if agreed < 1 else ()), *ERRORS)
    }


def agreement(clips: ClipSet) -> float:
    """Share of recordings whose reported emotion is the expected one, of those that tell both; 1 where none does."""
    same = []
    for clip in clips:
        with EventClip(clip.path) as file:
            told = [str(file.attributes.get(name, "")) for name in ("emotion_expected", "emotion_reported")]
        if all(told):
            same.append(told[0].lower() == told[1].lower())
    return float(np.mean(same)) if same else 1.0


class Counts:
    """Events per polarity before each label of some clips, in `BINS` parts of the history that every model sees."""

    def __init__(self, cell: Cell, clips: ClipSet) -> None:
        history = cell.history_us
        samples = Windows(clips.paths, {"encoding": "counts", "dt": history // BINS}, "ann", BINS, history_us=history)
        samples.in_order = True
        self.counts: NDArray[np.float64] = np.array(
            [samples.encoded(sample).sum(axis=(-1, -2), dtype=np.float64) for sample in samples.samples]
        )
        self.labels = np.array([samples.targets[s.clip][s.label] for s in samples.samples], np.float64)
        self.clips = np.array([s.clip for s in samples.samples])
        self.among = clips

    def of(self, clips: ClipSet) -> "Counts":
        """Those of some of the clips, in the order of these."""
        place = {clip: i for i, clip in enumerate(self.among)}
        own = [np.flatnonzero(self.clips == place[clip]) for clip in clips]
        part, rows = copy(self), np.concatenate(own)
        part.counts, part.labels, part.among = self.counts[rows], self.labels[rows], clips
        part.clips = np.repeat(np.arange(len(own)), [len(one) for one in own])
        return part

    def rows(self, predicted: NDArray[np.float64]) -> list[dict[str, str]]:
        """Rows like those of predictions.csv and transfer.csv."""
        who = [self.among[i] for i in self.clips.tolist()]
        return [
            {
                "subject": clip.subject,
                "clip": clip.clip,
                "emotion": clip.emotion or "",
                "valence": str(y[0]),
                "arousal": str(y[1]),
                "valence_pred": str(p[0]),
                "arousal_pred": str(p[1]),
            }
            for clip, y, p in zip(who, self.labels.tolist(), predicted.tolist(), strict=True)
        ]
