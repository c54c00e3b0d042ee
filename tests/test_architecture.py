"""The floors of docs/design.md: a folder is a floor, imports go down only, pure folders are pure, the packages keep apart."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from functools import cache

import pytest

from tests.support.imports import PACKAGES, ROOT, Import, cycle, imports, modules

MODULES = {name: path for package in PACKAGES for name, path in modules(package).items()}

PURE = ("luabus.protocol", "luabus.routing")
"""Folders that decide from their arguments alone: no I/O, no clock, no chance, no threads."""

IMPURE = {"asyncio", "os", "random", "secrets", "select", "selectors", "signal", "socket", "ssl", "subprocess"} | {
    "threading", "time", "uuid", "uvloop",
}  # fmt: skip

SHARED = "luabus.cluster"
"""What launcher and dashboard both must know: they may import all of it."""

PUBLIC_MODULES = {"luabus", "luabus.admin", "luabus.errors", "luabus.ids", "luabus.limits", "luabus.messages"} | {
    "luabus.descriptors", "luabus.host_addresses", "luabus.log_setup", "luabus.log_signals", "luabus.private_files",
    "luabus.quantities",
    "luabus.shutdown_signals", "luabus.visible",
}  # fmt: skip
"""What else they may name, beside `luabus.__all__`."""

MOST_LINES = 400
MOST_METHODS = 27


@cache
def all_imports() -> tuple[Import, ...]:
    known = frozenset(MODULES)
    return tuple(found for name, path in MODULES.items() for found in imports(name, path, known))


@cache
def floors(package: str) -> dict[str, int]:
    """Each folder and single module of a package and its floor, 0 the lowest, as drawn in docs/design.md."""
    text = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    drawing = re.search(rf"^    {package}/\n((?:      .*\n)+)", text, re.MULTILINE)
    assert drawing, f"docs/design.md has no drawing of the floors of {package}/ any more"
    lines = [re.split(r"\s{2,}", line.strip())[0] for line in drawing[1].splitlines()]
    return {
        f"{package}.{name.strip('/').replace('/', '.')}": floor
        for floor, names in enumerate(reversed(lines))
        for name in re.split(r"[,\s]+", names)
    }


def place_of(module: str) -> str:
    """The folder of a module, or the module itself where it stands in the package's own folder."""
    parts = module.split(".")
    if MODULES[module].name != "__init__.py":
        return module if len(parts) == 2 else ".".join(parts[:-1])
    return module


def floor_of(module: str) -> int:
    """The package itself and `__main__` stand on top of everything."""
    package, place = module.split(".")[0], place_of(module)
    if place in (package, f"{package}.__main__"):
        return 1000
    assert place in floors(package), (
        f"{module}: {place} has no floor in the drawing in docs/design.md: add it"
    )
    return floors(package)[place]


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str) -> None:
    package = module.split(".")[0]
    upward = [
        str(found)
        for found in all_imports()
        if found.importer == module
        and found.module in MODULES
        and found.module.split(".")[0] == package
        and found.module != package
        and place_of(found.module) != place_of(module)
        and floor_of(found.module) >= floor_of(module)
    ]
    assert not upward


@pytest.mark.parametrize("package", PACKAGES)
def test_what_the_drawing_names_exists(package: str) -> None:
    assert set(floors(package)) <= {place_of(name) for name in modules(package)}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_cycles(package: str) -> None:
    graph = {name: set[str]() for name in modules(package)}
    for found in all_imports():
        if found.importer in graph and found.module in graph:
            graph[found.importer].add(found.module)
    assert not cycle(graph)


@pytest.mark.parametrize("folder", PURE)
def test_pure_folders_reach_no_input_output_clock_or_chance(folder: str) -> None:
    inside = [found for found in all_imports() if place_of(found.importer) == folder]
    assert inside
    assert not [str(found) for found in inside if found.module.split(".")[0] in IMPURE]


def test_the_library_knows_neither_launcher_nor_dashboard_and_they_do_not_know_each_other() -> None:
    allowed = {
        "luabus": {"luabus"},
        "launcher": {"launcher", "luabus"},
        "dashboard": {"dashboard", "luabus"},
    }
    wrong = [
        str(found)
        for found in all_imports()
        if (target := found.module.split(".")[0]) in PACKAGES
        and target not in allowed[found.importer.split(".")[0]]
    ]
    assert not wrong


def test_launcher_and_dashboard_use_public_names_and_the_shared_folder_only() -> None:
    wrong = []
    for found in all_imports():
        if found.importer.split(".")[0] == "luabus" or found.module.split(".")[0] != "luabus":
            continue
        if found.module in MODULES and place_of(found.module) == SHARED:
            continue
        if found.module not in PUBLIC_MODULES or (
            found.name and found.name not in public_names(found.module)
        ):
            wrong.append(str(found))
    assert not wrong


@cache
def public_names(module: str) -> frozenset[str]:
    """`__all__`, or without one every name that does not start with an underscore."""
    found = importlib.import_module(module)
    return frozenset(getattr(found, "__all__", None) or [name for name in vars(found) if name[0] != "_"])


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_means_one_thing_in_a_package(package: str) -> None:
    paths = modules(package).values()
    files = Counter(path.name for path in paths if path.name not in ("__init__.py", "__main__.py"))
    classes = Counter(
        node.name
        for path in paths
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in (files + classes).items() if count > 1] == []


def test_a_long_file_says_why_it_is_one() -> None:
    silent = []
    for name, path in MODULES.items():
        text = path.read_text("utf-8")
        if text.count("\n") > MOST_LINES and "One file because" not in (
            ast.get_docstring(ast.parse(text)) or ""
        ):
            silent.append(f"{name}: {text.count(chr(10))} lines")
    assert not silent


def test_no_class_has_too_many_methods() -> None:
    crowded = [
        f"{name}.{node.name}: {count} methods"
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
        and (count := sum(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) for one in node.body))
        > MOST_METHODS
    ]
    assert not crowded
