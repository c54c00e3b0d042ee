"""Who imports whom among this project's modules, read from the source by `ast`; nothing is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("luabus", "launcher", "dashboard")


@dataclass(frozen=True)
class Import:
    """`importer` (a module's dotted name) takes `name` out of `module`; `name` is empty for `import module`."""

    importer: str
    module: str
    name: str
    line: int

    def __str__(self) -> str:
        what = f"from {self.module} import {self.name}" if self.name else f"import {self.module}"
        return f"{self.importer}, line {self.line}: {what}"


def modules(package: str, root: Path = ROOT) -> dict[str, Path]:
    """Every module of a package by its dotted name; a package's `__init__` by the package's name."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: frozenset[str]) -> list[Import]:
    """All imports in one module, also those inside functions; not those that only a type checker sees.

    `from luabus import codec` counts as the module `luabus.codec` when `known` has it.
    """
    found = []
    for node in _walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found += [Import(name, alias.name, "", node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}:{node.lineno}: a relative import"
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                found.append(
                    Import(name, module, "", node.lineno)
                    if module in known
                    else Import(name, node.module, alias.name, node.lineno)
                )
    return found


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            yield from (inner for other in child.orelse for inner in _walk(other))
            continue
        yield child
        yield from _walk(child)


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """One circle in the graph, its first node repeated at the end; empty when there is none."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for following in sorted(graph.get(node, ())):
            if found := visit(following, [*path, node]):
                return found
        done.add(node)
        return []

    for start in sorted(graph):
        if found := visit(start, []):
            return found
    return []
