"""What keeps an event loop from running, told by name: a handler that sleeps, a hook that computes.

A timer that fires late knows that the loop was blocked and for how long; it costs nothing per call. What blocked it a thread has
looked up meanwhile, in the stack of the loop's own thread.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from math import inf
from types import FrameType
from typing import Final
from weakref import WeakKeyDictionary

from luabus.limits import HEARTBEAT_S
from luabus.logs import Log
from luabus.rpc.context import CallContext

log = Log("luabus.loop")

BEAT_S: Final = HEARTBEAT_S
BLOCKED_S: Final = 1.0
"""A loop that did not run for so long is told of; peers do not bear more than a few times that."""
_LOOK_S: Final = 0.5
_LATE_S: Final = 0.25
"""So late may a timer be on a busy machine."""
_HOME: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_monitors: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopMonitor] = WeakKeyDictionary()


class Activity:
    """A local variable of whoever calls functions of the user's that are no handlers: so is known what the loop is held up by."""

    __slots__ = ("name", "started")

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = time.monotonic()


class LoopMonitor:
    """Watches one loop, as long as somebody has acquired it and not released it. All but `_look` is called in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._users = 0
        self._beat_at = time.monotonic()
        self._ended_at = -inf
        self._culprit: Culprit | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread_id = threading.get_ident()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def acquire(cls) -> LoopMonitor:
        """The running loop's monitor; to be released."""
        loop = asyncio.get_running_loop()
        monitor = _monitors.get(loop)
        if monitor is None:
            monitor = _monitors[loop] = cls(loop)
            monitor._begin()
        monitor._users += 1
        return monitor

    def release(self) -> None:
        """One fewer has use for it."""
        self._users -= 1
        if self._users:
            return
        _monitors.pop(self._loop, None)
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(1.0)

    def was_blocked(self) -> bool:
        """The loop has only now begun to run again: what is found lost now was lost by that."""
        now = time.monotonic()
        return now - self._beat_at >= BEAT_S + BLOCKED_S or now - self._ended_at < BLOCKED_S

    # --- the loop's side --------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._timer = self._loop.call_later(BEAT_S, self._beat)
        self._thread = threading.Thread(target=self._look, name="luabus loop monitor", daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        now = time.monotonic()
        late_s = now - self._beat_at - BEAT_S
        culprit, self._culprit = self._culprit, None
        if late_s >= _LATE_S:
            self._tell(now, late_s, culprit)
        self._beat_at = now
        self._timer = self._loop.call_later(BEAT_S, self._beat)

    def _tell(self, now: float, late_s: float, culprit: Culprit | None) -> None:
        held_s = late_s
        if culprit is not None and culprit.started is not None:
            held_s = min(now - culprit.started, late_s + BEAT_S)
        if held_s < BLOCKED_S:
            return
        self._ended_at = now
        if culprit is None:
            log.warning("the event loop was blocked for %.1f s", held_s)
        elif culprit.is_handler:
            log.warning("%s held the event loop for %.1f s%s", culprit.name, held_s, culprit.place)
        else:
            log.warning(
                "the event loop was blocked for %.1f s (in %s)%s", held_s, culprit.name, culprit.place
            )

    # --- the thread's side ------------------------------------------------------------------------------------

    def _look(self) -> None:
        while True:
            began = time.monotonic()
            if self._stop.wait(_LOOK_S):
                return
            now = time.monotonic()
            if now - began > _LOOK_S + _LATE_S:
                continue  # this thread did not run either: it is the process that stood still
            if now - self._beat_at > BEAT_S + _LATE_S and self._culprit is None:
                frame = sys._current_frames().get(self._thread_id)
                if frame is not None:
                    self._culprit = Culprit.found_in(frame)


class Culprit:
    """What holds a loop up: a handler (`is_handler`), a hook, or some function; `started` on the clock of `time.monotonic`."""

    __slots__ = ("is_handler", "name", "place", "started")

    def __init__(self, name: str, place: str, started: float | None, *, is_handler: bool) -> None:
        self.name = name
        self.place = place
        self.started = started
        self.is_handler = is_handler

    @classmethod
    def found_in(cls, frame: FrameType) -> Culprit | None:
        """What the innermost frames are part of; None when it is nobody's function, as in a loop that waits."""
        theirs: FrameType | None = None
        each: FrameType | None = frame
        while each is not None:
            if theirs is None and _is_theirs(each):
                theirs = each
            for value in list(each.f_locals.values()):
                if isinstance(value, CallContext):
                    age_s = time.perf_counter() - value.started
                    return cls(value.method.name, _place(theirs), time.monotonic() - age_s, is_handler=True)
                if isinstance(value, Activity):
                    return cls(value.name, _place(theirs), value.started, is_handler=False)
            each = each.f_back
        if theirs is None:
            return None
        return cls(theirs.f_code.co_qualname, _place(theirs), None, is_handler=False)


def _is_theirs(frame: FrameType) -> bool:
    """Whether it is a function of the program's, and not of the libraries that run it."""
    module = str(frame.f_globals.get("__name__", ""))
    return not (
        frame.f_code.co_filename.startswith((_HOME, "<frozen"))
        or module.partition(".")[0] in sys.stdlib_module_names
        or module.partition(".")[0] == "uvloop"
    )


def _place(frame: FrameType | None) -> str:
    if frame is None:
        return ""
    return f": {os.path.basename(frame.f_code.co_filename)}, line {frame.f_lineno}"
