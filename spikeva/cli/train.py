"""``spikeva train``: some cells of a study."""

from argparse import ArgumentParser, Namespace
from fnmatch import fnmatchcase
from pathlib import Path

from spikeva.cli._out import check_folder
from spikeva.errors import UserError

SUMMARY = "Train and score some cells of a study: those that match all options. A later `compare` adds the rest and the report."
EXAMPLES = """  spikeva train configs/quick.yaml --model snn_convnet --encoding spikes
  spikeva train configs/quick.yaml --model 'snn_*' --fold 0 --seed 0 --out runs/quick
Exit code 1: some cells failed. They are named; the others are written.
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", type=Path, help="the study, a YAML file")
    parser.add_argument("--model", default="*", help="name or wildcard (default: every model)")
    parser.add_argument("--encoding", default="*", help="name or wildcard (default: every encoding)")
    parser.add_argument("--fold", type=int, help="only this fold")
    parser.add_argument("--seed", type=int, help="only this seed")
    parser.add_argument("--out", type=Path, help="run directory (default: runs/<name of the study>)")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="cells at once, each in a process of its own (default: 1)"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that render and simulate (default: one a core)"
    )


def run(args: Namespace) -> int:
    from spikeva.study.cells import cells
    from spikeva.study.config import load

    study = load(args.config)
    chosen = [
        cell
        for cell in cells(study)
        if fnmatchcase(cell.model["model"], args.model)
        and fnmatchcase(cell.encoding["encoding"], args.encoding)
        and args.fold in (None, cell.fold)
        and args.seed in (None, cell.seed)
    ]
    if not chosen:
        raise UserError(f"no cell of {args.config} matches; `spikeva validate {args.config}` lists them")
    out = args.out or Path("runs") / study.study
    check_folder(out)

    from spikeva.progress import console
    from spikeva.study.attempts import attempts, check_jobs
    from spikeva.study.runner import prepare

    check_jobs(args.jobs, study)
    material = prepare(study, out, args.workers)
    failed = False
    for index, result in attempts(chosen, material, out, args.jobs):
        cell = chosen[index]
        failed |= result is None
        if result is None or console.quiet:
            continue
        scores = "  ".join(
            f"{axis} {found['ccc']:.2f} [{found['ccc_ci95'][0]:.2f}, {found['ccc_ci95'][1]:.2f}]"
            for axis, found in result["regression"].items()
        )
        synthetic = " (synthetic)" if result["synthetic"] else ""
        print(f"{cell.label}  fold {cell.fold}  seed {cell.seed}{synthetic}: CCC {scores}  in {cell.folder(out)}")
    return 1 if failed else 0
