"""A whole study of clips that `spikeva prepare` made of recorded faces: what its tables and its page say of them."""

import json

import numpy as np

from spikeva.cli import main
from spikeva.events import EventStream, write_clip

CONFIG = """
study: films
regression: {dataset: prepared, root: films}
transfer: {dataset: prepared, root: posed}
folds: 2
window: {frames: 2}
grid:
  encodings: [{encoding: tbr, bits: 4, dt: 10000}]
  models: [{model: snn_convnet, width: 2}, {model: ann_convnet, width: 2}]
training: {epochs: 1, max_steps: 1}
evaluation: {cost_samples: 1}
"""


def write_folder(folder, domain, recipe, people, **attributes):
    rng = np.random.default_rng(0)
    folder.mkdir()
    for person in range(people):
        t = np.sort(rng.integers(0, 400_000, 2000))
        events = EventStream(t, *(rng.integers(0, n, 2000) for n in (16, 16, 2)), (16, 16))
        labels = {"t_us": np.arange(11) * 40_000}
        if domain == "afew-va":
            labels |= {axis: rng.uniform(-1, 1, 11).astype(np.float32) for axis in ("valence", "arousal")}
        about = {"subject": f"p{person}", "clip": "c", "domain": domain, "synthetic": 0, **attributes}
        write_clip(folder / f"{person}.h5", events, labels=labels, attributes=about)
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "account.json").write_text(
        json.dumps({"failed": {"c7": "OSError: damaged"} if domain == "nefer" else {}})
    )


def test_recorded_faces_go_by_their_own_name_and_are_never_called_synthetic(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "films", "afew-va", {"dataset": "afew-va", "fps": 25.0, "pixel": {"pos_thres": 0.2}}, 4)
    write_folder(tmp_path / "posed", "nefer", {"dataset": "nefer", "labels": "reported"}, 3, emotion="fear")
    (tmp_path / "films.yaml").write_text(CONFIG)
    assert main(["compare", "films.yaml", "--out", "run"]) == 0
    printed, page = capsys.readouterr().out, (tmp_path / "run" / "report.html").read_text()
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {cell["dataset"] for cell in results["cells"]} == {"afew-va"}
    assert {cell["transfer"]["dataset"] for cell in results["cells"]} == {"nefer"}
    named = {row["model"]: row["dataset"] for row in results["baselines"]}
    assert {named[name] for name in ("mean", "shuffled", "event rate only")} == {"afew-va"}
    assert {named[name] for name in ("chance", "majority", "ceiling (error 0.2)")} == {"nefer"}
    assert "synthetic" not in printed
    assert "simulated" in printed
    body = page[page.index("</style>") :]
    assert "synthetic" not in body
    assert "Zero-shot emotion on nefer" in body
    assert "<dt>regression clips, as prepared</dt><dd>dataset afew-va, fps 25.0, pixel pos_thres 0.2</dd>" in body
    assert (
        "<dt>transfer clips, as prepared</dt><dd>dataset nefer, labels reported, clips that failed and are left out 1 (c7)</dd>"
        in body
    )
