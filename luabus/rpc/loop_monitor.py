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
_LOOK_S: Final = 0.25
"""What is told of a function's time is right within half of that, where the loop does not tell."""
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
        if culprit is None or not culprit.name:
            log.warning("the event loop was blocked for %.1f s", held_s)
        elif culprit.is_handler:
            log.warning("%s held the event loop for %.1f s%s", culprit.name, held_s, culprit.place)
        else:
            log.warning(
                "the event loop was blocked for %.1f s (in %s)%s", held_s, culprit.name, culprit.place
            )

    # --- the thread's side ------------------------------------------------------------------------------------

    def _look(self) -> None:
        looked = time.monotonic()
        mark, since = 0, looked
        while True:
            if self._stop.wait(_LOOK_S):
                return
            before, looked = looked, time.monotonic()
            if looked - before > _LOOK_S + _LATE_S:
                mark = 0
                continue  # this thread did not run either: it is the process that stood still
            frame = sys._current_frames().get(self._thread_id)
            if frame is None or self._culprit is not None:
                continue
            if mark != (mark := _mark(frame)):
                since = (before + looked) / 2
            if looked - self._beat_at > BEAT_S + _LATE_S:
                turn = _turn_began(frame) or (max(since, self._beat_at) if mark else None)
                self._culprit = Culprit.found_in(frame, turn)


class Culprit:
    """What holds a loop up: a handler (`is_handler`), a hook, or some function ("": none of the program's); `started` on the
    clock of `time.monotonic`."""

    __slots__ = ("is_handler", "name", "place", "started")

    def __init__(self, name: str, place: str, started: float | None, *, is_handler: bool) -> None:
        self.name = name
        self.place = place
        self.started = started
        self.is_handler = is_handler

    @classmethod
    def found_in(cls, frame: FrameType, turn: float | None = None) -> Culprit:
        """What the innermost frames are part of. `turn`: when the loop's turn began, for what has no time of its own."""
        theirs: FrameType | None = None
        each: FrameType | None = frame
        while each is not None and not _runs_loops(each):
            if theirs is None and _is_theirs(each):
                theirs = each
            for value in list(each.f_locals.values()):
                if isinstance(value, CallContext):
                    age_s = time.perf_counter() - value.started
                    return cls(value.method.name, _place(theirs), time.monotonic() - age_s, is_handler=True)
                if isinstance(value, Activity):
                    return cls(value.name, _place(theirs), value.started, is_handler=False)
            each = each.f_back
        name = "" if theirs is None else theirs.f_code.co_qualname
        return cls(name, _place(theirs), turn, is_handler=False)


def _turn_began(frame: FrameType) -> float | None:
    """When the loop began the turn that it is held up in: asyncio's has it in a local variable, uvloop's does not tell."""
    each: FrameType | None = frame
    while each is not None:
        if each.f_code.co_name == "_run_once" and _runs_loops(each):
            began = each.f_locals.get("end_time")
            return began if isinstance(began, float) else None
        each = each.f_back
    return None


def _mark(frame: FrameType) -> int:
    """Of the function of the program's that the loop has called: the same as long as that runs, 0 for none."""
    mark = 0
    each: FrameType | None = frame
    while each is not None and not _runs_loops(each):
        if _is_theirs(each):
            mark = id(each)
        each = each.f_back
    return mark


def _runs_loops(frame: FrameType) -> bool:
    """What is below this frame has called the loop, and is not called by it."""
    return frame.f_globals.get("__name__") in (
        "asyncio.base_events",
        "asyncio.runners",
        "luabus.transport.loops",
    )


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
