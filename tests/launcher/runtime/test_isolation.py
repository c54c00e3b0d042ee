from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from launcher.runtime import isolation
from launcher.runtime.isolation import HOME, isolated, leave


def test_the_users_folder_and_those_above_it_are_taken_out_of_pythonpath(tmp_path: Path) -> None:
    folder = tmp_path / "game" / "deploy"
    entries = [str(folder), "", str(tmp_path / "game"), str(tmp_path / "libraries"), str(folder / "inner")]
    environment = {"A": "1", "PYTHONPATH": os.pathsep.join(entries)}
    kept = os.pathsep.join([str(tmp_path / "libraries"), str(folder / "inner")])
    assert isolated(environment, str(folder)) == {"A": "1", "PYTHONPATH": kept}


def test_without_entries_there_is_no_pythonpath(tmp_path: Path) -> None:
    assert isolated({"A": "1"}, str(tmp_path)) == {"A": "1"}
    assert isolated({"A": "1", "PYTHONPATH": str(tmp_path)}, str(tmp_path)) == {"A": "1"}


def test_a_relative_entry_means_what_it_means_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"PYTHONPATH": os.pathsep.join(["libraries", "."])}
    assert isolated(environment, str(tmp_path)) == {"PYTHONPATH": str(tmp_path / "libraries")}


def test_where_luabus_is_installed_stays() -> None:
    assert isolated({"PYTHONPATH": HOME}, os.path.join(HOME, "examples")) == {"PYTHONPATH": HOME}


def test_this_process_leaves_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), HOME, os.path.dirname(isolation.__file__)])
    leave(str(tmp_path))
    assert sys.path == [HOME, os.path.dirname(isolation.__file__)]
