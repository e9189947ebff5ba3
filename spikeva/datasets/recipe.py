"""Files of two recipes never mix in one folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spikeva._atomic import whole_file
from spikeva.errors import UserError


def keep_recipe(file: Path, recipe: Mapping[str, Any], made: str = "*") -> None:
    """Make `file`, which says by what recipe the files beside it are made, and its folder; of several processes the first decides.

    Raises UserError where it says another recipe, and where there are files (`made`, a pattern) without it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        strangers = sorted(p.name for p in file.parent.glob(made))
        if strangers and not file.exists():  # else another process has just begun
            raise UserError(
                f"{file.parent} holds {strangers[0]} and no {file.name}: it was made otherwise; choose another folder"
            )
        write_json(file, recipe, once=True)
    there = read_recipe(file)
    other = [
        f"{k} was {there.get(k)!r} and is now {recipe.get(k)!r}"
        for k in {**there, **recipe}
        if there.get(k) != recipe.get(k)
    ]
    if other:
        raise UserError(f"{file.parent} holds clips made by another recipe: {'; '.join(other)}; choose another folder")


def read_recipe(file: Path) -> dict[str, Any]:
    """What a recipe says. Raises UserError where the file is damaged."""
    try:
        return dict(json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error}); make the clips again, in another folder") from error


def write_json(path: Path, content: Mapping[str, Any], once: bool = False) -> None:
    """As `whole_file`."""
    with whole_file(path, once) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
