"""``spikeva compare``: a whole study."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from spikeva.cli._out import check_folder

SUMMARY = "Run a study: models x encodings x folds x seeds, from the clips to the report. Interrupted, the same command continues."
EXAMPLES = """  spikeva compare configs/quick.yaml --out runs/quick
  spikeva compare configs/quick.yaml --out runs/quick --max-cells 1   # one more cell, then the report so far
  spikeva compare configs/paper.yaml --jobs 4                 # four cells at once, on one GPU or several
Exit code 1: some cells failed. They are named; the report is of the others.
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="the study, a YAML file")
    parser.add_argument("--out", type=Path, help="run directory (default: runs/<name of the study>)")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="cells at once, each in a process of its own (default: 1)"
    )
    parser.add_argument("--max-cells", type=int, metavar="N", help="train at most N more cells, then write the report")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that render and simulate (default: one a core)"
    )


def run(args: Namespace) -> int:
    from spikeva.study.config import load

    study = load(args.config)
    out = args.out or Path("runs") / study.study
    check_folder(out)

    from rich.console import Console

    from spikeva.progress import console as progress
    from spikeva.progress import counted
    from spikeva.report import terminal_table
    from spikeva.study.runner import run as run_study

    results = run_study(study, out, max_cells=args.max_cells, workers=args.workers, jobs=args.jobs)
    console = Console(quiet=progress.quiet, markup=False, emoji=False)
    console.print(terminal_table(results, out))
    console.print(f"report: {(out / 'report.html').resolve()}", soft_wrap=True, highlight=False)
    if failed := results.get("failed"):
        told = f"{counted(len(failed), 'cell')} failed, for the reasons above; the same command tries again"
        console.print(told, style="red", highlight=False)
    return 1 if failed else 0
