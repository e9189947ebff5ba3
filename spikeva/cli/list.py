"""``spikeva list``: what can be named in a config."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from spikeva.errors import UserError

if TYPE_CHECKING:
    from spikeva.simulate import DVSPixel

SUMMARY = "List what a config may name: models, neurons, surrogates, encodings, pixel presets and emotion anchors, with their parameters."
EXAMPLES = """  spikeva list
  spikeva list models
  spikeva list models 'snn_*'
  spikeva list neurons        # which backend runs which neuron
  spikeva list neurons --modules my_neurons.py
"""
KINDS = ("models", "neurons", "surrogates", "encodings", "presets", "anchors")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", choices=KINDS, help="what to list (default: everything)")
    parser.add_argument("pattern", nargs="?", default="*", help="wildcard for the names, in quotes")
    parser.add_argument(
        "--modules", nargs="+", default=[], metavar="M", help="your own modules or Python files to include"
    )


def run(args: Namespace) -> int:
    if args.modules:
        from spikeva.study.modules import import_modules

        import_modules(args.modules)
    for kind in [args.kind] if args.kind else KINDS:
        lines = _lines(kind, args.pattern)
        if not lines:
            raise UserError(f"no name among the {kind} matches {args.pattern!r}; `spikeva list {kind}` lists them all")
        print(f"{kind}:")
        for line in lines:
            print(f"  {line}")
    return 0


def _lines(kind: str, pattern: str) -> list[str]:
    from spikeva import models, neurons
    from spikeva.encode import list_encodings, parameters

    if kind == "models":
        return [_with_options(name, models.parameters(name)) for name in models.list_models(pattern)]
    if kind == "encodings":
        return [_with_options(name, parameters(name)) for name in list_encodings(pattern)]
    if kind == "neurons":
        return neurons.table(pattern).splitlines() if neurons.list_neurons(pattern) else []
    if kind == "surrogates":
        return neurons.list_surrogates(pattern)
    if kind == "presets":
        from spikeva.simulate.pixel import PRESETS

        return [_with_options(name, _settings(pixel)) for name, pixel in PRESETS.items() if fnmatchcase(name, pattern)]
    from spikeva.evaluation.emotion import ANCHORS

    return [f"{name:<20} {anchors.source}" for name, anchors in ANCHORS.items() if fnmatchcase(name, pattern)]


def _settings(pixel: "DVSPixel") -> list[str]:
    """The thresholds, and what the pixel has that is not off."""
    return [f"{name}={value:g}" for name, value in asdict(pixel).items() if value]


def _with_options(name: str, options: Iterable[str]) -> str:
    return f"{name:<26} {', '.join(options)}"
