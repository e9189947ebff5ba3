"""Networks from event tensors [B, T, C, H, W] to (valence, arousal) [B, 2]: `ann_*` and `snn_*`, by name.

Names and arguments are known without importing torch: `list_models("snn_*")`, `parameters(name)`, and `problems(name,
arguments)`, which says everything that is wrong with the arguments of `create_model`.
"""

import ast
import inspect
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from spikeva.errors import UserError
from spikeva.neurons import NEURONS, SURROGATES
from spikeva.registry import Registry, did_you_mean
from spikeva.signatures import parameters_of

if TYPE_CHECKING:
    from torch import nn

M = TypeVar("M")

MODELS: Registry[Any] = Registry(
    "model",
    {
        "ann_convnet": "spikeva.models.ann.convnet",
        "ann_resnet18": "spikeva.models.ann.fusion",
        "ann_resnet18_fusion": "spikeva.models.ann.fusion",
        "ann_resnet18_lstm": "spikeva.models.ann.sequence",
        "ann_resnet18_transformer": "spikeva.models.ann.sequence",
        "ann_r2plus1d_18": "spikeva.models.ann.r2plus1d",
        "snn_convnet": "spikeva.models.snn.convnet",
        "snn_recurrent_convnet": "spikeva.models.snn.convnet",
        "snn_resnet18_fusion": "spikeva.models.snn.resnet",
        "snn_sew_resnet18": "spikeva.models.snn.resnet",
        "snn_spiking_fer": "spikeva.models.snn.resnet",
    },
)
list_models = MODELS.names

__all__ = ["MODELS", "create_model", "list_models", "parameters", "problems", "register_model"]


def register_model(name: str) -> Callable[[M], M]:
    """Decorator that registers a model as `name`: "ann_..." or "snn_...", by which a study lays out its input and counts its cost.

    Raises UserError for another name and ValueError for one that is taken.
    """
    if not name.startswith(("ann_", "snn_")):
        raise UserError(f"a model is called 'ann_...' or 'snn_...', by what it is; found {name!r}")
    return MODELS.register(name)


def create_model(name: str, **arguments: Any) -> "nn.Module":
    """The model called `name`: an `nn.Module` with forward [B, T, C, H, W] -> [B, 2] (valence, arousal).

    `in_channels` is the number of channels of one frame or time step. Raises UserError that names every unknown or
    ill-typed argument, what is allowed and the closest match.
    """
    found = problems(name, arguments)
    if found:
        raise UserError("\n".join(found))
    model: nn.Module = MODELS.get(name)(**arguments)
    return model


def parameters(name: str, neuron: str | None = None) -> Mapping[str, inspect.Parameter]:
    """Arguments of the model `name`, in order; a spiking model has its neuron's too (of `neuron`, or of its default).

    Read from the source, without torch. Raises UserError for an unknown model or neuron.
    """
    if name not in MODELS:
        raise UserError(MODELS.unknown(name))
    found = dict(parameters_of(MODELS, name))
    rest = [n for n, p in found.items() if p.kind is p.VAR_KEYWORD]
    if rest and "neuron" in found:
        neuron = found["neuron"].default if neuron is None else neuron
        if neuron not in NEURONS:
            raise UserError(NEURONS.unknown(str(neuron)))
        options = parameters_of(NEURONS, neuron)
        del found[rest[0]]
        found |= {n: p for n, p in options.items() if n not in found and n != "channels"}
    return MappingProxyType(found)


def problems(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """Everything wrong with `create_model(name, **arguments)` that can be told without building it; empty: nothing."""
    if name not in MODELS:
        return [MODELS.unknown(name)]
    neuron = arguments.get("neuron")
    if neuron is not None and (not isinstance(neuron, str) or neuron not in NEURONS):
        return [f"model {name!r}, argument 'neuron': {NEURONS.unknown(str(neuron))}"]
    allowed = parameters(name, neuron)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in allowed.values())
    unknown = [
        f"model {name!r} has no argument {n!r}{did_you_mean(n, allowed)} (it has: {', '.join(allowed)})"
        for n in arguments
        if n not in allowed and not takes_any
    ]
    missing = [
        f"model {name!r} needs the argument {n!r}"
        for n, p in allowed.items()
        if p.default is p.empty and p.kind is not p.VAR_KEYWORD and n not in arguments
    ]
    wrong = [
        f"model {name!r}, argument {n!r}: {found}"
        for n, value in arguments.items()
        if n in allowed and (found := wrong_value(n, allowed[n], value))
    ]
    return unknown + missing + wrong


_TYPES: dict[str, tuple[type, ...]] = {"int": (Integral,), "float": (Real,), "str": (str,), "bool": (bool,)}


def wrong_value(name: str, parameter: inspect.Parameter, value: Any) -> str | None:
    """What is wrong with `value`, judged by the annotation where that is plain, and by the names we know."""
    if isinstance(value, str) and name == "surrogate" and value not in SURROGATES:
        return SURROGATES.unknown(value)
    text = str(parameter.annotation)
    if text.startswith("Literal[") and text.endswith("]"):
        choices = ast.literal_eval(f"({text[8:-1]},)")
        if value not in choices:
            close = did_you_mean(value, map(str, choices))
            return f"must be one of {', '.join(map(repr, choices))}, got {value!r}{close}"
        return None
    parts = [part.strip() for part in text.split("|")]
    if not text or not all(part in _TYPES or part == "None" for part in parts):
        return None
    kinds = tuple(kind for part in parts for kind in _TYPES.get(part, (type(None),)))
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        return f"must be {text.replace('|', 'or')}, got {value!r}"
    return None
