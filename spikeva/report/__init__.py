"""The report: figures as functions, tables, and one HTML page that opens offline."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeva.report import figures, tables
from spikeva.report.data import Run
from spikeva.report.page import write_report

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["figures", "table_text", "terminal_table", "write_report"]


def terminal_table(results: Mapping[str, Any], run_dir: str | Path = ".") -> "Table":
    """The main table of `results` (results.json, read) for rich's console.

    Where a row takes several folds or seeds together, its interval needs the predictions under `run_dir`.
    """
    run = Run(results, Path(run_dir))
    return tables.terminal(run.rows(), run.unfinished())


def table_text(*run_dirs: str | Path, form: str = "md") -> str:
    """The tables of one or several run directories as text: `form` is "md", "csv" or "latex"."""
    runs = Run.open_all([Path(directory) for directory in run_dirs])
    notes = [f"{run.name}: {note}" for run in runs for note in (run.outdated(), run.unfinished()) if note]
    return tables.export([row for run in runs for row in run.rows()], form, notes)
