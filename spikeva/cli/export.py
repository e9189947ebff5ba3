"""``spikeva export``: a trained spiking model as a NIR graph."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

SUMMARY = "Write the spiking model of a finished cell as a NIR graph (HDF5), for neuromorphic hardware and simulators."
EXAMPLES = """  spikeva export runs/quick/cells/1a2b3c4d --out model.nir
  spikeva export runs/afew/cells/1a2b3c4d --out model.nir --size 96      pictures of 96 x 96

BatchNorm is folded into the convolutions. What NIR has no node for (reset by subtraction, adaptive thresholds, max
pooling, residual connections) is refused with the reason.
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("cell", type=Path, help="a cell's folder, with config.yaml and model.safetensors")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, e.g. model.nir")
    parser.add_argument(
        "--size", type=int, nargs="+", help="side, or width and height, of a picture (default: the study's)"
    )
    parser.add_argument(
        "--dt", type=float, default=1e-4, help="seconds of one step (default 1e-4, which snntorch assumes)"
    )


def run(args: Namespace) -> int:
    from spikeva.errors import UserError
    from spikeva.models.snn.nir_graph import export_nir

    missing = [name for name in ("config.yaml", "model.safetensors") if not (args.cell / name).is_file()]
    if missing:
        raise UserError(f"{args.cell} has no {missing[0]}: give the folder of a trained cell (runs/NAME/cells/HASH)")
    if args.size and len(args.size) > 2:
        raise UserError(f"--size takes one or two numbers, got {len(args.size)}")
    config, model = _trained(args.cell)
    size = args.size or config.get("regression", {}).get("size")
    if size is None:
        raise UserError(f"{args.cell}/config.yaml does not say the size of its pictures; give --size")
    width, height = (size, size) if isinstance(size, int) else (size[0], size[-1])
    print(export_nir(model, args.out, (height, width), args.dt))
    return 0


def _trained(cell: Path) -> tuple[dict[str, Any], Any]:
    """(config, model with its trained weights) of a cell's folder."""
    import yaml
    from safetensors.torch import load_file

    from spikeva.encode import channels
    from spikeva.errors import UserError
    from spikeva.models import create_model, parameters

    config = yaml.safe_load((cell / "config.yaml").read_text(encoding="utf-8"))
    name, options = _split(config["model"], "model")
    if not name.startswith("snn_"):
        raise UserError(f"{cell} holds {name}, which does not spike; NIR is for spiking models (snn_*)")
    encoding, parameter = _split(config["encoding"], "encoding")
    if "frames" in parameters(name):
        options.setdefault("frames", config["window"]["frames"])
    model = create_model(name, in_channels=channels(encoding, "snn", **parameter), **options)
    model.load_state_dict(load_file(cell / "model.safetensors"))
    return config, model


def _split(entry: dict[str, Any], kind: str) -> tuple[str, dict[str, Any]]:
    return str(entry[kind]), {key: value for key, value in entry.items() if key != kind}
