"""What a report is made from: results.json, the predictions and the example pictures of one or several run directories."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikeva._results import RESULTS_VERSION, check_written
from spikeva.errors import UserError
from spikeva.evaluation import metrics, statistics

Cell = dict[str, Any]
AXES = ("valence", "arousal")


@dataclass(frozen=True)
class Predictions:
    """Labels and predictions of held-out people, one row a labelled frame; `label` and `predicted` are [n, 2] (valence, arousal)."""

    subject: npt.NDArray[np.str_]
    clip: npt.NDArray[np.str_]
    t_us: npt.NDArray[np.int64]
    label: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.float64]

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """The predictions in a predictions.csv. Raises UserError for a file that has other columns, holds no row or cannot be read."""
        needed = ("subject", "clip", "t_us", "valence", "arousal", "valence_pred", "arousal_pred")
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = csv.reader(file)
                header = next(rows, [])
                columns = dict(zip(header, zip(*rows, strict=True), strict=True))
            if missing := [name for name in needed if name not in columns]:
                raise ValueError(f"no values for {', '.join(missing)}")
            times = np.array(columns["t_us"], np.int64)
            number = {name: np.array(columns[name], np.float64) for name in needed[3:]}
        except (ValueError, csv.Error) as error:
            raise UserError(
                f"{path} is damaged ({error}); delete done.json beside it and run the study again to write it anew"
            ) from error
        return cls(
            np.array(columns["subject"]),
            np.array(columns["clip"]),
            times,
            np.stack([number["valence"], number["arousal"]], 1),
            np.stack([number["valence_pred"], number["arousal_pred"]], 1),
        )

    def select(self, rows: npt.NDArray[Any]) -> "Predictions":
        """The given rows (a mask or indices)."""
        return Predictions(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def sorted(self) -> "Predictions":
        """The rows by person, clip and time: two models on the same people then stand row by row beside each other."""
        return self.select(np.lexsort((self.t_us, self.clip, self.subject)))

    def clips(self) -> list[tuple[str, str]]:
        """(subject, clip) of every clip, sorted."""
        return sorted(set(zip(self.subject.tolist(), self.clip.tolist(), strict=True)))

    def clip_of(self, subject: str, clip: str) -> "Predictions":
        """One clip in the order of time."""
        return self.select((self.subject == subject) & (self.clip == clip)).sorted()

    def clip_means(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Mean label and mean prediction of each clip, [clips, 2] each."""
        names = np.char.add(np.char.add(self.subject, "\x1f"), self.clip)
        _, which = np.unique(names, return_inverse=True)
        size = np.bincount(which)[:, None]
        sums = [np.stack([np.bincount(which, v[:, i]) for i in (0, 1)], 1) for v in (self.label, self.predicted)]
        return sums[0] / size, sums[1] / size


@dataclass(frozen=True)
class Score:
    """A number, its 95 % interval over people (None where it is not known) and its range over seeds (None for one seed)."""

    value: float
    interval: tuple[float, float] | None = None
    seeds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Row:
    """One line of the tables: the cells (folds, seeds) of one model on one encoding and dataset, taken together."""

    run: str
    model: str
    kind: str
    encoding: str
    dataset: str
    synthetic: bool
    cells: tuple[Cell, ...]
    ccc: dict[str, Score] = field(default_factory=dict)  # by axis; empty for what predicts an emotion only

    @property
    def name(self) -> str:
        return f"{self.model} · {self.encoding}" if self.encoding else self.model

    def split(self) -> list["Row"]:
        """Each of the cells as a row of its own."""
        return [
            replace(self, cells=(cell,), ccc={axis: single_score(cell, axis) for axis in AXES}) for cell in self.cells
        ]

    def values(self, *path: str) -> list[Any]:
        """What each of the cells has at `path`; None where it lacks it."""
        return [_dig(cell, path) for cell in self.cells]

    def mean(self, *path: str) -> float | None:
        """Mean over the cells of the number at `path`; None where a cell lacks it."""
        values = self.values(*path)
        return None if any(v is None for v in values) else float(np.mean(np.array(values, float)))

    def transfer(self, name: str = "accuracy") -> Score | None:
        """Mean accuracy of the zero-shot emotion over the cells, or another score of it, and their intervals' mean ends.

        All cells are scored on the same people, so this interval is no narrower than that of the mean (chosen here).
        """
        value = self.mean("transfer", name)
        if value is None:
            return None
        ends = self.values("transfer", f"{name}_ci95")
        if any(pair is None for pair in ends):
            return Score(value)
        low, high = np.mean(ends, axis=0)
        return Score(value, (float(low), float(high)))

    @property
    def several_seeds(self) -> bool:
        """Whether the row was trained with more than one seed."""
        return len({*self.values("seed")}) > 1

    @property
    def data(self) -> str:
        """What the row's numbers are of: "synthetic" faces, "recorded" ones, or a ceiling "simulated" for these."""
        ceiling = any(error is not None for error in self.values("transfer", "error_sd"))
        return "synthetic" if self.synthetic else "simulated" if ceiling else "recorded"

    @property
    def transfer_synthetic(self) -> bool:
        """Whether the recordings of the transfer are synthetic, which those that the row learned from need not be."""
        return any(is_synthetic(found) for found in self.values("transfer") if found)

    def confusion(self) -> tuple[npt.NDArray[np.float64], list[str]] | None:
        """Counts [true, predicted] summed over the cells, and the class names."""
        found = [transfer for transfer in self.values("transfer") if transfer and transfer.get("confusion")]
        if not found:
            return None
        # has "None", the last class, which only some cells may predict
        largest = max(found, key=lambda t: len(t["confusion"]))
        total = np.zeros(np.shape(largest["confusion"]))
        for counts in (np.asarray(t["confusion"], float) for t in found):
            total[: len(counts), : len(counts)] += counts
        return total, [str(c) for c in largest.get("labels") or range(len(total))]


def is_synthetic(found: Mapping[str, Any]) -> bool:
    """Whether scores or an example clip are of synthetic data: as they say; where they do not, by the dataset's name."""
    name = str(found.get("dataset") or found.get("domain"))
    return bool(found.get("synthetic", name.endswith("-like")))


def single_score(cell: Cell, axis: str) -> Score:
    """The CCC of one cell, as the study wrote it."""
    found = cell["regression"][axis]
    return Score(found["ccc"], tuple(found["ccc_ci95"]) if found.get("ccc_ci95") else None)


def _place(cell: Cell) -> tuple[Any, Any]:
    return cell.get("seed"), cell.get("fold")


def _dig(cell: Any, path: Sequence[str]) -> Any:
    for key in path:
        cell = (cell or {}).get(key)
    return cell


class Run:
    """One run directory, read."""

    def __init__(self, results: Mapping[str, Any], directory: Path) -> None:
        """Take `results` (results.json, read) whose predictions lie under `directory`.

        Raises:
            UserError: these are not the results of a study, or of one without a finished cell.
        """
        try:
            self.cells: list[Cell] = list(results["cells"])
            self.study: dict[str, Any] = dict(results["study"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{directory}: not the results of a study ({error!r}); run the study again") from error
        if not self.cells:
            raise UserError(f"{directory}: no finished cell in the results; run the study again")
        self.directory = directory
        self.name = str(self.study.get("name", directory.name))
        self.config: dict[str, Any] = self.study.get("config") or {}
        self.baselines: list[Cell] = results.get("baselines", [])
        self.comparisons: list[dict[str, Any]] = results.get("comparisons", [])
        self.environment: dict[str, Any] = results.get("environment", {})
        self.read = cache(self._read)

    @classmethod
    def open(cls, directory: Path) -> "Run":
        """The run in `directory`. Raises UserError where there is no results.json, or none of a study."""
        path = directory / "results.json"
        if not path.is_file():
            raise UserError(
                f"{directory} holds no results.json: give the directory of a finished study "
                "(spikeva compare CONFIG --out DIRECTORY writes one)"
            )
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path} is not JSON ({error}); run the study again") from error
        return cls(results, directory)

    @classmethod
    def open_all(cls, directories: Sequence[Path]) -> list["Run"]:
        """The runs in `directories`; those of one name bear their directory too, so that they are told apart.

        Raises UserError as `open` does, and where a directory is given twice.
        """
        places = [directory.resolve() for directory in directories]
        for i, (place, directory) in enumerate(zip(places, directories, strict=True)):
            if place in places[:i]:
                first = directories[places.index(place)]
                also = f" (as {first}, too)" if first != directory else ""
                raise UserError(f"{directory} is given twice{also}; a report takes each run once")
        runs = [cls.open(directory) for directory in directories]
        names = [run.name for run in runs]
        for run in runs:
            if names.count(run.name) > 1:
                run.name = f"{run.name} ({run.directory})"
        return runs

    def _read(self, cell_hash: str) -> Predictions | None:
        path = self.directory / "cells" / cell_hash / "predictions.csv"
        if not path.is_file():
            return None
        check_written(path)
        return Predictions.read(path)

    def predictions(self, row: Row) -> Predictions | None:
        """Predictions of the row's first seed, all folds, sorted by person, clip and time; None where files are missing."""
        found = self.seeds(row.cells)
        return found[0] if found else None

    def seeds(self, cells: Sequence[Cell]) -> list[Predictions]:
        """Predictions of each seed over all folds, sorted by person, clip and time; empty where files are missing.

        Of a study that is not finished, the seeds that have the most folds.
        """
        of = {_place(cell): cell for cell in cells}
        seeds, folds = statistics.crossed(of)
        out = []
        for seed in seeds:
            found = [p for fold in folds if (p := self.read(str(of[seed, fold].get("hash")))) is not None]
            if len(found) < len(folds):
                return []
            names = Predictions.__dataclass_fields__
            out.append(Predictions(*(np.concatenate([getattr(p, n) for p in found]) for n in names)).sorted())
        return out

    def unfinished(self) -> str:
        """`2 of 8 cells are not finished`; nothing where all are, or where the config does not tell how many there should be."""
        grid = self.config.get("grid") or {}
        planned = math.prod(len(grid.get(part) or []) for part in ("models", "encodings", "folds", "seeds"))
        missing = planned - len(self.cells)
        return f"{missing} of {planned} cells {'is' if missing == 1 else 'are'} not finished" if missing > 0 else ""

    def outdated(self) -> str:
        """What to say of results of another version of spikeva, whose numbers are not those of the same config now; nothing of this one's."""
        found = self.environment.get("results_version")
        if found == RESULTS_VERSION:
            return ""
        of = f"results version {found}" if found else "an early version"
        return f"made by another spikeva ({of}; this one has {RESULTS_VERSION}): the same config may give other numbers now; run the study again"

    def shared(self, a: Row, b: Row) -> tuple[Row, Row] | None:
        """Both rows with the cells whose seed and fold the other has too, and their CCCs; None where they share none.

        Scores over different people or seeds say nothing beside each other.
        """
        both = {_place(cell) for cell in a.cells} & {_place(cell) for cell in b.cells}
        if not both:
            return None
        return self._cut(a, both), self._cut(b, both)

    def _cut(self, row: Row, places: set[tuple[Any, Any]]) -> Row:
        kept = [cell for cell in row.cells if _place(cell) in places]
        if len(kept) == len(row.cells):
            return row
        return replace(row, cells=tuple(kept), ccc={axis: self._score(kept, axis) for axis in row.ccc})

    def rows(self) -> list[Row]:
        """One row for each model, encoding and dataset, in the order of the results; the baselines last."""
        groups: dict[tuple[str, ...], list[Cell]] = {}
        for cell in [*self.cells, *({"kind": "baseline", **b} for b in self.baselines)]:
            key = tuple(str(cell.get(k) or "") for k in ("model", "kind", "encoding", "dataset"))
            groups.setdefault(key, []).append(cell)
        rows = []
        for (model, kind, encoding, dataset), cells in groups.items():
            synthetic = all(map(is_synthetic, cells))
            ccc = {axis: self._score(cells, axis) for axis in AXES if all("regression" in c for c in cells)}
            rows.append(Row(self.name, model, kind, encoding, dataset, synthetic, tuple(cells), ccc))
        return rows

    def _score(self, cells: Sequence[Cell], axis: str) -> Score:
        """The CCC of a group of cells, over the people of all folds together, averaged over seeds."""
        if len(cells) == 1:
            return single_score(cells[0], axis)
        if all("pooled" in cell for cell in cells):  # a baseline's, which has no predictions to read
            return single_score({"regression": cells[0]["pooled"]}, axis)
        i = AXES.index(axis)
        if pooled := self.seeds(cells):
            first = pooled[0]
            values = [float(metrics.regression(p.label[:, i], p.predicted[:, i])["ccc"]) for p in pooled]
            stack = np.stack([p.predicted[:, i] for p in pooled])
            interval: tuple[float, float] | None = statistics.jackknife_interval(
                "ccc", first.label[:, i], stack, first.subject
            )
        else:
            each: dict[Any, list[float]] = {}
            for cell in cells:
                each.setdefault(cell.get("seed"), []).append(float(cell["regression"][axis]["ccc"]))
            values, interval = [float(np.mean(v)) for v in each.values()], None
        return Score(float(np.mean(values)), interval, (min(values), max(values)) if len(values) > 1 else None)

    def gallery(self) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """The arrays of gallery.npz by group (a clip's number, "compression", "raster"), then by name; empty without the file.

        Raises UserError where it is damaged.
        """
        path = self.directory / "gallery.npz"
        groups: dict[str, dict[str, npt.NDArray[Any]]] = {}
        if path.is_file():
            try:
                with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                    for key in arrays.files:
                        group, _, name = key.partition("/")
                        groups.setdefault(group, {})[name] = arrays[key]
            except Exception as error:  # a damaged archive fails in whatever layer meets the damage first
                raise UserError(f"{path} is damaged; delete it and run the study again to make it anew") from error
        return groups

    def examples(self) -> list[dict[str, npt.NDArray[Any]]]:
        """The example clips of the gallery; "frames" are those of the video, where there is one beside the events."""
        numbered = sorted((int(key), group) for key, group in self.gallery().items() if key.isdigit())
        return [group for _, group in numbered if len(group["t_us"])]
