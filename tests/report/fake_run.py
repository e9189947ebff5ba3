"""Writes a run directory that has a study's form and invented contents, to test the report on. No result is in here."""

import csv
import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from spikeva._results import RESULTS_VERSION
from spikeva.evaluation import emotion, metrics, statistics

NAMES = ("valence", "arousal")


def write_run(
    root: Path,
    models: tuple[str, ...] = ("ann_resnet18_fusion", "snn_convnet"),
    encodings: tuple[str, ...] = ("tbr", "spikes"),
    folds: int = 1,
    seeds: int = 1,
    people: int = 6,
    clips: int = 3,
    frames: int = 20,
    gallery: int = 3,
    video: bool = True,
    size: int = 48,
    snn_skill: float = 0.4,
    dataset: str = "afew-va-like",
) -> Path:
    """`root`, filled with results.json, predictions of every cell and example pictures; the same every time."""
    cells, predictions = [], {}
    for seed, fold, encoding, model in product(range(seeds), range(folds), encodings, models):
        kind = model.partition("_")[0]
        key = f"{len(cells):016x}"
        label, guess, who, names = _predict(fold, seed, people, clips, frames, snn_skill if kind == "snn" else 0.6)
        if encoding != encodings[0]:
            guess = 0.8 * guess
        predictions[model, encoding, fold, seed] = label, guess, who
        folder = root / "cells" / key
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "predictions.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["subject", "clip", "frame", "t_us", "valence", "arousal", "valence_pred", "arousal_pred"])
            for i in range(len(label)):
                at = i % frames
                out.writerow([who[i], names[i], at, (at + 1) * 40_000, *label[i].tolist(), *guess[i].tolist()])
        common = {"model": model, "kind": kind, "encoding": encoding, "dataset": dataset, "fold": fold, "seed": seed}
        bits = re.search(r"bits=(\d+)", encoding)
        cells.append(
            common
            | {"time_steps": int(bits[1]) if bits else 8}
            | {"hash": key, "parameters": 4_900_000 if kind == "ann" else 390_000}
            | {"regression": _regression(label, guess, who), "transfer": _transfer(seed), "cost": _cost(kind, encoding)}
        )
    label, _, who, _ = _predict(0, 0, people, clips, frames, 0.0)
    rng = np.random.default_rng(7)
    trivial = {"mean": np.zeros_like(label), "shuffled": rng.permutation(label), "event rate only": 0.1 * label + 0.2}
    baselines = [
        {"model": name, "kind": "baseline", "encoding": None, "dataset": dataset, "fold": 0, "seed": 0}
        | {"regression": _regression(label, guess, who)}
        for name, guess in trivial.items()
    ]
    baselines += [
        {
            "model": name,
            "kind": "baseline",
            "encoding": "",
            "dataset": dataset,
            "fold": None,
            "seed": 0,
            "parameters": 0,
        }
        | {"transfer": {"dataset": "nefer-like", "accuracy": 1 / 7}}
        for name in ("chance", "majority")
    ]
    ceiling = {"dataset": "nefer-like", "accuracy": 0.61, "error_sd": 0.2, "agreement": 1.0}
    baselines.append(baselines[-1] | {"model": "ceiling (error 0.2)", "transfer": ceiling})
    comparisons = []
    if len(models) > 1:
        pairs = [((models[1], e), (models[0], e)) for e in encodings]
        for (a, b), (i, axis) in product(pairs, enumerate(NAMES)):
            label, pa, who = predictions[*a, 0, 0]
            pb = predictions[*b, 0, 0][1]
            args = "ccc", label[:, i], pa[:, i], pb[:, i], who
            ends = statistics.jackknife_difference(*args)
            comparisons.append(
                {
                    "a": " · ".join(a),
                    "b": " · ".join(b),
                    "metric": f"ccc {axis}",
                    "unit": "subject",
                    "synthetic": dataset.endswith("-like"),
                }
                | {"difference": statistics.difference(*args), "ci95": list(ends)}
                | {"p": statistics.paired_permutation(*args, seed=0, n=199)}
            )
    results = {
        "study": {"name": "invented", "config": {"study": "invented", "seed": 0}},
        "cells": cells,
        "baselines": baselines,
        "comparisons": comparisons,
        "environment": {
            "command": "nothing was run",
            "packages": {"torch": "0.0"},
            "spikeva": "0.0.0",
            "results_version": RESULTS_VERSION,
            "python": "3.11",
            "note": "invented numbers, for tests only",
        },
    }
    (root / "results.json").write_text(json.dumps(results, indent=1))
    if gallery:
        arrays = _gallery(gallery, frames, size)
        filmed = ("/frames", "compression/")
        np.savez(root / "gallery.npz", **{k: v for k, v in arrays.items() if video or not any(f in k for f in filmed)})
    return root


def _predict(fold: int, seed: int, people: int, clips: int, frames: int, skill: float) -> tuple[Any, ...]:
    rng = np.random.default_rng([fold, 11])
    turn = np.linspace(0, 1, frames)
    label, who, names = [], [], []
    for person, clip in product(range(people), range(clips)):
        peak = rng.uniform(-0.9, 0.9, 2)
        label.append(np.sin(np.pi * turn)[:, None] ** 2 * peak)
        who += [f"fold{fold}-person{person:02}"] * frames
        names += [f"clip{clip}"] * frames
    y = np.concatenate(label)
    noise = np.random.default_rng([fold, seed, round(1000 * skill)]).normal(0, 0.15, (people * clips, 1, 2))
    wander = (
        np.random.default_rng([fold, seed, 3]).normal(0, 0.04, y.shape).reshape(people * clips, frames, 2).cumsum(1)
    )
    return y, skill * y + (noise + 0.5 * wander).reshape(-1, 2) * (1 - 0.5 * skill), np.array(who), np.array(names)


def _regression(label: Any, guess: Any, who: Any) -> dict[str, Any]:
    return {
        axis: metrics.regression(label[:, i], guess[:, i])
        | {"ccc_ci95": list(statistics.jackknife_interval("ccc", label[:, i], guess[:, i], who))}
        for i, axis in enumerate(NAMES)
    }


def _transfer(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 5])
    names = list(emotion.ANCHORS["face-like"].points)
    true = np.repeat(names, 8)
    predicted = np.where(rng.random(len(true)) < 0.3, true, rng.choice(names, len(true)))
    people = np.tile([f"person{i}" for i in range(8)], len(names))
    return {"dataset": "nefer-like", **emotion.transfer(true, predicted, people)}


def _cost(kind: str, encoding: str) -> dict[str, Any]:
    told = re.search(r"(?:bits|steps)=(\d+)", encoding)
    steps = 1 if encoding.startswith("tbr") else int(told[1]) if told else 8 if encoding == "spikes" else 1
    macs, acs = (80_000_000, 0) if kind == "ann" else (900_000, 1_800_000 * steps)
    layers = [
        {"name": f"blocks.{i}.act", "macs": 0, "acs": acs // 4, "spike_rate": 0.21 / (i + 1) if kind == "snn" else None}
        for i in range(4)
    ]
    return {
        "macs": macs,
        "acs": acs,
        "spike_rate": 0.11 if kind == "snn" else None,
        "energy_pj": 4.6 * macs + 0.9 * acs,
        "latency_ms": 7.5 if kind == "ann" else 3.1 * steps,
        "peak_memory_bytes": 30_000_000,
        "layers": layers,
    }


def _gallery(clips: int, frames: int, size: int) -> dict[str, Any]:
    y, x = np.mgrid[:size, :size] / size - 0.5
    out: dict[str, Any] = {}
    for i in range(clips):
        turn = np.linspace(-0.15, 0.15, frames + 1)
        disc = np.array([(np.hypot(x - t, y) < 0.28) * 130.0 + 60 + 40 * y for t in turn])
        step = np.diff(disc, axis=0)
        out[f"{i}/frames"] = disc[1:].astype(np.uint8)
        out[f"{i}/on"], out[f"{i}/off"] = ((s * step > 20).astype(np.uint16) * 2 for s in (1, -1))
        out[f"{i}/tbr"] = np.where(np.abs(step) > 20, (37 * (i + 1) + np.arange(size) * 5) % 256, 0).astype(np.uint8)
        out[f"{i}/t_us"] = np.arange(1, frames + 1) * 40_000
        out |= {f"{i}/subject": f"fold0-person{i:02}", f"{i}/clip": "clip1", f"{i}/domain": "afew-va-like"}
        middle = out[f"{i}/tbr"][frames // 2]
        out[f"{i}/enc/tbr"] = middle[None]
        out[f"{i}/enc/bitplanes"] = middle[None] >> np.arange(8)[:, None, None] & 1
    for side, extra in (("lossless", 0), ("compressed", 3)):
        out[f"compression/{side}_frame"] = out["0/frames"][5]
        out[f"compression/{side}_on"] = out["0/on"][5] + np.uint16(extra) * (np.indices((size, size)).sum(0) % 8 == 0)
        out[f"compression/{side}_off"] = out["0/off"][5]
    out["compression/note"] = "invented codec, quality 5"
    out["raster/blocks.0.act"] = np.random.default_rng(1).random((32, 60)) < 0.1
    return out
