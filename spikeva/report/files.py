"""Writing a text file whole or not at all."""

import os
import secrets
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Put `text` at `path`: written beside its name, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.writing")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
