"""What README and docs show works: Python blocks run, commands and configs are understood, the site builds without a warning."""

import argparse
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from spikeva.events import EventStream, write_events

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _with(language: str) -> list[Path]:
    return [page for page in PAGES if _blocks(page, language)]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", _with("python"), ids=_name)
@pytest.mark.filterwarnings("ignore::spikeva.events.files.EventFileWarning")
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.raw"
    write_events(damaged, EventStream.empty((1280, 720)))
    damaged.write_bytes(damaged.read_bytes() + b"1")
    blocks = _blocks(page, "python")
    code = "import matplotlib\nmatplotlib.use('Agg')\n" + "\n".join(blocks)
    if "@register_" in code:  # what it registers would stay in this process
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        exec(compile(code, _name(page), "exec"), {"__name__": "__main__"})
    finally:
        os.chdir(before)


@pytest.mark.parametrize("page", _with("console"), ids=_name)
def test_commands_are_understood(page: Path) -> None:
    lines = [line for block in _blocks(page, "console") for line in block.splitlines()]
    calls = [shlex.split(line, comments=True) for line in lines if line.startswith("spikeva ")]
    assert calls
    for _, name, *rest in calls:
        parser = argparse.ArgumentParser(prog=name, exit_on_error=False)
        import_module(f"spikeva.cli.{name}").add_arguments(parser)
        parser.parse_args([arg for arg in rest if arg != ">"][: rest.index(">") if ">" in rest else None])


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_programs_that_are_named_are_installed(page: Path) -> None:
    names = set(re.findall(r"\.venv/bin/([\w-]+)", page.read_text(encoding="utf-8")))
    assert {name for name in names if not (Path(sys.executable).parent / name).exists()} == set()


@pytest.mark.parametrize("page", _with("yaml"), ids=_name)
def test_configs_are_understood(page: Path) -> None:
    from spikeva.study.config import Study, parse

    quick = yaml.safe_load((ROOT / "configs" / "quick.yaml").read_text())
    for block in _blocks(page, "yaml"):
        assert isinstance(parse(quick | yaml.safe_load(block)), Study)


def test_every_config_is_in_the_table_of_studies() -> None:
    text = (ROOT / "docs" / "howto" / "study.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert sorted(named) == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


def test_every_figure_is_in_the_reference() -> None:
    from spikeva.report import figures

    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"::: spikeva\.report\.figures\n +options: \{members: \[(.*)\]\}", text)
    assert sorted(named.split(", ")) == sorted(figures.__all__)


@pytest.mark.skipif(
    not find_spec("mkdocs") or not find_spec("mkdocstrings"), reason="the extra `docs` is not installed"
)
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    environment = os.environ | {"SPIKEVA_DOCS_PICTURES": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "usage: spikeva compare" in (tmp_path / "site" / "reference" / "commands" / "index.html").read_text()
    config = (tmp_path / "site" / "reference" / "config" / "index.html").read_text()
    assert "jitter_us" in config
    assert "mse+pcc+ccc" in config
    assert not re.search("Annotated|NoneType", config), "words of the schema's library"
    python = (tmp_path / "site" / "reference" / "python" / "index.html").read_text()
    offered = "neurons.base.Neuron datasets.standins.standin training.fitting.fit models.snn.nir_graph.export_nir"
    assert all(f'id="spikeva.{name}"' in python for name in offered.split())
