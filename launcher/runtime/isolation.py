"""The processes of luabus itself (launcher, routers, dashboard) do not see the user's folder.

It may stand where Python looks first: by `-m`, for which `-P` is given wherever the launcher starts something, and by
PYTHONPATH. A `dashboard.py` or `calendar.py` in it would then be run instead of what is meant.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

HOME: Final = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
"""Where luabus is installed. Should that be the user's folder (a checkout), it stays."""


def leave(folder: str) -> None:
    """From now on this process finds no modules in `folder`, nor in those above it."""
    sys.path[:] = [entry for entry in sys.path if not _is_users(entry, folder)]


def isolated(environment: Mapping[str, str], folder: str) -> dict[str, str]:
    """The environment of a process that finds no modules in `folder`, nor in those above it."""
    entries = environment.get("PYTHONPATH", "").split(os.pathsep)
    # Made absolute, because the process may run in another folder than this one.
    kept = [os.path.abspath(entry) for entry in entries if entry and not _is_users(entry, folder)]
    rest = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    return {**rest, "PYTHONPATH": os.pathsep.join(kept)} if kept else rest


def _is_users(entry: str, folder: str) -> bool:
    place, inner = os.path.realpath(entry or os.getcwd()), os.path.realpath(folder)
    return place != HOME and (inner == place or inner.startswith(os.path.join(place, "")))
