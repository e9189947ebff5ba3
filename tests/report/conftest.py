"""A run directory with invented contents, and its report."""

from pathlib import Path

import pytest
from fake_run import write_run

from spikeva.report import write_report


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = write_run(tmp_path_factory.mktemp("invented") / "run")
    write_report(directory)
    return directory
