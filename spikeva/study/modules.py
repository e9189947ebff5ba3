"""A user's own neurons, surrogates, encodings and models in a study: imported before names are checked, known by their code."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from spikeva._source import source_digest
from spikeva.encode.base import REGISTRY as ENCODINGS
from spikeva.errors import UserError
from spikeva.models import MODELS
from spikeva.models import parameters as model_parameters
from spikeva.neurons import NEURONS, SURROGATES
from spikeva.registry import Registry


def import_modules(names: Iterable[str], folder: Path = Path()) -> list[str]:
    """Import modules that register things; returns how to name them from any folder.

    A name is that of an importable module or a file `*.py`, relative to `folder`. Raises UserError where one is not there
    or raises.
    """
    return [_import_file(folder / name) if name.endswith(".py") else _import(name) for name in names]


def _import(name: str) -> str:
    try:
        import_module(name)
    except Exception as error:
        package = isinstance(error, ImportError) and "relative import" in str(error)
        hint = (
            "; a file of a package is named as a module, as mypackage.parts, and found on Python's path"
            if package
            else ""
        )
        raise UserError(f"cannot import {name!r}: {type(error).__name__}: {error}{hint}") from error
    return name


def _import_file(path: Path) -> str:
    """Imported by its bare name from its own folder, as Python itself would."""
    path = path.resolve()
    if not path.is_file():
        raise UserError(f"{path} does not exist; name a Python file, relative to the config, or a module")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    _import(path.stem)
    found = getattr(sys.modules[path.stem], "__file__", None)
    if found is None or Path(found).resolve() != path:
        raise UserError(f"{path}: another module is called {path.stem!r} ({found or 'built in'}); rename the file")
    return str(path)


def code_of(model: Mapping[str, Any], encoding: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the files in which registered things of a cell are written, by kind and name; spikeva's own have none.

    Of the files as they were when they were imported: what runs is that code. Raises UserError where there is no file.
    """
    codes = {}
    for registry, name in _used(model, encoding):
        if (code := registry.code_of(name)) is None:
            raise UserError(
                f"{registry.kind} {name!r} is written in no file, so a change of it would go unseen; write it into one (in a "
                "notebook: %%writefile my_code.py), and name that under `modules`"
            )
        codes[f"{registry.kind} {name}"] = code
    return codes


def check_code(model: Mapping[str, Any], encoding: Mapping[str, Any]) -> None:
    """Raises UserError as `code_of` does, and where files of registered things have changed since they were imported."""
    code_of(model, encoding)
    for registry, name in _used(model, encoding):
        if source_digest(registry.get(name)) != registry.code_of(name):
            raise UserError(
                f"{registry.kind} {name!r}: its file, or one that it imports, has changed since this process imported it, and "
                "the old code would run; start anew (in a notebook: restart the kernel)"
            )


def _used(model: Mapping[str, Any], encoding: Mapping[str, Any]) -> Iterator[tuple[Registry[Any], str]]:
    """What a user registered of a model, an encoding, and the model's neuron and surrogate."""
    used: list[tuple[Registry[Any], Any]] = [(MODELS, model["model"]), (ENCODINGS, encoding["encoding"])]
    arguments = model_parameters(model["model"], model.get("neuron"))
    for registry, key in ((NEURONS, "neuron"), (SURROGATES, "surrogate")):
        if key in arguments:
            used.append((registry, model.get(key, arguments[key].default)))
    for registry, name in used:
        if isinstance(name, str) and name in registry and registry.module_of(name) is None:
            yield registry, name
