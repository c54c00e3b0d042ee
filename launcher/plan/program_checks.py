"""Whether the programs of a plan are there: modules and attributes of `run`, programs of `command` and of probes.

Asked by `check`, which should find out what `up` would fail by. Nothing of the user's is run: modules are found as `luabus run`
finds them, without an import, and attributes are read from the source.
"""

from __future__ import annotations

import ast
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from launcher.config.schema import Service
from launcher.errors import suggest
from launcher.plan.plan import Plan
from launcher.plan.spec import ProcessSpec
from luabus.messages import Message

Fault = tuple[tuple[str | int, ...], str]


def program_faults(plan: Plan) -> Iterator[Fault]:
    """Every fault as `(key path, text)`."""
    specs: dict[str, ProcessSpec] = {}
    for spec in plan.specs:
        specs.setdefault(spec.service, spec)
    for name, service in plan.config.services.items():
        if (first := specs.get(name)) is not None:
            yield from _service(("services", name), service, first, str(plan.base))


def _service(path: tuple[str, ...], service: Service, spec: ProcessSpec, base: str) -> Iterator[Fault]:
    if service.run is not None and (fault := run_fault(service.run, spec, base)):
        yield (*path, "run"), fault
    if service.command and (fault := program_fault(service.command[0], spec)):
        yield (*path, "command"), fault
    for key in ("ready", "startup", "liveness"):
        probe = getattr(service, key)
        if probe is not None and probe.exec and (fault := program_fault(probe.exec[0], spec)):
            yield (*path, key, "exec"), fault


def program_fault(program: str, spec: ProcessSpec) -> str:
    """Why it cannot be started as `spec` says; empty when it can, as far as that is seen."""
    if os.path.dirname(program):
        file = Path(spec.cwd, program)
        if not file.exists():
            return f'there is no program "{program}" ({file})'
        return (
            ""
            if file.is_file() and os.access(file, os.X_OK)
            else f'"{program}" is no file that may be run ({file})'
        )
    folders = spec.env.get("PATH", os.environ.get("PATH", os.defpath))
    if shutil.which(program, path=folders):
        return ""
    return f'there is no program "{program}" in its PATH ({folders})'


def run_fault(target: str, spec: ProcessSpec, base: str) -> str:
    """Why `luabus run` would not find the service; empty when it would, as far as that is seen without running anything."""
    module, _, attribute = target.partition(":")
    top = module.partition(".")[0]
    folders = list(dict.fromkeys([spec.cwd, base]))
    if top in sys.stdlib_module_names:
        return f'found "{target}", and {top} is a module of Python\'s own; allowed: another name for yours'
    own = spec.env.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    path: Sequence[str] | None = [*folders, *(entry for entry in own.split(os.pathsep) if entry), *sys.path]
    found: ModuleSpec | None = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        found = PathFinder.find_spec(part, path)  # without its package, which would have to be imported
        if found is None and name == top:
            found = find_spec(top)  # what was installed in a way of its own, such as `pip install -e`
        if found is None:
            where = f"in {' and '.join(folders)}" if name == top else f"in {name.rpartition('.')[0]}"
            return f'found "{target}", and there is no module {name} {where}'
        path = None if found.submodule_search_locations is None else list(found.submodule_search_locations)
        if path is None and name != module:
            return f'found "{target}", and {name} is no package'
    assert found is not None
    return _attribute_fault(module, attribute, found.origin)


def _attribute_fault(module: str, attribute: str, origin: str | None) -> str:
    if origin is None:  # a folder without an __init__.py
        return f'{module} is a folder without code, and has no "{attribute}"'
    if not origin.endswith(".py"):
        return ""
    try:
        tree = ast.parse(Path(origin).read_bytes(), origin)
    except OSError as error:
        return f"{origin} cannot be read: {error.strerror}"
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        return f"{origin}{f':{line}' if line else ''} is no Python: {getattr(error, 'msg', None) or error}"
    names = _names(tree)
    if names is None or attribute in names:
        return ""
    hint = suggest(attribute, names)
    return (
        f'module {module} has no "{attribute}"{f"; {hint}" if hint.code == DID_YOU_MEAN else f" ({origin})"}'
    )


DID_YOU_MEAN = Message("hint.did-you-mean", name="").code


def _names(tree: ast.Module) -> set[str] | None:
    """What the module defines at its top; None where only running it would tell."""
    names: set[str] = set()
    for node in _top(tree.body):
        if isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                if alias.name == "*":
                    return None
                names.add(alias.asname or alias.name.partition(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        for inner in ast.walk(node) if not isinstance(node, _SCOPES) else ():
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                names.add(inner.id)
    for any_node in ast.walk(tree):
        if isinstance(any_node, ast.Global):
            names.update(any_node.names)
        elif isinstance(any_node, ast.Name) and any_node.id in (
            "globals",
            "exec",
            "vars",
            "setattr",
            "__dict__",
        ):
            return None
    return None if "__getattr__" in names else names


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _top(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those within `if`, `try`, `with` and loops as well."""
    for node in body:
        yield node
        if isinstance(node, _SCOPES):
            continue
        for block in ("body", "orelse", "finalbody"):
            yield from _top(getattr(node, block, ()))
        for handler in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            yield from _top(handler.body)
