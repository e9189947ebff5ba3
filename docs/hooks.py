"""Pages that are made from the code: tutorials from the examples, the command and config reference, the results.

mkdocs calls `on_files`; nothing is written into docs/. Pictures of examples are kept in .cache/examples between builds;
SPIKEVA_DOCS_PICTURES=0 leaves the pictures empty, where only the text matters.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / ".cache" / "examples"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site, with the made ones added."""
    pages = {
        "reference/commands.md": commands(),
        "reference/config.md": config_reference(),
        "reference/neurons.md": neurons(),
        "results.md": results(),
    }
    for script in sorted((ROOT / "examples").glob("[0-9]*.py")):
        pages[f"tutorials/{script.stem}.md"] = tutorial(script)
        files.append(File.generated(config, f"tutorials/{script.stem}.png", content=draw(script)))
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def draw(script: Path) -> bytes:
    """The example's picture; the example is run where the picture is older than it."""
    if os.environ.get("SPIKEVA_DOCS_PICTURES") == "0":
        return b""
    picture = PICTURES / f"{script.stem}.png"
    if not picture.exists() or picture.stat().st_mtime < script.stat().st_mtime:
        PICTURES.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, str(script), str(PICTURES)], check=True, stdout=subprocess.DEVNULL)
    return picture.read_bytes()


def tutorial(script: Path) -> str:
    """An example as a page: its first sentence, picture and code."""
    text = script.read_text(encoding="utf-8")
    _, docstring, code = text.split('"""', 2)
    title, _, rest = docstring.strip().partition("\n")
    head, _, sentence = title.partition(": ")
    how = "\n".join(
        f"    {line.removeprefix('Run: ')}" if line.startswith("Run: ") else line for line in rest.strip().splitlines()
    )
    return f"# {head}\n\n{sentence[:1].upper()}{sentence[1:]}\n\n{how}\n\n![What it draws]({script.stem}.png)\n\n```python\n{code.strip()}\n```\n"


def commands() -> str:
    """Every command with its options, from its own parser."""
    from importlib import import_module

    from spikeva.cli import COMMANDS

    parts = [
        "# Commands\n\nEvery command explains itself with `--help`. Exit codes: 0 done, 1 failed, 2 a mistake in what was asked, 130 interrupted.\n"
    ]
    for name in COMMANDS:
        try:
            module = import_module(f"spikeva.cli.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"spikeva.cli.{name}":
                raise
            continue
        parser = argparse.ArgumentParser(
            prog=f"spikeva {name}", formatter_class=lambda prog: argparse.HelpFormatter(prog, width=100)
        )
        module.add_arguments(parser)
        parts.append(
            f"## spikeva {name}\n\n{module.SUMMARY}\n\n```text\n{parser.format_help().strip()}\n```\n\n```console\n{module.EXAMPLES.rstrip()}\n```\n"
        )
    return "\n".join(parts)


def neurons() -> str:
    """The neurons and what each backend runs of them, asked of the backends."""
    from spikeva.neurons import table

    about = (
        "What each backend runs of each neuron: all its resets and surrogates, some, or none; the numbers name the reason. "
        "`spikeva list neurons` prints it for your installation and your own neurons. Whatever runs, runs with the same "
        "spikes: `spikeva.testing.check_neuron` holds every neuron, reset, surrogate and backend to its step."
    )
    return f"# Neurons and backends\n\n{about}\n\n```text\n{table()}\n```\n"


def config_reference() -> str:
    """Every key of a config, from the schema."""
    from spikeva.evaluation.emotion import ANCHORS
    from spikeva.study import config
    from spikeva.training.loss import LOSSES

    names = {"loss": LOSSES, "anchors": ANCHORS}  # plain strings to the schema, which imports neither
    parts = [
        "# Config\n\nA study is one YAML file. Unknown keys are mistakes; `spikeva validate FILE` names all of them at once. "
        "`configs/quick.yaml` says beside each line what a change does.\n"
    ]
    blocks = [
        config.Study,
        config.StandIn,
        config.Prepared,
        config.Window,
        config.Grid,
        config.Training,
        config.EventChanges,
        config.Evaluation,
        config.TrainerOptions,
    ]
    for block in blocks:
        parts += [
            f"## {block.__name__}\n",
            f"{(block.__doc__ or '').strip()}\n",
            "| key | type | default | |",
            "| --- | --- | --- | --- |",
        ]
        for key, field in block.model_fields.items():
            default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)}`"
            default = "see below" if "=" in default else default
            kinds = (
                " or ".join(f"`{name}`" for name in names[key])
                if key in names
                else " or ".join(_type(field.annotation))
            )
            parts.append(f"| `{key}` | {kinds} | {default} | {field.description or ''} |")
        parts.append("")
    return "\n".join(parts)


def _type(annotation: Any) -> Iterator[str]:
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        yield from _type(arguments[0])
    elif annotation is type(None):
        yield "none"
    elif get_origin(annotation) is None or not arguments:
        yield f"`{getattr(annotation, '__name__', annotation)}`"
    elif getattr(get_origin(annotation), "__name__", "") == "Literal":
        yield from (f"`{value}`" for value in arguments)
    elif get_origin(annotation) is Union or getattr(get_origin(annotation), "__name__", "") == "UnionType":
        for part in arguments:
            yield from _type(part)
    else:
        inner = ", ".join(text.strip("`") for part in arguments for text in _type(part))
        yield f"`{get_origin(annotation).__name__}[{inner}]`"


def results() -> str:
    """The tables of the quick study, where it was run here."""
    run = ROOT / "runs" / "quick"
    text = (
        "# Results\n\nNumbers on this page are written by the code or not at all. They are of the stand-in, rendered faces: "
        "synthetic, and no statement about people.\n\n"
    )
    if not (run / "results.json").is_file():
        return (
            text
            + "This site was built without a finished study. `make compare` runs the quick one; built again, this page shows its tables.\n"
        )
    from spikeva.report import table_text

    return (
        text
        + table_text(run, form="md").replace("\n| model", "\n\n| model")
        + "\nMade by `make compare` (`configs/quick.yaml`).\n"
    )
