"""Where a manager and its streams may be used: in one event loop, in one thread, in the process that made them."""

from __future__ import annotations

import asyncio
import os
import threading
from asyncio import get_running_loop

from luabus.errors import Refused
from luabus.transport.loops import new_event_loop, own_loops, running_loop


class LoopAffinity:
    """The loop that drives a manager: the running one at first use, else one of its own, which `wait` drives (`is_own`)."""

    __slots__ = ("_loop", "_pid", "is_forked", "is_own", "thread")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self.thread = 0
        """The ident of the thread in which the loop was bound; 0 before."""
        self.is_own = False
        self.is_forked = False
        """This process is a child of the one that made it."""

    @property
    def is_bound(self) -> bool:
        """It has been used."""
        return self._loop is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, bound by this if it was not before."""
        if self._loop is None:
            self._loop = running_loop()
            self.thread = threading.get_ident()
            if self._loop is None:
                self.is_own = True
                self._loop = new_event_loop()
                own_loops.add(self._loop)
        return self._loop

    def bind(self) -> None:
        """`check`, with the loop bound: before anything makes timers on it."""
        if not self.is_forked:
            self.loop  # noqa: B018
        self.check()

    def check(self) -> None:
        """Raises `Refused` anywhere but in that loop, or, while it does not run, in its thread. Cheap in the loop."""
        try:
            if get_running_loop() is self._loop:
                return
        except RuntimeError:
            pass
        self._check_outside(running_loop())

    def _check_outside(self, running: asyncio.AbstractEventLoop | None) -> None:
        loop = self._loop
        if self.is_forked:
            raise Refused(
                f"this belongs to process {self._pid}, of which this one is a fork: nothing can be sent from here;"
                " connect anew in the child"
            )
        if loop is None:
            return
        if loop.is_closed():
            raise Refused("the event loop of this manager has ended; make a new one")
        if threading.get_ident() == self.thread and (
            running is None or (self.is_own and running in own_loops)
        ):
            return
        if self.is_own and threading.get_ident() == self.thread:
            raise Refused(
                "this manager was first used outside of the event loop that runs now, which will not drive it:"
                " make it, or its first listen() or connect(), inside"
            )
        raise Refused(
            "this belongs to another event loop or thread: hand the work over to it, with"
            " asyncio.run_coroutine_threadsafe(...) or loop.call_soon_threadsafe(...)"
        )
