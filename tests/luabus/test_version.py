from __future__ import annotations

import re
import tomllib

import luabus
from luabus.version import VERSION
from tests.support.imports import ROOT


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert luabus.__version__ == VERSION
    assert project.get("version", VERSION) == VERSION
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
