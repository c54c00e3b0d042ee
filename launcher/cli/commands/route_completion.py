"""Routes and methods, for the shell: out of cluster.toml and the source of the services, without running either."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from launcher.cli.commands.shared import names_in

KINDS: Final = ("target:", "hash:", "random:", "broadcast:", "master:")


def complete_routes(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """`random:mail`; the kinds first, then whom of that kind."""
    kind = next((kind for kind in KINDS if incomplete.startswith(kind)), None)
    if kind is None:
        return [kind for kind in KINDS if kind.startswith(incomplete)]
    services = names_in(context, instances=False)
    if kind == "target:":
        known = [name for name in names_in(context, instances=True) if name.rpartition(".")[0] in services]
    else:
        known = [f"{name}:" for name in services] if kind == "hash:" else services
    return [f"{kind}{name}" for name in known if f"{kind}{name}".startswith(incomplete)]


def complete_methods(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The handlers of the service in ROUTE, as its module has them."""
    import tomllib

    service = str(context.params.get("route") or "").partition(":")[2].partition(":")[0].partition(".")[0]
    file = Path(context.find_root().params.get("config") or context.obj or "cluster.toml")
    try:
        table: Any = tomllib.loads(file.read_text("utf-8-sig"))["services"][service]
        folders = [file.parent / table.get("cwd", "."), file.parent]
        found = [name for folder in folders for name in _handlers(folder, table["run"])]
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, AttributeError):
        return []
    return [name for name in dict.fromkeys(found) if name.startswith(incomplete)]


def _handlers(folder: Path, target: str) -> Iterator[str]:
    """Functions under `@X.rpc` or `@X.rpc(...)` in the module of `MODULE:ATTRIBUTE`."""
    module = folder.joinpath(*target.partition(":")[0].split("."))
    for file in (module.with_name(f"{module.name}.py"), module / "__init__.py"):
        if not file.is_file():
            continue
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
                if any(isinstance(mark, ast.Attribute) and mark.attr == "rpc" for mark in marks):
                    yield node.name
