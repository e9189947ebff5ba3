"""A config says what it means, or every reason why not."""

import pickle
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from spikeva.cli import main
from spikeva.errors import UserError
from spikeva.faces import clip
from spikeva.study import mistakes
from spikeva.study.cells import cells
from spikeva.study.config import load, parse

NAN = float("nan")
CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
TINY = yaml.safe_load((Path(__file__).parents[2] / "configs" / "tiny.yaml").read_text())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_shipped_configs_are_right(path, tmp_path, monkeypatch):
    for root in ("data/afew-va-events", "data/nefer-events"):  # where one of them has its clips
        (tmp_path / root).mkdir(parents=True)
        (tmp_path / root / "clip.h5").touch()
    monkeypatch.chdir(tmp_path)
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
        ("prepared", 1, "config: prepared: unknown key 'prepared'"),
        ("transfer.prepared", 1, "transfer.prepared: unknown key 'prepared'"),
        (
            "training.batch_size",
            1,
            "training.batch_size: found 1, allowed: 2 or more, since PCC and CCC of loss 'emonet'",
        ),
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
        ("window", 3, "window: found 3, allowed: keys with values, as {KEY: VALUE}"),
        ("grid.seeds", 3, "grid.seeds: found 3, allowed: a list, as [A, B]"),
        ("regression.identities", None, "regression.identities: found None, allowed: a whole number"),
        ("regression.pixel", 3, "regression.pixel: found 3, allowed: text or keys with values, as {KEY: VALUE}"),
        ("trainer.devices", 1.5, "trainer.devices: found 1.5, allowed: a whole number or text or a list"),
        ("training.learning_rate", 0, "training.learning_rate: found 0, allowed: greater than 0"),
        ("trainer.precision", "8", "trainer.precision: found '8', allowed: '32-true'"),
        ("evaluation.anchors", "facelike", "did you mean 'face-like'?"),
        ("regression.dataset", "afew-va", "regression.dataset: found 'afew-va', allowed: afew-va-like"),
        (
            "transfer.dataset",
            "nefer",
            "prepared; clips of the real one are {dataset: prepared, root: FOLDER}, with the",
        ),
        ("regression.dataset", "nefer-like", "which has no valence and arousal"),
        ("regression.secnds", 2, "regression.secnds: unknown key 'secnds'; did you mean 'seconds'?"),
        ("regression.pixel", "cleen", "did you mean 'clean'?"),
        (
            "regression.pixel",
            {"pos_thress": 0.2},
            "regression.pixel.pos_thress: unknown key 'pos_thress'; did you mean 'pos_thres'? (allowed: pos_thres, ",
        ),
        ("study", "my study", "study: found 'my study', allowed: letters, digits, '_', '.' and '-', beginning with"),
        ("training.augment", "maybe", "training.augment: found 'maybe', allowed: true or false"),
        (
            "grid.encodings",
            ["tbr"],
            "grid.encodings[0]: found 'tbr', allowed: a name with its parameters, as {encoding: ",
        ),
        ("grid.models", [{"neuron": "lif"}], "grid.models[0].model: this key is missing"),
        ("grid.models", [{"model": "snn_convnet", "neuron": "lff"}], "grid.models[0].neuron: unknown neuron 'lff'"),
        ("grid.models", [{"model": "snn_convnet", "beta": "high"}], "grid.models[0].beta: must be float"),
        ("grid.models", [{"model": "snn_convnet", 1: 2}], "grid.models[0].1: unknown key 1 (allowed: "),
        ("grid.models", ["snn_convnet"], "grid.models[0]: found 'snn_convnet', allowed: "),
        ("grid.models", [{"model": "snn_convnet", "neuron": ["lif"]}], "grid.models[0].neuron: unknown neuron"),
        ("grid.models", [{"model": "snn_convnet", "beta": NAN}], "grid.models[0].beta: found nan, allowed: a finite"),
        ("training.learning_rate", float("inf"), "training.learning_rate: found inf, allowed: a finite number"),
        ("regression.pixel", {"cutoff_hz": NAN}, "regression.pixel"),
        ("regression.pixel", {"pos_thres": 10**400}, "regression.pixel: int too large"),
        ("window.frames", 10**30, "window.frames: found a whole number of 31 digits, allowed: less than 2**63"),
        ("training.epochs", True, "training.epochs: found True, as which YAML reads yes"),
        ("grid.folds", [False], "grid.folds[0]: found False, as which YAML reads"),
        ("regression.seed", -1, "regression.seed: found -1, allowed: greater than or equal to 0"),
        ("trainer.accelerator", "cudaa", "trainer.accelerator: found 'cudaa', allowed: 'auto', 'cpu', 'gpu'"),
        ("trainer.strategy", "ddpp", "did you mean 'ddp'?"),
        ("trainer.strategy", "fsdp", "found 'fsdp', allowed: 'auto', 'ddp'"),
        ("trainer.strategy", "ddp_notebook", "found 'ddp_notebook', allowed: 'auto', 'ddp'"),
        ("trainer.devices", 0, "trainer.devices: found 0, allowed: a number above 0"),
        ("trainer.devices", "foo", "trainer.devices: found 'foo', allowed: a number above 0"),
        ("trainer.devices", [0, 0], "trainer.devices: found [0, 0], allowed: a number above 0"),
        ("regression.seconds", 0.01, "regression.seconds: found 0.01, allowed: enough for a frame"),
        ("regression.label_fps", 0.1, "regression.seconds: found 0.4, allowed: enough for a frame"),
        (
            "regression.seconds",
            1e308,
            "regression.seconds: found 1e+308, which is inf frames or labels, allowed: at most",
        ),
        ("transfer.fps", 1e7, "transfer.seconds: found 0.4, which is 4e+06 frames or labels, allowed: at most 1000000"),
        ("window.frames", 40, "transfer.seconds: found 0.4, where the last label is at 0.36 s; "),
        ("transfer.dataset", "afew-va-like", "transfer.dataset: found 'afew-va-like', whose clips show several"),
        ("transfer.size", 64, "transfer.size: found 64, allowed: 32, as regression.size"),
        ("regression.identities", 3, "regression.identities: found 3, allowed: at least 4, two for each of two folds"),
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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "a: [",
        "\0",
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a: 2001-99-99",
        "a: " + "9" * 5000,
        "[" * 5000 + "]" * 5000,
    ],
)
def test_what_is_not_a_config_is_said(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"odd\.yaml"):
        load(path)
    with pytest.raises(UserError, match="cannot read the config"):
        load(tmp_path / "absent.yaml")


def test_the_longest_clip_is_what_can_be_rendered():
    assert mistakes.MOST == clip.MOST


@pytest.mark.parametrize("text", ["seed: 1\nseed: 2", "window: {frames: 1, frames: 2}"])
def test_a_key_that_stands_twice_is_a_mistake(text, tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text(f"study: s\n{text}\n")
    with pytest.raises(UserError, match=r"twice\.yaml: the key '(seed|frames)' stands twice, in lines 2 and [23]"):
        load(path)


def test_validate_looks_for_clips_and_builds_models(tmp_path, capsys):
    raw = deepcopy(TINY)
    raw["grid"]["models"][1]["width"] = -4
    raw["transfer"] = {"dataset": "prepared", "root": str(tmp_path)}
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(raw))
    assert main(["validate", str(path)]) == 2
    assert "transfer.root: " in (said := capsys.readouterr().err)
    assert "holds no clips" in said
    path.write_text(yaml.safe_dump({**raw, "transfer": None}))
    assert main(["validate", str(path)]) == 2
    assert "grid.models[1]: width must be a whole number above 0, not -4" in capsys.readouterr().err


def test_yes_is_fine_where_it_is_meant():
    raw = deepcopy(TINY)
    raw["training"]["augment"] = False
    raw["trainer"] = {"devices": "auto"}
    raw["regression"]["pixel"] = {"photoreceptor_noise": True, "cutoff_hz": 30, "shot_noise_rate_hz": 1}
    study = parse(raw)
    assert not study.training.augment
    assert study.regression.pixel == raw["regression"]["pixel"]


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
        ("trainer", "precision", "bf16-mixed"),
        ("trainer", "gradient_clip_val", None),
        ("trainer", "num_nodes", 2),
    ]:
        changed = deepcopy(raw)
        changed.setdefault(block, {})[key] = value
        assert not set(keys) & {cell.key for cell in cells(parse(changed))}, key
    for key, value in [("seed", 1), ("folds", 3)]:
        more_people = raw["regression"] | {"identities": 6}
        same = [cell.key for cell in cells(parse(raw | {"regression": more_people}))]
        assert not set(same) & {cell.key for cell in cells(parse(raw | {"regression": more_people, key: value}))}, key
    assert [cell.key for cell in cells(parse(raw | {"trainer": {"accelerator": "cpu"}}))] == keys


def test_an_encoding_that_looks_further_back_makes_other_cells_of_all():
    """Fewer labels have so much of a clip before them; one that looks less far leaves the others alone."""
    raw = deepcopy(TINY)
    keys = {cell.key for cell in cells(parse(raw))}
    for dt, kept in ((2500, True), (10_000, False)):
        grid = raw["grid"] | {"encodings": [*raw["grid"]["encodings"], {"encoding": "counts", "steps": 4, "dt": dt}]}
        assert keys.issubset({cell.key for cell in cells(parse(raw | {"grid": grid}))}) == kept
        assert bool(keys & {cell.key for cell in cells(parse(raw | {"grid": grid}))}) == kept


@pytest.mark.parametrize("asked", ["auto", -1, "-1"])
@pytest.mark.parametrize(
    ("there", "trainer", "meant"), [(0, {}, 1), (1, {}, 1), (2, {}, 2), (2, {"accelerator": "cpu"}, 1)]
)
def test_all_devices_are_their_number(asked, there, trainer, meant, monkeypatch):
    """More devices are larger batches: another result, and another name."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: there)
    found = parse(TINY | {"trainer": {**trainer, "devices": asked}})
    same, other = (parse(TINY | {"trainer": {"devices": number}}) for number in (meant, 3 - meant))
    assert found.trainer.devices == meant
    assert [cell.key for cell in cells(found)] == [cell.key for cell in cells(same)]
    assert not {cell.key for cell in cells(found)} & {cell.key for cell in cells(other)}


def test_a_number_of_devices_in_quotes_is_that_number():
    quoted, plain = (parse(TINY | {"trainer": {"devices": devices}}) for devices in ("1", 1))
    assert quoted == plain
    assert [cell.key for cell in cells(quoted)] == [cell.key for cell in cells(plain)]


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


def test_clips_that_moved_make_the_same_cells(tmp_path):
    def keys(root):
        sources = {name: {"dataset": "prepared", "root": str(root / name)} for name in ("regression", "transfer")}
        return [cell.key for cell in cells(parse(TINY | sources))]

    here, there = tmp_path / "here", tmp_path / "there"
    for name in ("regression", "transfer"):
        (here / name).mkdir(parents=True)
        (here / name / "clip.h5").write_bytes(name.encode())
    found = keys(here)
    here.rename(there)
    assert keys(there) == found
    (there / "transfer" / "clip.h5").write_bytes(b"other")
    assert not set(keys(there)) & set(found)


def test_entries_of_one_name_are_told_apart_by_what_differs():
    raw = deepcopy(TINY)
    raw["grid"]["encodings"] = [{"encoding": "tbr", "bits": bits, "dt": 5000} for bits in (4, 8)]
    labels = [cell.label for cell in cells(parse(raw))]
    assert labels[1] == "snn_convnet · tbr(bits=4)"
    assert labels[3] == "snn_convnet · tbr(bits=8)"


def test_an_option_that_is_written_as_none_has_its_own_name():
    """Two columns of one name would be taken for one model's."""
    raw = deepcopy(TINY)
    raw["grid"]["models"] = [{"model": "snn_convnet"}, {"model": "snn_convnet", "steps": None}]
    labels = {cell.key: cell.label for cell in cells(parse(raw))}
    assert len({*labels.values()}) == len(labels) == 4


def test_code_that_renders_and_simulates_makes_other_cells(tmp_path, monkeypatch):
    stand_in, prepared = deepcopy(TINY), deepcopy(TINY)
    prepared["regression"] = {"dataset": "prepared", "root": str(tmp_path)}
    del prepared["transfer"]
    before = [next(cells(parse(raw))).key for raw in (stand_in, prepared)]
    monkeypatch.setattr("spikeva.study.cells.code_digest", lambda: "other code")
    after = [next(cells(parse(raw))).key for raw in (stand_in, prepared)]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_a_cell_looks_at_its_clips_once_for_its_name(tmp_path, monkeypatch):
    looked = []
    monkeypatch.setattr("spikeva.study.cells.clips_digest", lambda root: looked.append(root) or f"{len(looked)}")
    raw = deepcopy(TINY) | {"regression": {"dataset": "prepared", "root": str(tmp_path)}}
    del raw["transfer"]
    cell = next(cells(parse(raw)))
    assert cell.folder(tmp_path).name == cell.key == pickle.loads(pickle.dumps(cell)).key
    assert looked == [tmp_path]
    assert next(cells(parse(raw))).key != cell.key


@pytest.mark.parametrize("version", ["spikeva.__version__", "spikeva.study.cells.RESULTS_VERSION"])
def test_another_version_makes_other_cells(version, monkeypatch):
    before = {cell.key for cell in cells(parse(TINY))}
    monkeypatch.setattr(version, "another")
    assert not before & {cell.key for cell in cells(parse(TINY))}


def test_a_circle_of_none_makes_other_cells_and_leaves_those_without_alone():
    raw = deepcopy(TINY)
    plain = [cell.key for cell in cells(parse(raw))]
    raw["evaluation"] = {**raw["evaluation"], "none_radius": 0.0}
    assert [cell.key for cell in cells(parse(raw))] == plain
    raw["evaluation"]["none_radius"] = 0.1
    assert not {cell.key for cell in cells(parse(raw))} & set(plain)


def test_changing_events_makes_other_cells_and_leaves_those_without_alone():
    raw = deepcopy(TINY)
    plain = [cell.key for cell in cells(parse(raw))]
    raw["training"]["augment_events"] = None
    assert [cell.key for cell in cells(parse(raw))] == plain
    raw["training"]["augment_events"] = {"drop": 0.1}
    assert not {cell.key for cell in cells(parse(raw))} & set(plain)
