"""``spikeva export``: a trained spiking model as a NIR graph."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from spikeva.cli._out import check_file
from spikeva.cli._size import add_size, read_size
from spikeva.errors import UserError

SUMMARY = "Write the spiking model of a finished cell as a NIR graph (HDF5), for neuromorphic hardware and simulators."
EXAMPLES = """  spikeva export runs/quick/cells/<hash> --out model.nir
  spikeva export runs/afew/cells/<hash> --out model.nir --size 96      pictures of 96 x 96

BatchNorm is folded into the convolutions. What NIR has no node for (reset by subtraction, adaptive thresholds, max
pooling, residual connections) is refused with the reason.
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("cell", type=Path, help="folder of a trained cell, runs/.../cells/<hash>")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, e.g. model.nir")
    add_size(parser, "of a picture (default: that of the clips it learned from)")
    parser.add_argument(
        "--dt", type=float, default=1e-4, help="seconds of one time step (default: 1e-4, as snntorch assumes)"
    )


def run(args: Namespace) -> int:
    from spikeva.models.snn.nir_graph import export_nir
    from spikeva.study.trained import learned_from, load_cell

    size = read_size(args.size)
    check_file(args.out)
    cell, model = load_cell(args.cell)
    if cell.kind != "snn":
        raise UserError(
            f"{args.cell} holds {cell.model['model']}, which does not spike; NIR is for spiking models (snn_*)"
        )
    if size is None:
        size, _ = learned_from(cell)
    if size is None:
        raise UserError(
            f"the clips that {args.cell} learned from are gone, and with them the size of a picture; give --size"
        )
    width, height = size
    print(export_nir(model, args.out, (height, width), args.dt))
    return 0
