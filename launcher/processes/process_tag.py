"""A mark that a process passes on to all it starts, and that nothing a daemon does to get away takes off (Linux).

It is the soft value of RLIMIT_LOCKS, a resource limit that no kernel since 2.6 looks at. Like every limit it is inherited by
fork and exec; a session of its own, an empty environment, closed descriptors and another parent or user do not change it. A
program would have to set just this limit itself.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Final

_RLIMIT_LOCKS: Final = 10
"""The same on all architectures; Python has no name for it."""

_RUN_BITS: Final = 30
_NAME_BITS: Final = 32
_HUGE: Final = 1 << (_RUN_BITS + _NAME_BITS)
"""In every tag: should anything ever count locks, the limit is out of reach."""


def number(marker: str) -> int:
    """The tag of a marker `<run>/<name>`, see `process_tree.MARKER`."""
    run = marker.partition("/")[0]
    return _HUGE | _digest(run, _RUN_BITS) << _NAME_BITS | _digest(marker, _NAME_BITS)


def is_of(tag: int, run: str) -> bool:
    """Whether a launcher with this run id gave it."""
    return tag >> _NAME_BITS == _HUGE >> _NAME_BITS | _digest(run, _RUN_BITS)


def limit(marker: str) -> tuple[int, tuple[int, int]] | None:
    """What a child has to call `resource.setrlimit` with; None where there is no such limit, or it may not be set."""
    if not sys.platform.startswith("linux"):
        return None
    import resource

    tag = number(marker)
    try:
        hard = resource.getrlimit(_RLIMIT_LOCKS)[1]
    except (OSError, ValueError):
        return None
    return (_RLIMIT_LOCKS, (tag, hard)) if hard == resource.RLIM_INFINITY or hard >= tag else None


def of(pid: int) -> int | None:
    """The tag of a process; None when it has none, is gone, or the system does not tell."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as file:
            _, separator, rest = file.read().partition(b"\nMax file locks")
    except OSError:
        return None
    soft = rest.split(None, 1)[0] if separator else b""
    return int(soft) if soft.isdigit() and int(soft) & _HUGE else None


def _digest(text: str, bits: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> (64 - bits)
