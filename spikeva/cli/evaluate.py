"""``spikeva evaluate``: a trained cell on other clips with valence and arousal."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from spikeva.cli._out import check_file

SUMMARY = (
    "Score a trained cell on a folder of event clips with valence and arousal labels, of people it was not trained on."
)
EXAMPLES = """  spikeva evaluate runs/quick/cells/<hash> --clips data/afew-va-events --out afew-va.csv
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("cell", type=Path, help="folder of a trained cell, runs/.../cells/<hash>")
    parser.add_argument("--clips", type=Path, required=True, help="folder of event clips, as `spikeva prepare` writes")
    parser.add_argument("--out", type=Path, help="write every prediction to this CSV file")


def run(args: Namespace) -> int:
    from spikeva.datasets import ClipSet
    from spikeva.study.checks import check_interval, check_labels
    from spikeva.study.run_cell import PREDICTIONS, regression, score_rows
    from spikeva.study.trained import check_pictures, load_cell, met_before

    if args.out is not None:
        check_file(args.out)
    cell, model = load_cell(args.cell)
    clips = ClipSet.read(args.clips)
    check_pictures(cell, args.cell, clips)
    check_interval(clips)
    check_labels(clips)
    rows = score_rows(cell, model, clips, PREDICTIONS, args.out)
    synthetic = " (synthetic)" if clips.synthetic else ""
    print(f"{cell.label} on {len(clips)} clips of {len(clips.subjects)} people{synthetic}")
    for axis, found in regression(rows).items():
        low, high = found["ccc_ci95"]
        print(
            f"  {axis:<8} CCC {found['ccc']:.3f} [{low:.3f}, {high:.3f}]  PCC {found['pcc']:.3f}  "
            f"RMSE {found['rmse']:.3f}  SAGR {found['sagr']:.3f} ({found['zero_share']:.0%} of labels are 0)"
        )
    if note := met_before(args.cell, clips):
        print(f"  {note}")
    return 0
