"""Pages that are made from the code: tutorials from the examples, the command and config reference, the results.

mkdocs calls `on_files`; nothing is written into docs/. Pictures of examples are kept in .cache/examples between builds;
SPIKEVA_DOCS_PICTURES=0 leaves the pictures empty, where only the text matters.
"""

import argparse
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / ".cache" / "examples"
WORDS = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Path: "path"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site, with the made ones added."""
    pages = {
        "reference/commands.md": commands(),
        "reference/config.md": config_reference(),
        "reference/models.md": models(),
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
        "# Commands\n\nThe same texts as with `--help`. Exit codes: 0 done, 1 failed, 2 a mistake in the command or config, 130 interrupted.\n"
    ]
    for name in COMMANDS:
        module = import_module(f"spikeva.cli.{name}")
        parser = argparse.ArgumentParser(
            prog=f"spikeva {name}", formatter_class=lambda prog: argparse.HelpFormatter(prog, width=84)
        )
        module.add_arguments(parser)
        parts.append(
            f"## spikeva {name}\n\n{module.SUMMARY}\n\n```text\n{parser.format_help().strip()}\n```\n\n```console\n{module.EXAMPLES.rstrip()}\n```\n"
        )
    return "\n".join(parts)


def neurons() -> str:
    """The neurons and what each backend runs of them, asked of the backends."""
    from spikeva.neurons import table

    lines = table().splitlines()
    names = ["neuron", "fused", "snntorch", "norse", "definition"]
    starts = [lines[0].index(name) for name in names]
    rows = [line for line in lines[1:] if not line.startswith("(")]
    cells = [[line[i:j].strip() for i, j in zip(starts, [*starts[1:], None], strict=True)] for line in rows]
    parts = [
        "# Neurons and backends\n\nWhich resets and surrogates of each neuron each backend runs: all, some, or none; numbers refer to the "
        "reasons below. `fused` is the default and the fastest. `spikeva list neurons` prints this for your installation, "
        "your own neurons included. All backends give the same spikes; `spikeva.testing.check_neuron` tests that. (norse computes in other "
        "units, so a membrane within rounding of its threshold may fire on one of them alone: at worst 2 of 5 million random ones did.)\n",
        "| " + " | ".join(names) + " |",
        "| --- " * len(names) + "|",
        *("| " + " | ".join(row) + " |" for row in cells),
        "",
        *(line.replace("(", "", 1).replace(") ", ". ", 1) for line in lines if line.startswith("(")),
    ]
    return "\n".join(parts) + "\n"


def models() -> str:
    """The models, encodings and surrogates with their parameters, from their docstrings."""
    from spikeva.encode import list_encodings
    from spikeva.encode import parameters as of_encoding
    from spikeva.encode.base import REGISTRY
    from spikeva.models import MODELS, parameters
    from spikeva.models.snn import readout
    from spikeva.neurons import SURROGATES

    def about(thing: Any) -> str:
        return (inspect.getdoc(thing) or "").replace("*", "\\*")

    def shown(key: str, one: Any) -> str:
        if one.default in (inspect.Parameter.empty, ...):
            return f"`{key}`"
        choices = re.match(r"Literal\[(.*)\]", str(one.annotation))
        others = [c for c in choices[1].split(", ") if c != repr(one.default)] if choices else []
        return f"`{key}={one.default!r}`" + (f" (or {', '.join(f'`{c}`' for c in others)})" if others else "")

    def entry(name: str, thing: Any, given: Any) -> str:
        named = [
            shown(k, one) for k, one in given.items() if getattr(one, "kind", None) is not inspect.Parameter.VAR_KEYWORD
        ]
        return f"### {name}\n\n{about(thing)}\n\nParameters: {', '.join(named) or 'none'}.\n"

    def encoding(name: str) -> str:
        lines = [f"- `{one.name}={one.default!r}`: {one.help} ({one.allowed})" for one in of_encoding(name).values()]
        return "\n".join([f"### {name}\n", f"{about(REGISTRY.get(name))}\n", *lines, ""])

    _, intro, ways = (readout.__doc__ or "").split("\n\n", 2)
    parts = [
        "# Models and encodings\n\nWhat the grid of a config may name. B: samples, T: frames or time steps, C: channels, "
        "K: windows, P: polarities. A study sets `in_channels` and `frames` itself. "
        "Parameters without a default here have that of the neuron.\n\n## Models\n",
        *(entry(name, MODELS.get(name), parameters(name)) for name in MODELS.names()),
        f"## Readouts\n\nFor `readout` of a spiking model. {' '.join(intro.split())}\n\n```text\n{inspect.cleandoc(ways)}\n```\n",
        "## Encodings\n",
        *(encoding(name) for name in list_encodings()),
        "## Surrogates\n\nFor `surrogate` of a neuron ([what that is](../concepts/surrogates.md)); `slope` is its steepness.\n",
        *(entry(name, one := SURROGATES.get(name), inspect.signature(one).parameters) for name in SURROGATES.names()),
    ]
    return "\n".join(parts)


def config_reference() -> str:
    """Every key of a config, from the schema."""
    from spikeva.evaluation.emotion import ANCHORS
    from spikeva.study import config
    from spikeva.training.loss import LOSSES

    names = {"loss": LOSSES, "anchors": ANCHORS}  # plain strings to the schema, which imports neither
    parts = [
        "# Config\n\nA study is one YAML file. `spikeva validate FILE` reports unknown keys and all other mistakes at once. "
        "`configs/quick.yaml` is an example with comments.\n"
    ]
    blocks = {
        "Top level": config.Study,
        "regression, transfer: rendered faces": config.StandIn,
        "regression, transfer: a folder": config.Prepared,
        "window": config.Window,
        "grid": config.Grid,
        "training": config.Training,
        "training: augment_events": config.EventChanges,
        "evaluation": config.Evaluation,
        "trainer": config.TrainerOptions,
    }
    for title, block in blocks.items():
        parts += [
            f"## {title}\n",
            f"{(block.__doc__ or '').strip()}\n",
            "| key | value | default | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for key, field in block.model_fields.items():
            default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)}`"
            default = "see below" if "=" in default else default.replace("`None`", "none")
            default = default.strip("`") if " " in default else default  # a sentence
            kinds = (
                " or ".join(f"`{name}`" for name in names[key])
                if key in names
                else " or ".join(dict.fromkeys(_type(field.annotation)))
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
        if issubclass(annotation, BaseModel):
            yield "a block, see below"
        else:
            yield WORDS.get(annotation, f"`{annotation.__name__}`")
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
        "# The quick study\n\nThe tables of the quick study as it was run in this clone. They are of rendered faces: "
        "synthetic, and no statement about people.\n\n"
    )
    if not (run / "results.json").is_file():
        return (
            text
            + "It was not run here before this site was built. Run `make compare` and build the site again, and this page shows its tables.\n"
        )
    from spikeva.report import table_text

    return (
        text
        + table_text(run, form="md").replace("\n| model", "\n\n| model")
        + "\nMade by `make compare` (`configs/quick.yaml`).\n"
    )
