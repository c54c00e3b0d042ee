"""Which files a service is made of, as far as its source tells: for `up --watch`. Reads files, runs none of them."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def files_of(target: str, folders: Sequence[str]) -> set[str]:
    """The real paths of the module of `MODULE:ATTRIBUTE`, and of all that it imports from these folders. What is imported by a
    name that only running code makes is not found."""
    files: set[str] = set()
    left = list(_with_parents(target.partition(":")[0]))
    seen = set(left)
    while left:
        module = left.pop()
        file = _find(module, folders)
        if file is None:
            continue
        files.add(os.path.realpath(file))
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for name in _imports(file, package):
            if name not in seen:
                seen.add(name)
                left.append(name)
    return files


def _with_parents(module: str) -> Iterator[str]:
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])


def _find(module: str, folders: Sequence[str]) -> Path | None:
    if not all(module.split(".")):
        return None
    for folder in folders:
        place = Path(folder, *module.split("."))
        for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if file.is_file():
                return file
    return None


def _imports(file: Path, package: str) -> set[str]:
    """The modules that a file may import, by full name; nothing from one that is not Python."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names.update(_with_parents(alias.name))
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names.update(_with_parents(module))
            names.update(f"{module}.{alias.name}" for alias in node.names)  # it may be a module, too
    return names
