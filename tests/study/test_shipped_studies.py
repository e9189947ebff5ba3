"""Every shipped study runs from its config to its report, here with few people, pixels and steps."""

import json
from pathlib import Path

import pytest
import yaml

from spikeva.cli import main

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = yaml.safe_load((CONFIGS / "tiny.yaml").read_text())


@pytest.mark.filterwarnings("ignore:spiking layer")  # after one step some are silent, and said to be
@pytest.mark.parametrize(
    "name", ["quick", "encodings", "twins", "bits", "neurons", "paper", "tbr_vs_spikes", "afew_va"]
)
def test_a_shipped_study_in_small(name, tmp_path, capsys):
    raw = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    raw |= {key: TINY[key] for key in ("regression", "transfer", "folds", "window")}
    raw["training"] |= {"epochs": 1, "max_steps": 1, "batch_size": 2, "samples_per_clip": 1, "workers": 0}
    raw["evaluation"] = raw.get("evaluation", {}) | {"cost_samples": 1}
    grid = raw["grid"]
    grid["folds"], grid["seeds"] = [0], [0]
    for model in grid["models"]:
        model["width"] = 4 if model["model"] != "ann_resnet18_transformer" else 8
    for encoding in grid["encodings"]:
        encoding["dt"] = min(encoding["dt"], 5000)
    last = {encoding["encoding"]: encoding for encoding in grid["encodings"]}  # of each kind
    grid["encodings"] = grid["encodings"][:2] if name == "bits" else [*last.values()]
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(raw))
    assert main(["compare", str(path), "--out", str(tmp_path / "run"), "--workers", "0"]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert len(results["cells"]) == len(grid["models"]) * len(grid["encodings"])
    assert not any(cell["cost"]["uncounted"] for cell in results["cells"])
    page = (tmp_path / "run" / "report.html").read_text()
    assert ("How many bits, and at what cost</h2>" in page) == (name == "bits"), "an encoding in two sizes"
