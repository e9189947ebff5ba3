"""Files that are whole or absent: written beside their name, then renamed. JSON, YAML and CSV of a run directory."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from spikeva._atomic import write_bytes
from spikeva.datasets.clips import clip_files
from spikeva.errors import UserError


def write_json(path: Path, data: Any) -> None:
    write_bytes(path, (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """What a JSON file of a cell's folder says. Raises UserError where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> UserError:
    """What to say of a file of a cell's folder that cannot be read."""
    return UserError(f"{path} is damaged ({error}); delete the cell's folder {path.parent} and run the study again")


def parse_yaml(text: str) -> Any:
    """What a YAML text says. Raises yaml.YAMLError, and UserError where a mapping has a key twice or lists are nested too deeply."""
    try:
        return yaml.load(text, _Strict)
    except RecursionError:
        raise UserError("lists or mappings are nested too deeply") from None


class _Strict(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=True)  # at once, which finds a list or mapping that holds itself
        except UserError:
            raise
        except (ValueError, OverflowError) as error:  # a date that is none, a number of thousands of digits
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in lines:
                    raise UserError(f"the key {key.value!r} stands twice, in lines {lines[key.value]} and {line}")
                lines[key.value] = line
        return super().construct_mapping(node, deep)


def write_yaml(path: Path, data: Any) -> None:
    write_bytes(path, yaml.safe_dump(data, sort_keys=False).encode())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under a header; floats keep every digit that they have."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digest(data: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that stand for plain data, whatever the order of its keys."""
    text = json.dumps(data, sort_keys=True, default=str, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def clips_digest(folder: Path) -> str:
    """16 hexadecimal digits that stand for the contents of a folder's clip files; for none of them where it does not exist."""
    return digest({path.name: file_digest(path) for path in clip_files(folder)})


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's contents, in hexadecimal digits."""
    about = path.stat()
    return _sha256(path, about.st_size, about.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, changed: int) -> str:
    """The digest of a file's contents, taken once as long as its size and time of change stay."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
