"""A config says what it means, or every reason why not."""

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from spikeva.cli import main
from spikeva.errors import UserError
from spikeva.study.cells import cells
from spikeva.study.config import load, parse

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
TINY = yaml.safe_load((Path(__file__).parents[2] / "configs" / "tiny.yaml").read_text())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_shipped_configs_are_right(path):
    assert list(cells(load(path)))


def test_all_mistakes_at_once_each_with_its_remedy(tmp_path, capsys):
    raw = deepcopy(TINY)
    raw["grid"]["models"][1] |= {"model": "snn_convnt", "bta": 0.9}
    raw["grid"]["encodings"][0]["bits"] = "eight"
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(raw))
    assert main(["validate", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "grid.models[1].model: found 'snn_convnt'" in lines[0]
    assert lines[0].endswith("did you mean 'snn_convnet'?")
    assert "grid.models[1].bta: unknown key 'bta'; did you mean 'beta'?" in lines[1]
    assert "grid.encodings[0].bits: found 'eight', allowed: a whole number from 1 to 16" in lines[2]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("windo", 3, "windo: unknown key 'windo'; did you mean 'window'?"),
        ("folds", 9, "folds: found 9, allowed: 2 to 2, so that each tests two people"),
        ("grid.folds", [2], "grid.folds: found 2, allowed: 0 to 1"),
        ("grid.seeds", [0, 0], "grid.seeds[1]: the same as grid.seeds[0]"),
        (
            "training.augment_events",
            {"dropp": 0.1},
            "training.augment_events.dropp: unknown key 'dropp'; did you mean 'drop'?",
        ),
        (
            "training.augment_events",
            {"drop": 2},
            "training.augment_events.drop: found 2, allowed: less than or equal to 1",
        ),
        ("training.loss", "mae", "training.loss: found 'mae', allowed: "),
        ("training.learning_rate", 0, "training.learning_rate: found 0, allowed: greater than 0"),
        ("trainer.precision", "8", "trainer.precision: found '8', allowed: '32-true'"),
        ("evaluation.anchors", "facelike", "did you mean 'face-like'?"),
        ("regression.dataset", "afew-va", "regression.dataset: found 'afew-va', allowed: afew-va-like"),
        ("regression.dataset", "nefer-like", "which has no valence and arousal"),
        ("regression.secnds", 2, "regression.secnds: unknown key 'secnds'; did you mean 'seconds'?"),
        ("regression.pixel", "cleen", "did you mean 'clean'?"),
        ("grid.models", [{"neuron": "lif"}], "grid.models[0].model: this key is missing"),
        ("grid.models", [{"model": "snn_convnet", "neuron": "lff"}], "grid.models[0].neuron: unknown neuron 'lff'"),
        ("grid.models", [{"model": "snn_convnet", "beta": "high"}], "grid.models[0].beta: must be float"),
        ("grid.models", [{"model": "snn_convnet", 1: 2}], "grid.models[0].1: unknown key 1 (allowed: "),
        ("grid.models", ["snn_convnet"], "grid.models[0]: found 'snn_convnet', allowed: "),
    ],
)
def test_a_mistake_names_key_finding_and_remedy(key, value, said):
    raw = deepcopy(TINY)
    *path, last = key.split(".")
    block = raw
    for part in path:
        block = block.setdefault(part, {})
    block[last] = value
    with pytest.raises(UserError) as error:
        parse(raw)
    assert said in str(error.value)
    assert str(error.value).startswith("config: ")


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "\0"])
def test_what_is_not_a_config_is_said(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"odd\.yaml"):
        load(path)
    with pytest.raises(UserError, match="cannot read the config"):
        load(tmp_path / "absent.yaml")


def test_a_cells_folder_follows_from_what_determines_its_result():
    raw = deepcopy(TINY)
    keys = [cell.key for cell in cells(parse(raw))]
    assert len(set(keys)) == len(keys) == 4
    assert [cell.key for cell in cells(parse(deepcopy(raw)))] == keys
    renamed = deepcopy(raw) | {"study": "other", "question": "why?", "training": raw["training"] | {"workers": 1}}
    assert [cell.key for cell in cells(parse(renamed))] == keys
    for block, key, value in [
        ("training", "learning_rate", 0.1),
        ("regression", "nuisance", 0.1),
        ("transfer", "seed", 7),
        ("window", "frames", 3),
        ("evaluation", "pooling", "peak"),
    ]:
        changed = deepcopy(raw)
        changed[block][key] = value
        assert not set(keys) & {cell.key for cell in cells(parse(changed))}, key


def test_clips_that_changed_make_other_cells(tmp_path):
    raw = deepcopy(TINY) | {"regression": {"dataset": "prepared", "root": str(tmp_path / "clips")}}
    found = [[cell.key for cell in cells(parse(raw))]]
    (tmp_path / "clips").mkdir()
    for name, content in [("a", b"1"), ("a", b"2"), ("b", b"2")]:
        (tmp_path / "clips" / f"{name}.h5").write_bytes(content)
        found.append([cell.key for cell in cells(parse(raw))])
    assert len({key for keys in found for key in keys}) == 16
    (tmp_path / "clips" / "account.json").write_text("{}")
    assert [cell.key for cell in cells(parse(raw))] == found[-1]


def test_entries_of_one_name_are_told_apart_by_what_differs():
    raw = deepcopy(TINY)
    raw["grid"]["encodings"] = [{"encoding": "tbr", "bits": bits, "dt": 5000} for bits in (4, 8)]
    labels = [cell.label for cell in cells(parse(raw))]
    assert labels[1] == "snn_convnet · tbr(bits=4)"
    assert labels[3] == "snn_convnet · tbr(bits=8)"


def test_changing_events_makes_other_cells_and_leaves_those_without_alone():
    raw = deepcopy(TINY)
    plain = [cell.key for cell in cells(parse(raw))]
    raw["training"]["augment_events"] = None
    assert [cell.key for cell in cells(parse(raw))] == plain
    raw["training"]["augment_events"] = {"drop": 0.1}
    assert not {cell.key for cell in cells(parse(raw))} & set(plain)
