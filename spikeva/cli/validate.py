"""``spikeva validate``: is this config right, and what would it run?"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from spikeva.errors import UserError

SUMMARY = "Check a config and show what it would run. All mistakes are shown at once; the exit code is then 2."
EXAMPLES = """  spikeva validate configs/quick.yaml
"""
SHOWN = 20


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", type=Path, nargs="+", help="YAML files")


def run(args: Namespace) -> int:
    from spikeva.progress import counted
    from spikeva.study.cells import cells
    from spikeva.study.config import Prepared, load
    from spikeva.study.mistakes import unbuildable

    mistakes = []
    for path in args.config:
        try:
            study = load(path)
        except UserError as error:
            mistakes.append(str(error))
            continue
        problems = list(unbuildable(study))
        if isinstance(study.regression, Prepared):  # a stand-in's clips are not made for this
            from spikeva.datasets import ClipSet
            from spikeva.study.checks import check_clips  # with torch, which a mistake above does not wait for

            try:
                regression = ClipSet.read(study.regression.root)
                transfer = ClipSet.read(study.transfer.root) if isinstance(study.transfer, Prepared) else None
                check_clips(study, regression, transfer)
            except UserError as error:
                problems.append(str(error))
        if problems:
            mistakes += [f"{path}: {problem}" for problem in problems]
            continue
        todo = list(cells(study))
        print(f"{path}: fine; {counted(len(todo), 'cell')}")
        for cell in todo[:SHOWN]:
            print(f"  {cell.key}  {cell.label}  fold {cell.fold}  seed {cell.seed}")
        if len(todo) > SHOWN:
            print(f"  and {len(todo) - SHOWN} more")
    if mistakes:
        raise UserError("\n".join(mistakes))
    return 0
