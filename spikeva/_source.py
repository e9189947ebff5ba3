"""What a user's own thing is written in: a digest of its file, and of those that it imports from beside it."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def source_digest(entry: Any) -> str | None:
    """16 hexadecimal digits of the file in which a class or function is written; None where that is no file (a notebook).

    Files that it imports count where they lie in the same package or folder; of an installed package all do, and beside an
    installed file none.
    """
    entry = inspect.unwrap(entry)
    try:
        file = Path(inspect.getsourcefile(entry) or "")
        code = file.read_bytes()
    except (TypeError, OSError):
        return None
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
    if {"site-packages", "dist-packages"} & {*file.parts}:  # to read what a large one imports takes minutes
        return {*root.rglob("*.py")} if below != root else {file}
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
    try:
        tree = ast.parse(source.read_bytes(), str(source))
    except SyntaxError:  # of an import that is tried, or has not come yet
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
