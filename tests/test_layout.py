"""The tests mirror the sources: a module without its test file fails here.

`luabus/lease/stores/sqlite.py` is tested by `tests/luabus/lease/stores/test_sqlite.py`, and where that grows too long also by
`test_sqlite_<aspect>.py`. A test file of another name is about several modules: its docstring says what.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.imports import PACKAGES, ROOT

MIRRORED = (*PACKAGES, "examples")


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def needs_a_test(path: Path) -> bool:
    """True when something in it can be wrong; mere names and numbers cannot."""
    code = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, code) for node in ast.parse(path.read_text("utf-8")).body)


def folder_of_tests(source: Path) -> Path:
    return ROOT / "tests" / source.relative_to(ROOT).parent


def name_of_test(source: Path) -> str:
    """`sqlite.py` -> `test_sqlite`, `__main__.py` -> `test_main`, `lease/__init__.py` -> `test_init`."""
    return f"test_{source.stem.strip('_')}"


@pytest.mark.parametrize("package", MIRRORED)
def test_every_module_has_its_test_file(package: str) -> None:
    missing = [
        f"{source.relative_to(ROOT)}: no {(folder_of_tests(source) / name_of_test(source)).relative_to(ROOT)}.py"
        for source in sources(package)
        if needs_a_test(source) and not (folder_of_tests(source) / f"{name_of_test(source)}.py").exists()
    ]
    assert not missing


@pytest.mark.parametrize("package", MIRRORED)
def test_every_test_file_is_about_a_module_or_says_what_it_is_about(package: str) -> None:
    names: dict[Path, set[str]] = {}
    for source in sources(package):
        names.setdefault(folder_of_tests(source), set()).add(name_of_test(source))
    unclear = [
        str(test.relative_to(ROOT))
        for test in sorted((ROOT / "tests" / package).rglob("test_*.py"))
        if not any(
            test.stem == name or test.stem.startswith(f"{name}_") for name in names.get(test.parent, ())
        )
        and not ast.get_docstring(ast.parse(test.read_text("utf-8")))
    ]
    assert not unclear
