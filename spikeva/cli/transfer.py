"""``spikeva transfer``: the emotion of recordings by a model that was never trained on their kind."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from spikeva.cli._out import check_file

SUMMARY = (
    "Zero-shot emotion of a folder of event clips from a trained cell's valence and arousal; nothing is fitted on them."
)
EXAMPLES = """  spikeva transfer runs/quick/cells/<hash> --clips data/nefer-events
  spikeva transfer runs/quick/cells/<hash> --clips data/nefer-events --anchors russell-mehrabian --method point
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("cell", type=Path, help="folder of a trained cell, runs/.../cells/<hash>")
    parser.add_argument("--clips", type=Path, required=True, help="folder of event clips, as `spikeva prepare` writes")
    parser.add_argument(
        "--anchors",
        help="where emotions lie on the plane (default: as in the cell's study); see `spikeva list anchors`",
    )
    parser.add_argument("--method", choices=("angle", "point"), help="nearest anchor by direction or by distance")
    parser.add_argument(
        "--none-radius",
        type=float,
        metavar="X",
        help="read a point nearer to neutral than this as None (as labels that know it)",
    )
    parser.add_argument(
        "--pooling", choices=("mean", "peak", "weighted"), help="how to get one point from the frames of a recording"
    )
    parser.add_argument("--out", type=Path, help="write every prediction to this CSV file")


def run(args: Namespace) -> int:
    from dataclasses import replace

    from spikeva.datasets import ClipSet
    from spikeva.progress import counted
    from spikeva.study.checks import check_emotions
    from spikeva.study.run_cell import TRANSFER, score_rows, zero_shot
    from spikeva.study.trained import check_pictures, load_cell, met_before

    if args.out is not None:
        check_file(args.out)
    cell, model = load_cell(args.cell)
    changes = {k: v for k in ("anchors", "method", "none_radius", "pooling") if (v := getattr(args, k)) is not None}
    settings = cell.study.evaluation.model_copy(update=changes)
    cell = replace(cell, study=cell.study.model_copy(update={"evaluation": settings}))
    clips = ClipSet.read(args.clips)
    check_pictures(cell, args.cell, clips)
    check_emotions(clips, settings.anchors)
    found = zero_shot(cell, score_rows(cell, model, clips, TRANSFER, args.out))
    synthetic = " (synthetic)" if clips.synthetic else ""
    people = counted(len(clips.subjects), "person", "people")
    print(f"{cell.label} on {counted(len(clips), 'recording')} of {people}{synthetic}")
    for prefix, name in (("", "accuracy"), ("three_way_", "three-way"), ("valence_sign_", "valence's sign")):
        value, ends, balanced, chance, majority = (
            found[prefix + key] for key in ("accuracy", "accuracy_ci95", "balanced_accuracy", "chance", "majority")
        )
        interval = " [{:.1%}, {:.1%}]".format(*ends) if ends else ""
        print(f"  {name} {value:.1%}{interval}  balanced {balanced:.1%}  chance {chance:.1%}  majority {majority:.1%}")
    width = max(map(len, found["labels"]))
    print(f"  {'shown / predicted':<{width + 8}}" + " ".join(f"{label[:4]:>5}" for label in found["labels"]))
    for label, row in zip(found["labels"], found["confusion"], strict=True):
        print(f"  {label:<{width + 8}}" + " ".join(f"{count:>5}" for count in row))
    if note := met_before(args.cell, clips):
        print(f"  {note}")
    return 0
