"""The floors of docs/design.md: imports go down only, what is called pure is, and the packages keep apart."""

from __future__ import annotations

import importlib
import re
from functools import cache

import pytest

from tests.support.imports import PACKAGES, ROOT, Import, cycle, imports, modules

MODULES = {name: path for package in PACKAGES for name, path in modules(package).items()}

# A pure module decides from its arguments alone: no I/O, no clock, no chance, no threads.
IMPURE = {"asyncio", "os", "random", "secrets", "select", "selectors", "signal", "socket", "ssl", "subprocess"} | {
    "threading", "time", "uuid", "uvloop",
}  # fmt: skip
TOP_PURE = "switch"

# What the launcher and the dashboard may name beside `luabus.__all__`.
PUBLIC_MODULES = {"luabus", "luabus.admin", "luabus.errors", "luabus.ids", "luabus.limits"}


@cache
def all_imports() -> tuple[Import, ...]:
    known = frozenset(MODULES)
    return tuple(found for name, path in MODULES.items() for found in imports(name, path, known))


@cache
def floors() -> dict[str, int]:
    """Each module of `luabus` and its floor, 0 the lowest, as the drawing in docs/design.md has them."""
    text = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    drawing = re.search(r"^Inside `luabus` imports only go down:\n\n((?:    .*\n)+)", text, re.MULTILINE)
    assert drawing, "docs/design.md has no drawing of the floors any more"
    found: dict[str, int] = {}
    floor = -1
    for line in drawing[1].splitlines():
        names = re.split(r"\s{2,}", line.strip())[0]
        for step in names.removeprefix("->").split("->"):
            floor += 1
            found |= {name.rstrip("/"): floor for name in re.split(r"[,\s]+", step.strip())}
    # `lease/` stands apart in the drawing: over what is pure, under the candidate.
    found["lease"] = found["candidate"] - 1
    return found


def floor_of(module: str) -> int:
    """The floor of a module of `luabus`; the package itself and `__main__` stand on top of everything."""
    if module in ("luabus", "luabus.__main__"):
        return max(floors().values()) + 1
    name = module.split(".")[1]
    assert name in floors(), f"{module} stands on no floor of the drawing in docs/design.md: add it there"
    return floors()[name]


@pytest.mark.parametrize("module", modules("luabus"))
def test_imports_go_down_only(module: str) -> None:
    upward = [
        str(found)
        for found in all_imports()
        if found.importer == module
        and found.module.split(".")[0] == "luabus"
        and floor_of(found.module) > floor_of(module)
    ]
    assert not upward


def test_what_the_drawing_names_exists() -> None:
    there = {name.split(".")[1] for name in modules("luabus") if "." in name}
    assert not set(floors()) - there


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_cycles(package: str) -> None:
    graph = {name: set[str]() for name in modules(package)}
    for found in all_imports():
        if found.importer in graph and found.module in graph:
            graph[found.importer].add(found.module)
    assert not cycle(graph)


def test_pure_modules_reach_no_input_output_clock_or_chance() -> None:
    pure = {name for name in modules("luabus") if "." in name and floor_of(name) <= floors()[TOP_PURE]}
    assert "luabus.frames" in pure
    impure = [str(i) for i in all_imports() if i.importer in pure and i.module.split(".")[0] in IMPURE]
    assert not impure


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


def test_launcher_and_dashboard_use_public_names_only() -> None:
    wrong = []
    for found in all_imports():
        if found.importer.split(".")[0] == "luabus" or found.module.split(".")[0] != "luabus":
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
