"""`spikeva report` on finished runs."""

import os
import shutil
from pathlib import Path

import pytest

from spikeva.cli import main


def test_page_is_written_anew(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run_dir), "--out", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == (run_dir / "report.html").read_text()


def test_tables_as_text(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run_dir), "--format", "md"]) == 0
    assert "| snn_convnet |" in capsys.readouterr().out
    shutil.copytree(run_dir, tmp_path / "other")
    both = [str(run_dir), str(tmp_path / "other")]
    assert main(["report", *both, "--format", "csv", "--out", str(tmp_path / "all.csv")]) == 0
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 21
    no_utf8 = str((tmp_path / "other").rename(tmp_path / os.fsdecode(b"caf\xe9")))
    assert main(["report", str(run_dir), no_utf8, "--format", "csv", "--out", str(tmp_path / "all.csv")]) == 0
    assert r"caf\udce9)," in (tmp_path / "all.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["html", "md"])
def test_the_same_run_twice_is_a_mistake(
    form: str, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(run_dir)
    out = ["--format", form, "--out", str(tmp_path / "report")]
    assert main(["report", str(run_dir), str(run_dir), *out]) == 2
    assert capsys.readouterr().err == f"spikeva report: {run_dir} is given twice; a report takes each run once\n"
    assert main(["report", str(run_dir), str(tmp_path / "link"), *out]) == 2
    assert f"{tmp_path / 'link'} is given twice (as {run_dir}, too)" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_mistakes_end_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no results.json" in capsys.readouterr().err
