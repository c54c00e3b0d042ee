"""What a fork leaves its child: copies of descriptors, locks and signal handlers that are the parent's to use."""

from __future__ import annotations

import contextlib
import os
from typing import Protocol
from weakref import WeakSet


class Inherited(Protocol):
    """Something that a fork copies and the child must not use."""

    def forked(self) -> None:
        """This process is a child of the one that made this: let go of it, and say nothing to anybody."""


_inherited: WeakSet[Inherited] = WeakSet()


def watch(made: Inherited) -> None:
    """Have `made.forked()` called in each child that is forked while it exists."""
    _inherited.add(made)


def let_go(descriptor: int) -> None:
    """Drop this process' copy of a descriptor: the other end sees the parent's close or death at once.

    The number is kept, as that of the null device: whoever still knows it cannot close or write what gets it next.
    """
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        try:
            os.dup2(null, descriptor, inheritable=False)
        finally:
            os.close(null)


def _in_child() -> None:
    inherited = list(_inherited)
    _inherited.clear()
    for made in inherited:
        made.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
