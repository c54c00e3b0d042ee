"""SIGUSR1 and SIGUSR2: by custom "open your logs anew", which logrotate sends, to one process or to all of a service at once.

The launcher does it. For every other process of luabus' own there is nothing to do, and it goes on; unhandled they would end it.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Final

NUMBERS: Final = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name))


def survive() -> None:
    """From now on they do not end this process, nor did those that were held back. A handler of one's own may follow. It is not
    inherited by programs that are started."""
    for number in NUMBERS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.SIG_IGN):
            signal.signal(number, lambda _, __: None)
    if NUMBERS:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NUMBERS)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """What is started inside gets them only when it says `survive`."""
    if not NUMBERS:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
