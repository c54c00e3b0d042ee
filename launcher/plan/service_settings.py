"""What of cluster.toml, and of the folders it names, makes a difference to the processes of a service: what a reload compares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from launcher.config.schema import Service
from launcher.runtime.config_file import place

BASE: Final = "the folder of cluster.toml"
"""It may be reached by a link, such as `current`, that leads to another release now."""


def service_settings(name: str, service: Service, env_file: Mapping[str, str], base: Path) -> dict[str, Any]:
    """By key. Those which only say how many there are or when they start concern no running process.

    Folders in which it runs, or has its modules from, are told apart by what they are: links may lead to another release.
    """
    own = service.model_dump(exclude={"instances", "depends_on", "slots", "callers", "methods"})
    settings = {f"services.{name}.{key}": value for key, value in own.items()}
    if service.env_file:
        settings[f"services.{name}.env_file"] = (service.env_file, dict(env_file))
    if service.cwd:
        settings[f"services.{name}.cwd"] = (service.cwd, place(base / service.cwd))
    if service.run is not None or not service.cwd:
        settings[BASE] = place(base)
    return settings
