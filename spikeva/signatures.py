"""The arguments of what a registry holds, read from the source without importing it (and torch with it)."""

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from spikeva.registry import Registry

_ROOT = Path(__file__).parent


def parameters_of(registry: Registry[Any], name: str) -> Mapping[str, inspect.Parameter]:
    """Keyword arguments of the entry `name`, in order; `**options: Unpack[NeuronOptions]` is spelled out.

    A built-in entry is read from its source file, anything else by `inspect`. Annotations are strings. A bare
    `**options` means the options of all neurons where the entry is a neuron, else it stays as one parameter of kind
    VAR_KEYWORD. `channels` is an option of neurons alone: a model's layers have their own. Raises ValueError for an unknown name.
    """
    module = registry.module_of(name)
    found = dict(inspect.signature(registry.get(name)).parameters) if module is None else _from_source(module, name)
    return MappingProxyType(_spelled_out(found, of_neuron=registry.kind == "neuron"))


def _spelled_out(found: dict[str, inspect.Parameter], of_neuron: bool) -> dict[str, inspect.Parameter]:
    from spikeva.neurons.options import NeuronOptions

    last = next((p for p in found.values() if p.kind is p.VAR_KEYWORD), None)
    if last is None or not (of_neuron or "NeuronOptions" in str(last.annotation)):
        return found
    options = {
        n: inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=..., annotation=_text(t))
        for n, t in NeuronOptions.__annotations__.items()
        if of_neuron or n != "channels"
    }
    return {n: p for n, p in found.items() if p is not last} | options


def _text(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).removeprefix("typing.")


@cache
def _from_source(module: str, name: str) -> dict[str, inspect.Parameter]:
    path = _ROOT.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    body = ast.parse(path.read_text(encoding="utf-8")).body
    aliases = _option_types(body)
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and name in map(_registered_name, node.decorator_list):
            return _arguments(node, aliases)
    raise LookupError(f"{path} registers no {name!r}")


def _option_types(body: list[ast.stmt]) -> dict[str, str]:
    """What the names mean that a module imports from modules called `options`, which are free of torch by rule."""
    return {
        alias.asname or alias.name: _text(getattr(import_module(node.module), alias.name))
        for node in body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.endswith(".options")
        for alias in node.names
        if alias.name != "NeuronOptions"
    }


def _registered_name(decorator: ast.expr) -> Any:
    if not isinstance(decorator, ast.Call) or not decorator.args or not isinstance(decorator.args[0], ast.Constant):
        return None
    return decorator.args[0].value


def _arguments(node: ast.FunctionDef | ast.ClassDef, aliases: Mapping[str, str]) -> dict[str, inspect.Parameter]:
    if isinstance(node, ast.ClassDef):
        inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not inits:
            raise LookupError(f"{node.name} defines no __init__ of its own")
        node = inits[0]
    a = node.args
    positional = [p for p in [*a.posonlyargs, *a.args] if p.arg != "self"]
    defaults = [None] * (len(positional) - len(a.defaults)) + list(a.defaults)
    pairs = [*zip(positional, defaults, strict=True), *zip(a.kwonlyargs, a.kw_defaults, strict=True)]
    kind = inspect.Parameter.KEYWORD_ONLY
    found = {}
    for p, d in pairs:
        annotation = ast.unparse(p.annotation) if p.annotation else ""
        found[p.arg] = inspect.Parameter(
            p.arg, kind, default=_default(d), annotation=aliases.get(annotation, annotation)
        )
    if a.kwarg is not None:
        annotation = ast.unparse(a.kwarg.annotation) if a.kwarg.annotation else ""
        found[a.kwarg.arg] = inspect.Parameter(a.kwarg.arg, inspect.Parameter.VAR_KEYWORD, annotation=annotation)
    return found


def _default(node: ast.expr | None) -> Any:
    if node is None:
        return inspect.Parameter.empty
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ...
