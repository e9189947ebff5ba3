"""The report: one HTML file that opens offline, and its figures as SVG files beside it."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spikeva._atomic import write_bytes
from spikeva.errors import UserError
from spikeva.report import answer, tables
from spikeva.report.data import Row, Run
from spikeva.report.figures.style import context
from spikeva.report.sections import Figures, run_sections
from spikeva.report.sweep import sweep
from spikeva.report.viewer import viewer

_TEMPLATE = Path(__file__).parent / "template"


def write_report(*run_dirs: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """The path of the report of one or several run directories: `out`, or report.html in the first of them.

    The figures also go to figures/*.svg beside it. The same run directories give the same bytes.

    Raises:
        UserError: a directory holds no finished study.
    """
    if not run_dirs:
        raise UserError("a report needs at least one run directory")
    runs = Run.open_all([Path(directory) for directory in run_dirs])
    path = Path(out) if out is not None else runs[0].directory / "report.html"
    page = render(runs, path.parent / "figures")
    write_bytes(path, page.encode(errors="backslashreplace"))  # the name of a file may be no UTF-8
    return path


def render(runs: Sequence[Run], folder: Path) -> str:
    """The page as HTML; its figures are written into `folder`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    by_run = [run.rows() for run in runs]
    rows = [row for own in by_run for row in own]
    parts = []
    with context():
        for index, (run, own) in enumerate(zip(runs, by_run, strict=True)):
            figures = Figures(folder, f"{index + 1}-" if len(runs) > 1 else "")
            parts.append(_part(run, own, figures))
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        css=(_TEMPLATE / "report.css").read_text(encoding="utf-8"),
        js=(_TEMPLATE / "report.js").read_text(encoding="utf-8"),
        title=" and ".join(run.name for run in runs),
        synthetic=any(row.synthetic or row.transfer_synthetic for row in rows),
        parts=parts,
        main=tables.html(rows, tables.MAIN),
        metrics=tables.html(rows, tables.METRICS),
        jobs=max((cell.get("cost", {}).get("latency_jobs", 1) for run in runs for cell in run.cells), default=1),
        cost=tables.html([row for row in rows if row.kind != "baseline"], tables.COST),
        cells=tables.html(_single(rows), (*tables.MAIN, tables.FOLD, tables.SEED)) if _several(rows) else None,
    )


def _part(run: Run, rows: Sequence[Row], figures: Figures) -> dict[str, Any]:
    best = answer.headline(rows)
    return {
        "name": run.name,
        "question": run.study.get("question"),
        "unfinished": run.unfinished(),
        "outdated": run.outdated(),
        "answer": answer.sentences(run, rows),
        "sections": {**run_sections(run, rows, best, figures), "sweep": sweep(rows, figures)},
        "viewer": viewer(run, best, figures),
        "comparisons": tables.comparisons(run.comparisons) if run.comparisons else None,
        "provenance": provenance(run),
    }


def provenance(run: Run) -> dict[str, Any]:
    """Where the numbers come from: command, config, versions, and the hash of every cell."""
    import yaml

    recipes = run.study.get("recipes", {}).items()
    facts = {**run.environment, **{f"{name} clips, as prepared": recipe for name, recipe in recipes}}
    facts["results.json (SHA-256)"] = hashlib.sha256((run.directory / "results.json").read_bytes()).hexdigest()
    return {
        "facts": {name: _fact(value) for name, value in facts.items() if value is not None},
        "config": yaml.safe_dump(run.config or run.study, sort_keys=False, allow_unicode=True),
        "cells": [{key: cell.get(key) for key in ("hash", "model", "encoding", "fold", "seed")} for cell in run.cells],
    }


def _fact(value: Any) -> str:
    return ", ".join(f"{k} {_fact(v)}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _several(rows: Sequence[Row]) -> bool:
    return any(len(row.cells) > 1 for row in rows if row.kind != "baseline")


def _single(rows: Sequence[Row]) -> list[Row]:
    """Each cell as a row of its own."""
    return [one for row in rows if row.kind != "baseline" for one in row.split()]
