"""SIGTERM and SIGINT: the first asks everything in this process that hears them to end in order, a second ends it at once.

The handlers are Python's own (`signal.signal`), not the event loop's: they run also while a hook or handler holds up the loop.
Those of the host are put back when the last one has ended. Handlers that it gave its loop (`loop.add_signal_handler`) are called
as well all the while.
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final

from luabus import forks
from luabus.limits import MOMENT_S

NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)
ECHO_S: Final = 0.05
"""`timeout` and terminals signal a process and its group: what comes so soon after the first is no second one."""

_LOOK_S: Final = 0.1
"""So often it is looked whether the main thread has come to its end."""
_FRAMES: Final = 5
"""Lines of a stack that are told."""


class _Hearer:
    """One who ends at a signal; `limit_s`: after so many seconds the process goes, however far it has come."""

    def __init__(self, finish: Callable[[], object], limit_s: float | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.finish = finish
        self.limit_s = limit_s

    def tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop has ended
            self.loop.call_soon_threadsafe(self.finish)


class _Hearing:
    """The process' handlers, while somebody hears. Used by the main thread alone."""

    def __init__(self) -> None:
        self._hearers: list[_Hearer] = []
        self._before: dict[int, Any] = {}
        self._number = 0
        self._first_at = 0.0
        forks.watch(self)

    def begin(self, hearer: _Hearer) -> None:
        if not self._hearers:
            _last_call.cancel()
            self._number = 0
            self._before = {number: signal.signal(number, self.heard) for number in NUMBERS}
        self._hearers.append(hearer)
        if self._number:  # the process is ending
            hearer.tell()

    def end(self, hearer: _Hearer) -> None:
        self._hearers.remove(hearer)
        if not self._hearers:
            self._restore()

    def heard(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if not self._number:
            self._number, self._first_at = number, now
            for hearer in list(self._hearers):
                hearer.tell()
            limits = [hearer.limit_s for hearer in self._hearers]
            known = [limit for limit in limits if limit is not None]
            if known and len(known) == len(limits):
                _last_call.within(max(known), number)
        elif now - self._first_at >= ECHO_S:
            _say(f"{signal.Signals(number).name} came again: ended at once")
            os._exit(128 + number)

    def forked(self) -> None:
        """The child is no part of what ends in order, and must not wake its parent's loop with its own signals."""
        if self._hearers:
            self._hearers.clear()
            with contextlib.suppress(ValueError):  # forked by another thread, which is the main one now
                signal.set_wakeup_fd(-1)
                self._restore()
        forks.watch(self)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self.heard and handler is not None:
                signal.signal(number, handler)
        self._before = {}


class _LastCall:
    """Ends the process when its time is up, from a thread of its own: the loop may be what does not end."""

    def __init__(self) -> None:
        self._cancelled: threading.Event | None = None
        self._number = 0
        self._until = 0.0

    def within(self, seconds: float, number: int) -> None:
        self._until = time.monotonic() + seconds
        self._begin(number, lambda cancelled: not cancelled.wait(seconds))

    def over(self, in_order: bool) -> None:
        if self._cancelled is not None and not self._cancelled.is_set():
            self._cancelled.set()
            if in_order:
                self._begin(self._number, self._held_up)
            else:
                self.within(MOMENT_S, self._number)

    def cancel(self) -> None:
        if self._cancelled is not None:
            self._cancelled.set()

    def _begin(self, number: int, is_due: Callable[[threading.Event], bool]) -> None:
        self._number = number
        cancelled = self._cancelled = threading.Event()

        def wait() -> None:
            if is_due(cancelled):
                _say(f"not ended in time after {signal.Signals(number).name}, and ended now. {_stacks()}")
                os._exit(128 + number)

        _thread.start_new_thread(wait, ())  # needs no lock that the interrupted code may hold

    def _held_up(self, cancelled: threading.Event) -> bool:
        """Whether, when the time is up, the main thread has come to its end, and threads of the program alone go on: what the
        main thread still does is the program's own affair."""
        while not _main_thread_ended():
            if cancelled.wait(_LOOK_S):
                return False
        return not cancelled.wait(max(self._until - time.monotonic(), MOMENT_S)) and any(_holding_up())


def _main_thread_ended() -> bool:
    """Whether the program has come to its end: its pools' threads are waited for while the main one counts as alive."""
    return getattr(threading, "_SHUTTING_DOWN", False) or not threading.main_thread().is_alive()


def _stacks() -> str:
    """What the threads are doing that hold the process up."""
    frames = sys._current_frames()
    return "\n".join(
        f"{thread.name} is at:\n{''.join(traceback.format_stack(frames[thread.ident])[-_FRAMES:])}"
        for thread in _holding_up()
        if thread.ident in frames
    )


def _holding_up() -> list[threading.Thread]:
    """The threads that Python waits for before a process ends, and the main one while it runs."""
    return [thread for thread in threading.enumerate() if not thread.daemon and thread.is_alive()]


_heeding = threading.Event()
_hearing = _Hearing()
_last_call = _LastCall()


@contextlib.contextmanager
def hearing(finish: Callable[[], object], *, limit_s: float | None = None) -> Iterator[None]:
    """Inside the block, the first SIGTERM or SIGINT calls `finish()` in the running loop.

    All that hear are told. A second signal ends the process with 128 + its number. With `limit_s`, where all have one, the first
    does so too after that many seconds, and says what the main thread is doing. In other threads signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hearer = _Hearer(finish, limit_s)
    _hearing.begin(hearer)
    try:
        yield
    finally:
        _hearing.end(hearer)


def ended(*, in_order: bool) -> None:
    """What was running has ended, so its time limit is lifted from the main thread; with a moment left if it has not `in_order`:
    threads hold the process up. Threads of the program that go on when the main one has ended keep to the limit."""
    _last_call.over(in_order)
    _heed_interrupts_at_the_end()


def _heed_interrupts_at_the_end() -> None:
    """While Python waits for the program's threads it ignores the KeyboardInterrupt of Ctrl-C, and ends with 0 although it
    was interrupted: end at once instead, and say so by the code."""
    if not _heeding.is_set() and threading.current_thread() is threading.main_thread():
        _heeding.set()
        with contextlib.suppress(RuntimeError):  # Python is ending
            # Called before the threads are waited for, those of pools too.
            threading._register_atexit(_waits_for_threads)  # type: ignore[attr-defined]


def _waits_for_threads() -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)


def _interrupted(number: int, frame: object) -> None:
    _say(f"{signal.Signals(number).name} while threads of the program go on: ended at once")
    os._exit(128 + number)


def _say(text: str) -> None:
    """On stderr, if that takes it: nobody may be reading."""
    with contextlib.suppress(OSError, ValueError):
        if os.name != "posix" or select.select([], [2], [], 0)[1]:
            os.write(2, f"luabus: {text}\n".encode(errors="replace"))
