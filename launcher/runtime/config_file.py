"""cluster.toml as a file: which one is meant, where its relative paths start, and its text.

Paths are made absolute and no link in them is resolved: what is named `current/cluster.toml` is, whenever it is read again, the
one in the folder that `current` leads to then.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from pathlib import Path
from typing import Final

from launcher.errors import ConfigError, Problem

NAME: Final = "cluster.toml"

MOST_BYTES: Final = 4 << 20
"""Of a file that somebody wrote. Thousands of services fit in."""


def meant(given: Path) -> Path:
    """The file that is meant by what `-c` was given: in a folder, its cluster.toml."""
    try:
        return given / NAME if given.is_dir() else given
    except (OSError, ValueError):
        return given


def absolute(path: Path) -> Path:
    """The path from the root, as it was named: a relative one starts at the folder that the shell shows, which may be a link."""
    return path if path.is_absolute() else _here() / path


def folder_of(file: Path) -> Path:
    """Where relative paths in the file start."""
    return absolute(file).parent


def place(folder: str | os.PathLike[str]) -> str:
    """Which folder stands there now, so that it can be told from another one that is put in its place; empty for none."""
    try:
        found = os.stat(folder)
    except (OSError, ValueError):
        return ""
    return f"{os.path.realpath(folder)} {found.st_dev}:{found.st_ino}"


def read_text(path: Path) -> str:
    """The file's text. Raises `ConfigError` that says what to do when there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        try:
            text = _bytes_of(descriptor, path).decode(
                "utf-8-sig"
            )  # some editors begin with a byte order mark
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise _wrong(path, _how_to_make_one(path)) from None
    except UnicodeDecodeError as error:
        raise _wrong(
            path, f"is not UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from None
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise _wrong(path, f"cannot be read: {error}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _bytes_of(descriptor: int, path: Path) -> bytes:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise _wrong(path, "is no regular file; allowed: a file, which can be read again")
    if found.st_size > MOST_BYTES:
        raise _wrong(path, f"has {found.st_size} bytes; allowed: at most {MOST_BYTES}")
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(MOST_BYTES)


def _how_to_make_one(path: Path) -> str:
    if path.is_symlink():
        return f"is a link to {path.readlink()}, and there is no such file"
    folder = str(path.parent)
    where = "" if folder == "." else f" {shlex.quote(folder)}"
    return (
        f"there is no such file; `luabus-cluster init{where}` writes one, -c names another{_one_above(path)}"
    )


def _one_above(path: Path) -> str:
    """Folders above are not searched for the file that is meant, but who stands in a folder of a cluster is told."""
    with contextlib.suppress(OSError):  # the folder that one is in was removed
        for parent in path.absolute().parent.parents:
            if (file := parent / path.name).is_file():
                return f", such as {os.path.relpath(file)}"
    return ""


def _wrong(path: Path, text: str) -> ConfigError:
    return ConfigError(str(path), [Problem("", text)])


def _here() -> Path:
    """The current folder, by the name under which the shell went there if that still leads here."""
    named = os.environ.get("PWD", "")
    with contextlib.suppress(OSError, ValueError):
        if os.path.isabs(named) and os.path.samestat(os.stat(named), os.stat(".")):
            return Path(named)
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return Path(named or "/")
