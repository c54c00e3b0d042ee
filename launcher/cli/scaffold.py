"""`init`: the files of a small cluster to start from."""

from __future__ import annotations

import contextlib
from importlib.resources import files
from pathlib import Path
from typing import Final

from launcher.errors import LauncherError

FILES: Final = ("cluster.toml", "greeter.py")


def write_starter(folder: Path) -> list[Path]:
    """Writes the files into `folder`, which is made if needed; returns their paths.

    Raises `LauncherError` when one is there already; nothing was written then.
    """
    present = [name for name in FILES if (folder / name).exists()]
    if present:
        raise LauncherError(f"{folder.absolute()} has {' and '.join(present)} already; nothing was written")
    templates = files("launcher") / "templates"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).write_text((templates / name).read_text("utf-8"), "utf-8")
    except OSError as error:
        with contextlib.suppress(OSError):
            for name in FILES:  # half of them would be in the way of the next try
                (folder / name).unlink(missing_ok=True)
        raise LauncherError(f"{folder.absolute()} cannot be written: {error.strerror}") from None
    return [folder / name for name in FILES]
