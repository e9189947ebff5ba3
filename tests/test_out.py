"""Where a command will write: what cannot become a folder or a file is said before the work begins."""

import os
import re
from pathlib import Path

import pytest

from spikeva.cli import main
from spikeva.cli._out import check_file, check_folder
from spikeva.errors import UserError
from spikeva.progress import console, stage

TINY = str(Path(__file__).parents[1] / "configs" / "tiny.yaml")
FOLDERS = [["compare", TINY], ["train", TINY], ["faces"], ["prepare", "--dataset", "nefer", "--root", "absent"]]
SCORED = ["absent", "--clips", "absent"]
FILES = [["evaluate", *SCORED], ["transfer", *SCORED], ["report", "absent"], ["export", "absent"]]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder of the test, where the command runs: it holds a file and a folder."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder").mkdir()
    yield tmp_path
    assert sorted(part.name for part in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("out", ["file", "file/in/it"])
@pytest.mark.parametrize("command", FOLDERS, ids=lambda words: words[0])
def test_a_file_where_a_folder_is_needed(command, out, capsys):
    assert main([*command, "--out", out]) == 2
    assert f"--out {out}: file is no folder; allowed: a folder that can be written to" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("out", "found"), [("folder", "this is a folder"), ("file/a.csv", "file is no folder"), (".", "this is a folder")]
)
@pytest.mark.parametrize("command", FILES, ids=lambda words: words[0])
def test_a_folder_where_a_file_is_needed(command, out, found, capsys):
    assert main([*command, "--out", out]) == 2
    assert f"--out {out}: {found}; allowed: a file in a folder" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("command", "folder"), [*((words, folder) for words in FILES for folder in ("", "new/")), (["view", "absent"], "")]
)
def test_a_name_that_is_too_long_while_the_file_is_not_whole(command, folder, capsys):
    out = f"{folder}{'é' * 120}.gif"
    assert main([*command, "--out", out]) == 2
    found = re.fullmatch(r"(.*): this name is too long: (\d+) bytes with the (\d+) .*\n", capsys.readouterr().err)
    assert found[1] == f"spikeva {command[0]}: {out}"
    assert int(found[2]) - int(found[3]) == len(out.removeprefix(folder).encode())


def test_a_folder_that_may_not_be_written_to(here, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != here / "folder")  # root may write anywhere
    for check, path in ((check_folder, "folder"), (check_folder, "folder/new"), (check_file, "folder/new/a.csv")):
        with pytest.raises(UserError, match="folder may not be written to; allowed: a"):
            check(here / path)


@pytest.mark.usefixtures("here")
def test_what_is_fine():
    for path in (Path("folder"), Path("new"), Path("folder/new/deep")):
        check_folder(path)
    for path in (Path("file"), Path("a.csv"), Path("new/deep/a.csv")):
        check_file(path)


def test_names_and_paths_are_shown_as_they_are(monkeypatch):
    """Rich would take [bold] for markup and :100: for a picture, and raise for [/x]."""
    monkeypatch.setattr(console, "_force_terminal", True)
    with console.capture() as shown, stage("train [bold] [/x]", 2) as bar:
        bar.note("[/y]")
        console.print("runs/[bold]/[/x]/:100:/report.html")
    assert "runs/[bold]/[/x]/:100:/report.html" in shown.get()
    assert "train [bold] [/x]" in shown.get()
    assert "[/y]" in shown.get()
