"""Which differences between models and between encodings can be said of people beyond those seen."""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeva.evaluation import statistics

METRIC = "ccc"
AXES = ("valence", "arousal")
FAMILIES = ("network", "variant", "encoding")
Entry = dict[str, Any]
Scored = dict[str, NDArray[Any]]


def scored(rows: list[dict[str, str]]) -> Scored:
    """What is compared of the rows of a predictions.csv, column by column: rows of text take ten times the memory."""
    numbers = {name: np.array([float(row[name]) for row in rows]) for axis in AXES for name in (axis, f"{axis}_pred")}
    return {"subject": np.array([row["subject"] for row in rows]), **numbers}


def compare(entries: list[Entry], rows: dict[str, Scored], seed: int) -> list[Entry]:
    """Paired differences of the CCC on the same frames: any two models on one encoding, and any two encodings of one model.

    Args:
        entries: the cells of results.json.
        rows: what `scored` gives of each cell's predictions.csv, by its hash.
        seed: of the permutations.

    All folds are taken together, and the metric is averaged over training seeds; of a study that is not finished, those that
    both sides have (see `statistics.crossed`). `p` is of the paired permutation over subjects, `p_holm` is corrected over the
    rows of its `family`: "network", all differences of an SNN and an ANN; "variant", of two SNNs or two ANNs; "encoding", of
    two encodings.
    """
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry["model"], entry["encoding"]), []).append(entry)
    found = []
    for a, b in combinations(groups, 2):
        if not (a[0] == b[0] or a[1] == b[1]) or not _runs(groups[a]) & _runs(groups[b]):
            continue
        kinds = groups[a][0]["kind"], groups[b][0]["kind"]
        family = "encoding" if a[0] == b[0] else "variant" if kinds[0] == kinds[1] else "network"
        if kinds == ("ann", "snn"):
            a, b = b, a  # the spiking net first: a positive difference speaks for it
        found += [_paired(groups[a], groups[b], rows, axis, seed) | {"family": family} for axis in AXES]
    for family in FAMILIES:
        own = [row for row in found if row["family"] == family]
        for row, p in zip(own, statistics.holm([row["p"] for row in own]), strict=True):
            row["p_holm"] = p
    return found


def _paired(a: list[Entry], b: list[Entry], rows: dict[str, Scored], axis: str, seed: int) -> Entry:
    seeds, folds = statistics.crossed(_runs(a) & _runs(b))
    y, pa, subjects = _series(a, seeds, folds, rows, axis)
    _, pb, _ = _series(b, seeds, folds, rows, axis)
    low, high = statistics.jackknife_difference(METRIC, y, pa, pb, subjects)
    return {
        "a": f"{a[0]['model']} · {a[0]['encoding']}",
        "b": f"{b[0]['model']} · {b[0]['encoding']}",
        "metric": f"{METRIC} {axis}",
        "difference": statistics.difference(METRIC, y, pa, pb, subjects),
        "ci95": [low, high],
        "p": statistics.paired_permutation(METRIC, y, pa, pb, subjects, seed),
        "unit": "subject",
        "dataset": a[0]["dataset"],
        "synthetic": a[0]["synthetic"],
    }


def _runs(entries: list[Entry]) -> set[tuple[int, int]]:
    """(seed, fold) of each cell."""
    return {(entry["seed"], entry["fold"]) for entry in entries}


def _series(
    entries: list[Entry], seeds: list[int], folds: list[int], rows: dict[str, Scored], axis: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
    """Labels [n], predictions [seeds, n] and subjects [n], with the folds one after the other."""
    of = {(entry["seed"], entry["fold"]): rows[entry["hash"]] for entry in entries}

    def column(name: str, seed: int = seeds[0]) -> NDArray[Any]:
        return np.concatenate([of[seed, fold][name] for fold in folds])

    return column(axis), np.array([column(f"{axis}_pred", seed) for seed in seeds]), column("subject")
