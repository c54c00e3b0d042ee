"""A service whose code wants the process to end: stopped first, then it is raised."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from luabus.exception_text import name_of
from luabus.logs import Log
from luabus.transport.loops import on_interrupt

log = Log("luabus.service")


class Interruption:
    """`with` it a service runs: `finish()` is called when its code raises `SystemExit` or `KeyboardInterrupt`, which is raised
    again at the end."""

    def __init__(self, finish: Callable[[], None]) -> None:
        self._finish = finish
        self._error: BaseException | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        self._error = None
        self._unsubscribe = on_interrupt(self.raised)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unsubscribe()
        if self._error is not None:
            raise self._error

    def raised(self, error: BaseException) -> None:
        """User code has raised this."""
        if self._error is None:
            log.warning("the service stops: %s was raised", name_of(type(error)))
            self._error = error
        self._finish()
