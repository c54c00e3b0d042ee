"""What a service's user wants to be done at its start and end, and when it becomes master or is none any more."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from luabus import tasks
from luabus.exception_text import FATAL
from luabus.limits import MOMENT_S
from luabus.logs import Log
from luabus.rpc.loop_monitor import Activity
from luabus.transport.loops import interrupt

log = Log("luabus.service")

Hook = Callable[..., Any]
_running: ContextVar[Hooks | None] = ContextVar("luabus_hooks", default=None)
"""Those of the service whose hook this code is part of."""
STAGES: Final = ("start", "stop", "master", "slave", "keys_moved")


class Deadline:
    """`limit_s` seconds from now on, for all that has to be done by then."""

    def __init__(self, limit_s: float) -> None:
        self._at = time.monotonic() + limit_s

    def left_s(self, least: float = 0.0) -> float:
        """Seconds that are left, `least` at least."""
        return max(self._at - time.monotonic(), least)


async def within(deadline: Deadline, work: Awaitable[Any], what: str) -> None:
    """Await `work` until the deadline, or for a moment if that is over; what has not ended then is named in the log as `what`,
    cancelled, and left. Raises what it raises."""
    task = tasks.start(interrupting(work), awaited=True)
    try:
        if not await tasks.ended([task], deadline.left_s(MOMENT_S)):
            task.result()
            return
        log.warning("%s has not ended in time and is cancelled", what)
    finally:
        if not task.done() and await tasks.end([task], MOMENT_S):
            log.warning("%s goes on although it was cancelled, and is left behind", what)


async def interrupting(work: Awaitable[Any]) -> None:
    """Await `work`, which may run as a task of its own: what ends the process asks for an orderly end, and does not leave the
    loop in the midst of one."""
    try:
        await work
    except FATAL as error:
        interrupt(error)


class Hooks:
    """The functions of each stage, in the order in which they were given. `running`: those that run now, in words."""

    def __init__(self) -> None:
        self._functions: dict[str, list[Hook]] = {stage: [] for stage in STAGES}
        self.running: list[str] = []

    def add(self, stage: str, function: Hook) -> None:
        """One more."""
        self._functions[stage].append(function)

    def has(self, *stages: str) -> bool:
        """Whether there is one at any of the stages."""
        return any(self._functions[stage] for stage in stages)

    def is_inside(self) -> bool:
        """Whether this code is part of a hook."""
        return _running.get() is self

    async def run(self, stage: str, deadline: Deadline | None = None, *given: Any) -> None:
        """Run those of a stage, one after the other, with what is `given`; all together by the deadline, if there is one. Raises
        what they raise."""
        for function in self._functions[stage]:
            await self._call(stage, function, deadline, given)

    async def tell(self, stage: str, *given: Any) -> None:
        """Run those of a stage, one after the other, with what is `given`. One that fails is in the log, and keeps no other from
        being told."""
        for function in self._functions[stage]:
            try:
                await self._call(stage, function, None, given)
            except Exception:
                log.exception("%s has failed", _name_of(function, stage))

    async def _call(
        self, stage: str, function: Hook, deadline: Deadline | None, given: tuple[Any, ...]
    ) -> None:
        name = _name_of(function, stage)
        _doing = Activity(f"on_{stage}")  # for the loop monitor
        with self._noted(name):
            try:
                result = function(*given)
            except FATAL as error:
                if deadline is None:
                    raise
                interrupt(error)
                return
            if inspect.isawaitable(result):
                if deadline is None:
                    await result
                else:
                    await within(deadline, result, name)

    @contextmanager
    def _noted(self, name: str) -> Iterator[None]:
        token = _running.set(self)
        self.running.append(name)
        try:
            yield
        finally:
            self.running.remove(name)
            _running.reset(token)


def _name_of(function: Hook, stage: str) -> str:
    return f"{getattr(function, '__qualname__', None) or repr(function)} (on_{stage})"
