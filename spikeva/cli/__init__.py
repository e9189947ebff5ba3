"""The command line: one file a command, found by name and imported only when it is called."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from spikeva import __version__
from spikeva.errors import UserError
from spikeva.registry import did_you_mean

COMMANDS = {
    "compare": "run a study: models x encodings x folds x seeds, then the report",
    "faces": "render stand-in faces with known valence and arousal",
    "simulate": "turn a video into events with v2e's pixel model",
    "prepare": "turn a dataset (AFEW-VA, NEFER) into event clips",
    "train": "train some cells of a study",
    "evaluate": "score a trained model on held-out people",
    "transfer": "read the emotion of other recordings with a trained model, zero-shot",
    "report": "build the report of one or several runs",
    "view": "show a recording or a clip as GIF, WebP, MP4 or PNG",
    "live": "print valence and arousal along a recording",
    "export": "write a spiking model as a NIR graph",
    "list": "list the models, neurons, encodings and presets that a config may name",
    "validate": "check a config and show what it would run",
    "doctor": "show what is installed, and how to get what is missing",
    "cite": "print what to cite",
}
RESUMED = {"compare", "faces", "prepare", "train"}  # what these have finished they do not do again


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return (
        "usage: spikeva COMMAND [options]\n\n"
        "Valence and arousal of faces from event cameras: spiking networks compared with their ANN baselines.\n\n"
        "commands:\n" + "\n".join(lines) + "\n\n"
        "examples:\n"
        "  spikeva compare configs/quick.yaml --out runs/quick   the whole comparison on synthetic faces\n"
        "  spikeva list models                                   what can be compared\n"
        "  spikeva COMMAND --help                                options and examples of a command\n"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code (0 done, 1 failed, 2 the user's mistake, 130 interrupted)."""
    _ready_streams()
    if argv is None:  # figures go to files; a notebook's `!spikeva` inherits a backend that may not be installed here
        os.environ["MPLBACKEND"] = "agg"
    argv = [*(sys.argv[1:] if argv is None else argv)]  # not list(): the command of that name is an attribute here
    name = " ".join(["spikeva", *argv[:1]])
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except UserError as error:
        text = str(error)
        print(text if "\n" in text else f"{name}: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        resumed = bool(argv) and argv[0] in RESUMED
        how = "the same command goes on from here" if resumed else "files are there whole or not at all"
        print(f"\n{name}: interrupted; {how}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough (`| head`); Python would try again when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a folder that may not be written to, a full disk: the system's own words name the file
        print(f"{name}: {error}", file=sys.stderr)
        return 1


def _ready_streams() -> None:
    """Let the standard streams take whatever is printed.

    Where the caller closed one (`>&-`), a file opened next would get its output. What the encoding of the terminal lacks (a minus
    sign, a letter of a file's name) is escaped, as it is on standard error.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: the stream's own
            os.set_inheritable(descriptor, True)  # worker processes print, too
            setattr(sys, name, os.fdopen(descriptor, mode))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in {"-h", "--help", "help"}:
        print(_usage())
        return 0
    if argv[0] in {"-V", "--version"}:
        print(f"spikeva {__version__}")
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        print(
            f"spikeva: unknown command {name!r}{did_you_mean(name, COMMANDS)} (see spikeva --help)",
            file=sys.stderr,
        )
        return 2
    module = import_module(f"spikeva.cli.{name}")
    parser = argparse.ArgumentParser(
        prog=f"spikeva {name}",
        description=module.SUMMARY,
        epilog="examples:\n" + module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    try:
        args = parser.parse_args(rest)
    except SystemExit as stop:
        return int(stop.code or 0)
    return int(module.run(args))
