"""The shape of the package: what imports what, and what a light command may cost."""

import ast
import inspect
import io
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import spikeva
from spikeva.cli import COMMANDS
from spikeva.errors import UserError
from spikeva.events import read_events

ROOT = Path(spikeva.__file__).parent
ORDER = ["events", "neurons", "simulate", "encode", "faces", "models", "datasets", "training", "evaluation", "report"]
ORDER += ["study", "live", "cli"]
MAY_IMPORT = {
    "events": set(),
    "neurons": set(),
    "simulate": {"events"},
    "encode": {"events"},
    "faces": set(),
    "models": {"neurons"},
    "datasets": {"events", "simulate", "encode", "faces"},
    "training": {"datasets", "models", "encode", "events"},
    "evaluation": set(),
    "report": {"evaluation"},
    "study": set(ORDER[: ORDER.index("study")]),
    "live": {"events", "encode", "models"},
}


def imported_folders(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {n.split(".")[1] for n in names if n.startswith("spikeva.") and n.count(".") >= 1}
    return found & set(ORDER)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_stands_before_it(folder):
    for file in sorted((ROOT / folder).rglob("*.py")):
        beyond = imported_folders(file) - MAY_IMPORT[folder] - {folder}
        assert not beyond, f"{file.relative_to(ROOT)} imports {beyond}"


@pytest.mark.parametrize(
    "code",
    [
        "import spikeva",
        "import spikeva.encode, spikeva.models, spikeva.neurons, spikeva.datasets, spikeva.training",
        "from spikeva.study.config import load; load('configs/quick.yaml')",
        "from spikeva.cli import main; main(['--help'])",
        "from spikeva.cli import main; main(['compare', '--help'])",
        "from spikeva.cli import main; assert main(['validate', 'mkdocs.yml']) == 2",
    ],
)
def test_light_things_do_not_import_torch(code):
    check = "; import sys; heavy = {'torch', 'lightning', 'matplotlib', 'numba'} & set(sys.modules); assert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", code + check], cwd=ROOT.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_training_imports_lightning():
    code = (
        "import sys, spikeva.study.runner, spikeva.study.trained, spikeva.live; from spikeva.cli import main; "
        "assert main(['validate', 'configs/tiny.yaml']) == 0; assert 'lightning' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name, capsys):
    assert spikeva.cli.main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"spikeva {name}" in shown.split("examples:")[1]


def test_what_is_exported_is_there():
    for name in spikeva.__all__:
        assert getattr(spikeva, name) is not None


@pytest.mark.parametrize("name", ["datasets", "events", "neurons", "testing", "training"])
def test_what_a_folder_imports_on_first_use_is_listed(name):
    """As by the Tab key in a notebook."""
    folder = getattr(spikeva, name)
    assert not {*folder.__all__} - {*dir(folder)}


@pytest.mark.parametrize("name", ["Encode", "Simulate"])
def test_type_checkers_know_a_folder_that_can_be_called(name):
    folder = getattr(spikeva, name.lower())
    code = ast.parse((ROOT / "_callable.py").read_text())
    (told,) = (node for node in ast.walk(code) if isinstance(node, ast.ClassDef) and node.name == name)
    names = {node.id for node in ast.walk(told) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert names == {"__call__", *folder.__all__}
    assert inspect.signature(folder) == inspect.signature(getattr(folder, name.lower()))


def test_type_checkers_may_read_the_types():
    assert (ROOT / "py.typed").is_file()
    targets = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"] == {"packages": ["spikeva"]}, "all files of the folder, this one too"


def test_doctor_knows_every_package_that_spikeva_uses(monkeypatch, capsys):
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    extras = re.findall(r"\w+", project["optional-dependencies"]["all"][0])[1:]
    optional = {extra: project["optional-dependencies"][extra][0] for extra in extras}
    names = [re.match(r"[\w-]+", text)[0] for text in (*project["dependencies"], *optional.values())]
    monkeypatch.setattr("spikeva.cli.doctor.find_spec", lambda name: None)
    spikeva.cli.main(["doctor"])
    told = capsys.readouterr().out
    assert [name for name in names if not re.search(rf"(?m)^  \S+ +{name} ", told)] == []
    assert [extra for extra in optional if f"to get it: pip install 'spikeva[{extra}]'" not in told] == []


def test_unknown_command_is_the_users_mistake(capsys):
    assert spikeva.cli.main(["compair"]) == 2
    assert "did you mean 'compare'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", [None, 3])
def test_a_name_that_is_no_text_is_the_users_mistake(name):
    with pytest.raises(UserError, match=f"unknown encoding {name}"):
        spikeva.encode(spikeva.EventStream.empty((4, 4)), name, ends=[1000])


@pytest.mark.parametrize(
    ("name", "said"), [("prepare", "goes on from here"), ("simulate", "files are there whole or not at all")]
)
def test_only_what_goes_on_says_so(name, said, monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"spikeva.cli.{name}.run", interrupted)
    required = {"prepare": ["--dataset", "nefer", "--root", "here"], "simulate": ["a.mp4", "-o", "a.h5"]}[name]
    assert spikeva.cli.main([name, *required]) == 130
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--yaw", "--pitch"])
def test_a_turn_of_heads_is_checked(tmp_path, capsys, option):
    assert spikeva.cli.main(["faces", "--sheet", str(tmp_path / "sheet.png"), option, "nan"]) == 2
    assert f"{option} lies in -180..180 degrees, got nan" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_the_system_refuses_is_said_in_a_line(tmp_path, capsys):
    (tmp_path / "sheet.png").mkdir()
    arguments = ["faces", "--sheet", str(tmp_path / "sheet.png"), "--identities", "1", "--side", "32"]
    assert spikeva.cli.main(arguments) == 1
    assert capsys.readouterr().err == f"spikeva faces: [Errno 21] Is a directory: '{tmp_path / 'sheet.png'}'\n"


def test_a_sheet_is_there_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    def full(path, data):
        path.touch()
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    sheet = tmp_path / "sheet.png"
    assert spikeva.cli.main(["faces", "--sheet", str(sheet), "--identities", "1", "--side", "32"]) == 1
    assert f"No space left on device: '{sheet}'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["cite"], []])
def test_a_reader_that_has_seen_enough_is_no_fault(arguments):
    buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "spikeva", *arguments]
    with subprocess.Popen(command, env=buffered, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


def test_a_backend_of_a_notebook_is_not_needed():
    """`!spikeva` in a notebook inherits `module://matplotlib_inline.backend_inline`, without which matplotlib could not be imported."""
    code = (
        "import sys; sys.argv[1:] = ['cite', 'tbr']; from spikeva.cli import main; main(); "
        "from matplotlib import pyplot; print(pyplot.get_backend())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "MPLBACKEND": "not-here"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].lower() == "agg"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_a_terminal_cannot_show_is_escaped(encoding, monkeypatch):
    """Tables have minus signs, and a file's name may hold bytes that are no text."""
    shown = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr("spikeva.cli.cite.run", lambda _: print("−0.12 \udcff.h5") or 0)
    assert spikeva.cli.main(["cite"]) == 0
    minus = "−" if encoding == "utf-8" else r"\u2212"
    assert shown.buffer.getvalue().decode(encoding) == rf"{minus}0.12 \udcff.h5" + "\n"


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(closed, tmp_path):
    """As under some services. A file that took the number of one would hold what is printed."""
    np.savez(tmp_path / "v.npz", frames=np.full((2, 8, 8), [[[9]], [[99]]], np.uint8), timestamps=[0.0, 0.1])
    command = f'"{sys.executable}" -m spikeva simulate v.npz -o v.h5 {closed}'
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (0, "", False)
    assert len(read_events(tmp_path / "v.h5"))
