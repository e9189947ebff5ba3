"""Writing a text file whole or not at all."""

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Put `text` at `path`: written beside its name, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".writing")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
