"""A user's own neuron in a study: found from the config, and a cell is done again when its code changes."""

import subprocess
import sys
from copy import deepcopy
from importlib import import_module, reload
from pathlib import Path

import pytest
import yaml

from spikeva._source import source_digest
from spikeva.cli import main
from spikeva.encode.base import REGISTRY as ENCODINGS
from spikeva.errors import UserError
from spikeva.models import MODELS
from spikeva.neurons import NEURONS, SURROGATES
from spikeva.study.cells import cells
from spikeva.study.checks import check_models
from spikeva.study.config import load, parse
from spikeva.study.modules import import_modules
from spikeva.study.runner import run

KEYS = ["ebe93607541fcf9c", "f1e7876fb04315ea", "832568e679fc420c", "7a7637b46ec9c337"]  # of version 0.1.0
ROOT = Path(__file__).parents[2]
TINY = yaml.safe_load((ROOT / "configs" / "tiny.yaml").read_text())
NEURON = '''
from spikeva.neurons import Neuron, register_neuron


def step(x, state, p, rule):
    (v,) = state
    h = p["beta"] * v + 1 * x
    s = rule.fire(h - p["theta"])
    return s, (rule.discharge(h, s, p["theta"]),)


@register_neuron("mine")
class Mine(Neuron):
    """My LIF."""

    step = staticmethod(step)

    def __init__(self, beta: float = 0.9, **options):
        super().__init__(**options)
        self.decay("beta", beta, learn=False)
'''

OWN = {
    "model": """
from torch import nn
from spikeva import register_model


@register_model("ann_own_of_key")
class Mine(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.head = nn.Linear(in_channels, 2)

    def forward(self, x):
        return self.head(x.mean((1, 3, 4)))
""",
    "encoding": """
from dataclasses import dataclass
from spikeva.encode import register_encoding
from spikeva.encode.counts import Counts


@register_encoding("own_of_key")
@dataclass(frozen=True)
class Mine(Counts):
    pass
""",
    "surrogate": """
from dataclasses import dataclass
from spikeva import register_surrogate
from spikeva.neurons.surrogates import Surrogate


@register_surrogate("own_of_key")
@dataclass(frozen=True)
class Mine(Surrogate):
    def derivative(self, u):
        return u * 0 + self.slope
""",
}


@pytest.fixture
def own(tmp_path):
    """A folder with a neuron, and a study of it elsewhere."""
    raw = deepcopy(TINY) | {"modules": ["../own_neuron.py"], "transfer": None}
    raw["grid"]["models"] = [{"model": "snn_convnet", "width": 4, "neuron": "mine"}, {"model": "ann_convnet"}]
    raw["grid"]["encodings"] = raw["grid"]["encodings"][:1]
    (tmp_path / "own_neuron.py").write_text(NEURON)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "own.yaml").write_text(yaml.safe_dump(raw))
    return tmp_path


def forget(folder):
    """As if nothing of `folder` had been imported: what a module registers stays."""
    for registry in (ENCODINGS, MODELS, NEURONS, SURROGATES):
        for name in ("mine", "my_counts", "own_of_key", "ann_own_of_key"):
            registry._entries.pop(name, None)
    for name, module in [*sys.modules.items()]:
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def forgotten(tmp_path, monkeypatch):
    """What is imported from `tmp_path` is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    yield
    forget(tmp_path)


def train(folder):
    """The command that trains the cells of the study."""
    return ["train", str(folder / "configs" / "own.yaml"), "--out", str(folder / "run"), "--workers", "0"]


def keys(folder):
    return [cell.key for cell in cells(load(folder / "configs" / "own.yaml"))]


@pytest.mark.usefixtures("forgotten")
def test_changed_code_makes_other_cells_of_what_uses_it(own):
    command = [sys.executable, "-m", "spikeva", "validate", "configs/own.yaml"]
    done = subprocess.run(command, cwd=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before = keys(own)
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")] == before
    (own / "own_neuron.py").write_text(NEURON.replace("1 * x", "5 * x"))
    forget(own)
    after = keys(own)
    assert before[0] != after[0]
    assert before[1] == after[1], "a model without the neuron"


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("kind", ["model", "encoding", "surrogate"])
def test_changed_code_of_a_model_an_encoding_or_a_surrogate_makes_other_cells(kind, tmp_path):
    raw = deepcopy(TINY) | {"modules": ["own_of_key.py"]}
    raw["grid"]["encodings"] = [{"encoding": "own_of_key" if kind == "encoding" else "counts", "dt": 5000}]
    surrogate = {"surrogate": "own_of_key" if kind == "surrogate" else "atan"}
    raw["grid"]["models"] = [{"model": "ann_own_of_key"}] if kind == "model" else [{"model": "snn_convnet"} | surrogate]
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(raw))

    def key(more=""):
        (tmp_path / "own_of_key.py").write_text(OWN[kind] + more)
        forget(tmp_path)
        return next(cells(load(tmp_path / "own.yaml"))).key

    assert key() == key() != key("X = 1\n")


def place(tmp_path, package):
    """A folder for modules, and what stands before the name of one that another there imports."""
    folder, above = (tmp_path / "theirs", ".") if package else (tmp_path, "")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").touch()
    return folder, above


def digest():
    return source_digest(NEURONS.get("mine"))


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("package", [False, True])
def test_code_that_a_module_imports_from_beside_it_counts(package, tmp_path):
    folder, above = place(tmp_path, package)
    (folder / "own_neuron.py").write_text(f"import numpy\nfrom {above}gain import GAIN\n" + NEURON)
    (folder / "gain.py").write_text("from . import deeper\nGAIN = 1\n" if package else "import deeper\nGAIN = 1\n")
    (folder / "deeper.py").write_text("X = 1\n")
    (folder / "unused.py").write_text("X = 1\n")
    import_modules(["theirs.own_neuron" if package else "own_neuron.py"], tmp_path)

    seen = [digest()]
    for changed in ("unused", "gain", "deeper"):
        with (folder / f"{changed}.py").open("a") as file:
            file.write("Y = 2\n")
        seen.append(digest())
    assert seen[0] == seen[1]
    assert len({*seen}) == 3


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("package", [False, True])
def test_of_an_installed_package_all_code_counts_and_of_an_installed_file_that_file(package, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    folder, _ = place(tmp_path / "site-packages", package)
    (folder / "deep").mkdir()
    (folder / "own_neuron.py").write_text(NEURON)
    (folder / "deep" / "unread.py").write_text("X = (\n")  # no file is parsed: a large package has thousands
    import_modules(["theirs.own_neuron" if package else "own_neuron"])

    before = digest()
    (folder / "deep" / "unread.py").write_text("X = [\n")
    assert (digest() != before) == package
    before = digest()
    (folder / "own_neuron.py").write_text(NEURON.replace("1 * x", "5 * x"))
    assert digest() != before


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("package", [False, True])
def test_code_that_a_function_imports_counts_before_it_runs(package, tmp_path):
    folder, above = place(tmp_path, package)
    late = f"    from {above}gain import GAIN\n    (v,) = state\n"
    (folder / "own_neuron.py").write_text(NEURON.replace("    (v,) = state\n", late).replace("1 * x", "GAIN * x"))
    (folder / "gain.py").write_text("GAIN = 1\n")
    import_modules(["theirs.own_neuron" if package else "own_neuron.py"], tmp_path)

    before = digest()
    (folder / "gain.py").write_text("GAIN = 5\n")
    after = digest()
    assert before != after
    import_module("theirs.gain" if package else "gain")
    assert digest() == after


@pytest.mark.usefixtures("forgotten")
def test_a_study_is_not_run_with_code_that_was_changed_after_its_import(own):
    study = load(own / "configs" / "own.yaml")
    check_models(study)
    before = keys(own)
    (own / "own_neuron.py").write_text(NEURON.replace("1 * x", "5 * x"))
    assert keys(own) == before, "the old code runs, whatever the file says by now"
    with pytest.raises(UserError, match=r"neuron 'mine': its file, .* has changed since this process imported it"):
        check_models(load(own / "configs" / "own.yaml"))
    reload(sys.modules["own_neuron"])
    check_models(study)
    assert keys(own) != before


def test_a_study_refuses_what_is_written_in_no_file_before_it_makes_clips(tmp_path, monkeypatch):
    monkeypatch.setattr(MODELS, "_entries", {**MODELS._entries})
    exec(OWN["model"], {"__name__": "no_module"})
    study = parse(TINY | {"grid": TINY["grid"] | {"models": [{"model": "ann_own_of_key"}]}})
    with pytest.raises(UserError, match="'ann_own_of_key' is written in no file"):
        run(study, tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("forgotten")
def test_a_trained_cell_finds_its_neuron_and_knows_when_it_changed(own, capsys):
    assert main([*train(own), "--model", "snn_*"]) == 0
    forget(own)
    (cell,) = (own / "run" / "cells").iterdir()
    films = str(next((own / "run" / "data" / "events").glob("afew-va-like-*")))
    again = ["evaluate", str(cell), "--clips", films]
    assert main(again) == 0
    (own / "own_neuron.py").write_text(NEURON.replace("1 * x", "5 * x"))
    forget(own)
    assert main(again) == 2
    assert "was trained with other code of neuron mine" in capsys.readouterr().err


@pytest.mark.usefixtures("forgotten")
def test_list_knows_them(own, capsys, monkeypatch):
    monkeypatch.chdir(own)
    assert main(["list", "neurons", "--modules", "own_neuron.py"]) == 0
    assert "mine" in capsys.readouterr().out
    for kind in ("neurons", "models"):
        assert main(["list", kind, "xx*"]) == 2
        assert f"no name among the {kind} matches 'xx*'" in capsys.readouterr().err


@pytest.mark.usefixtures("forgotten")
def test_loading_processes_know_an_own_encoding(own):
    (own / "own_encoding.py").write_text(
        "from dataclasses import dataclass\n\nfrom spikeva.encode import register_encoding\n"
        'from spikeva.encode.counts import Counts\n\n\n@register_encoding("my_counts")\n@dataclass(frozen=True)\n'
        "class Mine(Counts):\n    pass\n"
    )
    raw = yaml.safe_load((own / "configs" / "own.yaml").read_text())
    raw |= {"modules": ["../own_encoding.py"], "training": {**raw["training"], "workers": 1}}
    raw["grid"] |= {"encodings": [{"encoding": "my_counts"}], "models": [{"model": "ann_convnet", "width": 4}]}
    raw |= {"window": {"frames": 1}}
    (own / "configs" / "own.yaml").write_text(yaml.safe_dump(raw))
    assert main(train(own)) == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent.py", "absent.py does not exist; name a Python file"),
        ("no_such_module", "cannot import 'no_such_module': ModuleNotFoundError"),
        ("broken.py", "cannot import 'broken': ZeroDivisionError"),
        ("json.py", "another module is called 'json'"),
        ("part.py", "no known parent package; a file of a package is named as a module"),
    ],
)
def test_a_module_that_cannot_be_had_is_said(name, said, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    for file in ("broken.py", "json.py"):
        (tmp_path / file).write_text("1 / 0\n")
    (tmp_path / "part.py").write_text("from . import broken\n")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(TINY | {"modules": [name]}))
    with pytest.raises(UserError) as error:
        load(tmp_path / "own.yaml")
    assert said in str(error.value)


def test_cells_of_spikevas_own_things_keep_their_names(monkeypatch):
    """Results that were found when these were written down are found now, unless stand-ins are rendered by other code."""
    monkeypatch.setattr("spikeva.study.cells.code_digest", lambda: "0" * 12)
    assert [cell.key for cell in cells(parse(TINY))] == KEYS
    assert [cell.key for cell in cells(parse(TINY | {"modules": ["json"]}))] == KEYS
