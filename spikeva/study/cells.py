"""The cells of a study: one model on one encoding, one fold, one seed. What determines a cell's result names its folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import spikeva
from spikeva._results import RESULTS_VERSION
from spikeva.datasets.standins import code_digest
from spikeva.encode import Kind, channels, create, span_us
from spikeva.encode.base import name_and_options
from spikeva.study.config import Prepared, StandIn, Study
from spikeva.study.files import clips_digest, digest, file_digest
from spikeva.study.modules import code_of


@dataclass(frozen=True)
class Cell:
    """One run. `model` and `encoding` are as in the config: a name under "model" or "encoding", and parameters."""

    study: Study
    model: dict[str, Any]
    encoding: dict[str, Any]
    fold: int
    seed: int
    known_history_us: int | None = None  # of a trained cell, whose study had more encodings than its own

    @property
    def kind(self) -> Kind:
        """ "ann" or "snn"."""
        return "snn" if str(self.model["model"]).startswith("snn_") else "ann"

    @property
    def model_label(self) -> str:
        """The model, with the parameters that tell it from others of the grid."""
        return _label(self.model, "model", self.study.grid.models)

    @property
    def encoding_label(self) -> str:
        """The encoding, as `model_label`."""
        return _label(self.encoding, "encoding", self.study.grid.encodings)

    @property
    def label(self) -> str:
        """Both of them."""
        return f"{self.model_label} · {self.encoding_label}"

    @property
    def history_us(self) -> int:
        """How much of a clip stands before a label that is used: the longest that any encoding of the grid needs."""
        if self.known_history_us is not None:
            return self.known_history_us
        encodings = map(name_and_options, self.study.grid.encodings)
        return self.study.window.frames * max(span_us(name, **options) for name, options in encodings)

    @property
    def time_steps(self) -> int:
        """Into how many parts of time the encoding cuts a window."""
        name, options = name_and_options(self.encoding)
        return create(name, **options).grid[0]

    @property
    def channels(self) -> int:
        """C of its model's input."""
        name, options = name_and_options(self.encoding)
        return channels(name, self.kind, **options)

    def determinants(self) -> dict[str, Any]:
        """Everything that the result follows from, and where the user's modules and clips are found."""
        study = self.study.model_dump(mode="json", exclude={"study", "question", "grid"})
        study["trainer"] = {k: study["trainer"][k] for k in ("precision", "gradient_clip_val", "devices", "num_nodes")}
        study["training"].pop("workers")
        if prepared := prepared_clips(self.study):
            study["clips"] = prepared
        if any(isinstance(source, StandIn) for source in self.study.sources.values()):
            study["standins"] = code_digest()
        if code := code_of(self.model, self.encoding):
            study["code"] = code
        if weights := pretrained_weights(self.model):
            study["pretrained"] = weights
        return {
            "spikeva": spikeva.__version__,
            "results_version": RESULTS_VERSION,
            **study,
            "history_us": self.history_us,
            "model": self.model,
            "encoding": self.encoding,
            "fold": self.fold,
            "run_seed": self.seed,
        }

    @cached_property
    def key(self) -> str:
        """What names the cell's folder, from when it is first asked for: each time would look at every file of clips."""
        counted = {k: v for k, v in self.determinants().items() if k != "modules"}  # their `code` counts
        for name in counted.get("clips", ()):  # as do clips, wherever they lie
            counted[name].pop("root")
        return digest(counted)

    def folder(self, out: Path) -> Path:
        return out / "cells" / self.key


def prepared_clips(study: Study) -> dict[str, str]:
    """A digest of the clips in each folder of a study: a stand-in's follow from its settings and code, these from files alone."""
    return {name: clips_digest(source.root) for name, source in study.sources.items() if isinstance(source, Prepared)}


def pretrained_weights(model: dict[str, Any]) -> str | None:
    """A digest of the file of weights that a model starts from; None where it names none that is there."""
    path = Path(str(model.get("pretrained", ""))).expanduser()
    return file_digest(path) if path.is_file() else None


def _label(entry: dict[str, Any], kind: str, among: list[dict[str, Any]]) -> str:
    """The name of an entry, with the parameters in which it differs from others of the same name."""
    twins = [other for other in among if other[kind] == entry[kind]]
    differing = [k for k in entry if k != kind and any(k not in other or other[k] != entry[k] for other in twins)]
    inside = ", ".join(f"{k}={entry[k]}" for k in differing)
    return f"{entry[kind]}({inside})" if inside else str(entry[kind])


def cells(study: Study) -> Iterator[Cell]:
    """The cells of a study, in the order in which they run."""
    grid = study.grid
    for seed, fold, encoding, model in product(grid.seeds, grid.folds, grid.encodings, grid.models):
        yield Cell(study, model, encoding, fold, seed)
