"""Every neuron trained alike on the quick study's stand-in: CCC, spike rate, accumulates and time, as a Markdown table.

    python benchmarks/neuron_variants.py --out runs/variants            the table in runs/variants/neurons.md
    python benchmarks/neuron_variants.py --epochs 2 --neurons lif psn   a shorter look

One `snn_convnet` a neuron, on the config's `spikes` encoding, with the config's people, training and one fold; all else
is the default of each neuron. The numbers are synthetic: rendered faces. Finished networks are not trained again.
"""

import argparse
import copy
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from spikeva.neurons import NEURONS, list_neurons
from spikeva.study.cells import cells
from spikeva.study.config import parse
from spikeva.study.run_cell import run_cell
from spikeva.study.runner import prepare

COLUMNS = (
    "neuron",
    "valence CCC [95 %]",
    "arousal CCC [95 %]",
    "spikes per neuron and step",
    "ACs per sample",
    "training, s",
)


def study_of(config: Path, neurons: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """The config with one `snn_convnet` a neuron in its grid, on spikes alone and without the second domain."""
    raw = copy.deepcopy(yaml.safe_load(config.read_text(encoding="utf-8")))
    raw.pop("transfer", None)
    raw["study"] = "neuron-variants"
    raw["grid"] = {
        "encodings": [e for e in raw["grid"]["encodings"] if e["encoding"] == "spikes"],
        "models": [{"model": "snn_convnet", "neuron": name, "backend": arguments.backend} for name in neurons],
        "folds": [arguments.fold],
        "seeds": [arguments.seed],
    }
    if arguments.epochs is not None:
        raw["training"]["epochs"] = arguments.epochs
    if arguments.data is not None:
        raw["regression"] = {"dataset": "prepared", "root": str(arguments.data)}
    return raw


def row(name: str, result: dict[str, Any], seconds: float) -> list[str]:
    """One line of the table."""

    def score(axis: str) -> str:
        found = result["regression"][axis]
        return f"{found['ccc']:.2f} [{found['ccc_ci95'][0]:.2f}, {found['ccc_ci95'][1]:.2f}]"

    cost = result["cost"]
    return [
        name,
        score("valence"),
        score("arousal"),
        f"{cost['spike_rate']:.3f}",
        f"{cost['acs'] / 1e6:.1f} M",
        f"{seconds:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/quick.yaml"))
    parser.add_argument("--out", type=Path, default=Path("runs/variants"))
    parser.add_argument("--data", type=Path, help="a folder of event clips instead of rendering the config's stand-in")
    parser.add_argument("--epochs", type=int, help="epochs instead of the config's")
    parser.add_argument("--neurons", nargs="+", help="these neurons only")
    parser.add_argument("--backend", default="fused")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    neurons = arguments.neurons or [name for name in list_neurons() if NEURONS.get(name).spiking]
    study = parse(study_of(arguments.config, neurons, arguments))
    material = prepare(study, arguments.out)
    rows = []
    for cell in cells(study):
        result = run_cell(cell, material, arguments.out)
        seconds = json.loads((cell.folder(arguments.out) / "done.json").read_text())["seconds"]["train"]
        rows.append(row(cell.model["neuron"], result, seconds))
        print("  ".join(rows[-1]), flush=True)
    lines = ["| " + " | ".join(line) + " |" for line in [list(COLUMNS), ["---"] * len(COLUMNS), *rows]]
    about = (
        f"Synthetic faces, held-out people, {study.training.epochs} epochs, fold {arguments.fold}, seed {arguments.seed}, "
        f"backend {arguments.backend}; torch {torch.__version__}, numpy {np.__version__}, {platform.machine()}."
    )
    (arguments.out / "neurons.md").write_text("\n".join([*lines, "", about, ""]), encoding="utf-8")
    print(arguments.out / "neurons.md")


if __name__ == "__main__":
    main()
