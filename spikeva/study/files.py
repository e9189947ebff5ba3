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

from spikeva.events._atomic import whole_file


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        part.write_bytes(data)


def write_json(path: Path, data: Any) -> None:
    write_bytes(path, (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


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
    files = [(path, path.stat()) for path in sorted(folder.glob("[!.]*.h5"))]
    return digest({path.name: _sha256(path, about.st_size, about.st_mtime_ns) for path, about in files})


@cache
def _sha256(path: Path, size: int, changed: int) -> str:
    """The digest of a file's contents, taken once as long as its size and time of change stay."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
