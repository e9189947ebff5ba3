"""Mistakes of a config that its schema cannot see: names, options, and what lies between keys."""

from collections.abc import Iterator, Mapping
from inspect import Parameter as Signature
from typing import Any

from spikeva.errors import UserError
from spikeva.registry import did_you_mean
from spikeva.study.config import Grid, StandIn, Study


def named_problems(raw: dict[str, Any]) -> Iterator[str]:
    """Mistakes in what is known by name: models, encodings, loss, anchors, pixels."""
    from spikeva.encode import list_encodings
    from spikeva.models import list_models

    grid = raw.get("grid")
    grid = grid if isinstance(grid, dict) else {}
    for key, kind, table in (("models", "model", list_models()), ("encodings", "encoding", list_encodings())):
        entries = grid.get(key)
        for i, entry in enumerate(entries if isinstance(entries, list) else []):
            where = f"grid.{key}[{i}]"
            if not isinstance(entry, Mapping):
                continue  # said by the schema
            if kind not in entry:
                yield f"{where}.{kind}: this key is missing; name the {kind}"
                continue
            for key_, problem in _option_problems(kind, entry, table):
                yield f"{where}.{key_}: {problem}"
    yield from _named_value(raw, "training", "loss", "spikeva.training.loss", "LOSSES")
    yield from _named_value(raw, "evaluation", "anchors", "spikeva.evaluation.emotion", "ANCHORS")
    for block in ("regression", "transfer"):
        source = raw.get(block)
        if isinstance(source, dict) and "pixel" in source:
            from spikeva.simulate import DVSPixel

            try:
                if isinstance(source["pixel"], str):
                    DVSPixel.preset(source["pixel"])
                elif isinstance(source["pixel"], dict):
                    DVSPixel(**source["pixel"])
            except (UserError, TypeError) as error:
                yield f"{block}.pixel: {error}"


def _option_problems(kind: str, entry: Mapping[str, Any], names: list[str]) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) of one model or encoding; where the name is unknown, its keys are held against all of them."""
    from spikeva import models
    from spikeva.encode import parameters as encoding_parameters
    from spikeva.neurons import NEURONS

    def parameters(known: str) -> Mapping[str, Any]:
        if kind == "encoding":
            return encoding_parameters(known)
        neuron = str(entry.get("neuron"))
        takes_it = neuron in NEURONS and "neuron" in models.parameters(known)
        return models.parameters(known, neuron if takes_it else None)

    name = entry[kind]
    if kind == "model" and (neuron := entry.get("neuron")) is not None and neuron not in NEURONS:
        yield "neuron", NEURONS.unknown(str(neuron))
    if name not in names:
        yield kind, f"found {name!r}, allowed: {', '.join(names)}{did_you_mean(str(name), names)}"
    allowed: dict[str, Any] = {}
    for known in [name] if name in names else names:
        allowed |= parameters(known)
    allowed.pop("in_channels", None)  # follows from the encoding
    for key, value in entry.items():
        if key == kind:
            continue
        if key not in allowed:
            yield key, f"unknown key {key!r}{did_you_mean(str(key), list(allowed))} (allowed: {', '.join(allowed)})"
        elif problem := _unfit(key, value, allowed[key]):
            yield key, problem


def _unfit(key: str, value: Any, parameter: Any) -> str | None:
    """What is wrong with the value of a model's or an encoding's argument, or None where it is fine."""
    if isinstance(parameter, Signature):
        from spikeva.models import wrong_value

        return wrong_value(key, parameter, value)
    try:
        parameter.check(value)
    except UserError:
        return f"found {value!r}, allowed: {parameter.allowed}"
    return None


def _named_value(raw: dict[str, Any], block: str, key: str, module: str, table: str) -> Iterator[str]:
    from importlib import import_module

    holder = raw.get(block)
    if isinstance(holder, dict) and isinstance(holder.get(key), str):
        names = list(getattr(import_module(module), table))
        if holder[key] not in names:
            yield f"{block}.{key}: found {holder[key]!r}, allowed: {', '.join(names)}{did_you_mean(holder[key], names)}"


def joint_problems(study: Study) -> Iterator[str]:
    """Mistakes that lie between keys."""
    for fold in study.grid.folds:
        if fold >= study.folds:
            yield f"grid.folds: found {fold}, allowed: 0 to {study.folds - 1} (folds: {study.folds})"
    for key in Grid.model_fields:
        values: list[Any] = getattr(study.grid, key)
        for i, value in enumerate(values):
            if value in values[:i]:
                yield f"grid.{key}[{i}]: the same as grid.{key}[{values.index(value)}]; remove one"
    if isinstance(study.regression, StandIn):
        if study.regression.dataset == "nefer-like":
            yield "regression.dataset: found 'nefer-like', which has no valence and arousal labels; use it under transfer"
        if study.regression.identities < 2 * study.folds:
            most = study.regression.identities // 2
            yield f"folds: found {study.folds}, allowed: 2 to {most}, so that each tests two people (an interval needs them)"
