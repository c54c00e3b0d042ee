"""Keys of cluster.toml that older files have: accepted, without effect, and said so once."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

WITHOUT_EFFECT: Final = ("slots",)
"""Of a service."""


def warning(file: Path) -> str | None:
    """One line about all of them in this file; None without any, or for a file that cannot be read: others tell of that."""
    try:
        services = tomllib.loads(file.read_text("utf-8-sig")).get("services", {})
        found = [f"{name}.{key}" for name, own in services.items() for key in own if key in WITHOUT_EFFECT]
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    if not found:
        return None
    return f"{file}: {', '.join(found)} can go: without effect since the keys of a group are shared by its live instances"
