"""Memory that is free, and that the C library keeps for later."""

from __future__ import annotations

import sys


def give_back() -> None:
    """Give it back to the system. Takes a few milliseconds; does nothing where there is no `malloc_trim` (other than glibc)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes  # large, and seldom needed

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return
