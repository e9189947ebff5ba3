"""A user's own neurons, surrogates, encodings and models in a study: imported before names are checked, known by their code."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

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

    Files that these import count where they lie in the same package or folder.
    """
    used: list[tuple[Registry[Any], Any]] = [(MODELS, model["model"]), (ENCODINGS, encoding["encoding"])]
    arguments = model_parameters(model["model"], model.get("neuron"))
    for registry, key in ((NEURONS, "neuron"), (SURROGATES, "surrogate")):
        if key in arguments:
            used.append((registry, model.get(key, arguments[key].default)))
    return {
        f"{registry.kind} {name}": _source_digest(registry, name)
        for registry, name in used
        if isinstance(name, str) and name in registry and registry.module_of(name) is None
    }


def _source_digest(registry: Registry[Any], name: str) -> str:
    entry = inspect.unwrap(registry.get(name))
    try:
        file = Path(inspect.getsourcefile(entry) or "")
        code = file.read_bytes()
    except (TypeError, OSError):
        raise UserError(
            f"{registry.kind} {name!r} is written in no file, so a change of it would go unseen; put it into a module"
        ) from None
    digest = hashlib.sha256(code)
    for beside in sorted(_imported(entry.__module__, file) - {file}):
        digest.update(beside.read_bytes())
    return digest.hexdigest()[:16]


def _imported(module: str, file: Path) -> set[Path]:
    """`file` of `module` and the files that it imports, they import and so on, of its package or of the folder in which it lies."""
    top = sys.modules.get(module.partition(".")[0])
    main = Path(getattr(top, "__file__", None) or file)
    root = main.parent
    below = root.parent if main.name == "__init__.py" else root
    found, todo = set[Path](), [(module, file)]
    while todo:
        name, source = todo.pop()
        found.add(source)
        package = name if source.name == "__init__.py" else name.rpartition(".")[0]
        for other in _names(source, package):
            path = _file_of(other, below)
            beside = path.suffix == ".py" and path.is_relative_to(root)
            if beside and path not in found and not {"site-packages", "spikeva"} & {*path.relative_to(root).parts}:
                todo.append((other, path))
    return found


def _file_of(module: str, below: Path) -> Path:
    """The file of a module; of one that a function has yet to import, what Python will find `below`."""
    if module in sys.modules:
        return Path(getattr(sys.modules[module], "__file__", None) or below)
    place = below.joinpath(*module.split("."))
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in files if file.is_file()), below)


def _names(source: Path, package: str) -> Iterator[str]:
    """Names of what may be modules among the imports of a file, in full."""
    for node in ast.walk(ast.parse(source.read_bytes(), str(source))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
